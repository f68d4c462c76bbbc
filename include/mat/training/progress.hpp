#pragma once

#include <mat/core/error.hpp>

#include <cmath>
#include <limits>

namespace mat {
inline namespace MAT_ABI {

/// Where a training stands: what a progress bar or a log shows after a step, and after an epoch.
struct Progress {
  enum class Event { step, epoch };
  static constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

  Event event = Event::step;
  Index epoch = 0;  // from 1
  Index epochs = 0;
  Index step = 0;            // steps of the optimiser so far, all epochs
  Index batch = 0;           // batches of this epoch so far
  Index batches = 0;         // of this epoch
  double loss = kNone;       // mean of the step; of the epoch after an epoch
  double grad_norm = kNone;  // before clipping
  double learning_rate = 0.0;
  double validation = kNone;       // after an epoch, if there is a validation
  double tokens_per_second = 0.0;  // of the step
  double seconds = 0.0;            // since this run began
  double seconds_left = 0.0;       // at the average speed so far
};

/// One line of JSON without a line break; a number that JSON cannot express is null.
[[nodiscard]] inline std::string json_line(const Progress& p) {
  const auto number = [](double x) {
    std::array<char, 32> text{};
    std::snprintf(text.data(), text.size(), "%.9g", x);
    return std::isfinite(x) ? std::string(text.data()) : std::string("null");
  };
  std::string line = p.event == Progress::Event::step ? R"({"event":"step")" : R"({"event":"epoch")";
  line += ",\"epoch\":" + std::to_string(p.epoch) + ",\"epochs\":" + std::to_string(p.epochs);
  line += ",\"step\":" + std::to_string(p.step) + ",\"batch\":" + std::to_string(p.batch);
  line += ",\"batches\":" + std::to_string(p.batches) + ",\"loss\":" + number(p.loss);
  line += ",\"grad_norm\":" + number(p.grad_norm) + ",\"learning_rate\":" + number(p.learning_rate);
  line += ",\"validation\":" + number(p.validation) + ",\"tokens_per_second\":" + number(p.tokens_per_second);
  line += ",\"seconds\":" + number(p.seconds) + ",\"seconds_left\":" + number(p.seconds_left);
  return line + "}";
}

}  // namespace MAT_ABI
}  // namespace mat
