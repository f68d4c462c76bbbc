#pragma once

#include <mat/training/log_file.hpp>

#include <examples/support/progress_bar.hpp>
#include <optional>
#include <string>

namespace example {

/// Shows a training on stderr, and writes it to a log if there is one.
class TrainingObserver {
 public:
  /// `log` is a path, or empty.
  explicit TrainingObserver(const std::string& log) {
    if (!log.empty()) log_.emplace(log);
  }
  void operator()(const mat::Progress& progress) {
    bar_(progress);
    if (log_) log_->write(progress);
  }

 private:
  ProgressBar bar_;
  std::optional<mat::LogFile> log_;
};

}  // namespace example
