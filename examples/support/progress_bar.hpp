#pragma once

#include <mat/training/progress.hpp>

#include <cmath>
#include <cstdio>
#include <string>

#if defined(__unix__) || defined(__APPLE__)
#include <unistd.h>
#endif

namespace example {

/// True if what is printed to stderr is read by a person.
[[nodiscard]] inline bool stderr_is_terminal() {
#if defined(__unix__) || defined(__APPLE__)
  return ::isatty(STDERR_FILENO) == 1;
#else
  return false;
#endif
}

/// Shows a training on stderr: a line for each epoch, and on a terminal a bar below them that moves with every step.
///
///     epoch 2/5   loss 0.4312   validation 0.8910   21300 tokens/s   0:07
///     epoch 3/5 [#########                     ] loss 0.3120   21300 tokens/s   0:12 left
///
/// One of several trainings has a name, which stands in the place of the epoch.
class ProgressBar {
 public:
  explicit ProgressBar(std::string name = "") : name_(std::move(name)) {}
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;
  ~ProgressBar() { clear(); }

  void operator()(const mat::Progress& p) {
    if (p.event == mat::Progress::Event::epoch) {
      clear();
      std::fprintf(stderr, "%s   loss %.4f%s   %.0f tokens/s   %s\n", epoch(p).c_str(), p.loss, validation(p).c_str(),
                   tokens_per_second_, clock(p.seconds).c_str());
      return;
    }
    const bool first = tokens_per_second_ == 0.0;
    tokens_per_second_ = first ? p.tokens_per_second : 0.95 * tokens_per_second_ + 0.05 * p.tokens_per_second;
    loss_ = first ? p.loss : 0.95 * loss_ + 0.05 * p.loss;
    if (on_terminal_ && p.seconds >= drawn_ + kSecondsBetween) draw(p);
  }

 private:
  static constexpr double kSecondsBetween = 0.1;
  static constexpr int kWidth = 30;

  void draw(const mat::Progress& p) {
    const auto done = static_cast<int>(kWidth * p.batch / (p.batches > 0 ? p.batches : 1));
    const std::string bar =
        std::string(static_cast<std::size_t>(done), '#') + std::string(static_cast<std::size_t>(kWidth - done), ' ');
    std::fprintf(stderr, "\r%s [%s] loss %.4f   %.0f tokens/s   %s left\x1b[K", epoch(p).c_str(), bar.c_str(), loss_,
                 tokens_per_second_, clock(p.seconds_left).c_str());
    std::fflush(stderr);
    drawn_ = p.seconds;
    visible_ = true;
  }
  void clear() {
    if (visible_) std::fputs("\r\x1b[K", stderr);
    visible_ = false;
  }

  [[nodiscard]] std::string epoch(const mat::Progress& p) const {
    if (!name_.empty()) return name_;
    return "epoch " + std::to_string(p.epoch) + "/" + std::to_string(p.epochs);
  }
  [[nodiscard]] static std::string validation(const mat::Progress& p) {
    if (std::isnan(p.validation)) return "";
    std::array<char, 32> text{};
    std::snprintf(text.data(), text.size(), "   validation %.4f", p.validation);
    return text.data();
  }
  [[nodiscard]] static std::string clock(double seconds) {
    const auto whole = static_cast<long>(seconds + 0.5);
    const std::string rest = std::to_string(whole % 60);
    return std::to_string(whole / 60) + (rest.size() < 2 ? ":0" : ":") + rest;
  }

  std::string name_;
  bool on_terminal_ = stderr_is_terminal(), visible_ = false;
  double drawn_ = -1.0, tokens_per_second_ = 0.0, loss_ = 0.0;
};

}  // namespace example
