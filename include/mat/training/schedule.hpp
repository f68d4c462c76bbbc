#pragma once

#include <mat/core/error.hpp>

#include <cmath>

namespace mat {
inline namespace MAT_ABI {

/// The numbers behind a Schedule; which of them count is said at each named constructor.
struct ScheduleConfig {
  double learning_rate = 1e-3;       // the highest rate; for noam a factor
  Index warmup_steps = 0;            // w
  double start_factor = 0.0;         // the warm-up begins at start_factor * learning_rate
  Index total_steps = 0;             // n, warm-up included
  double final_learning_rate = 0.0;  // eta_min of cosine_annealing
  double cycles = 0.5;               // of cosine: 0.5 goes down once
  Index timescale = 0;               // of inverse_sqrt; 0 means w
  Index features = 512;              // d_model of noam
  double peak_fraction = 0.3;        // of one_cycle: pct_start
  double div_factor = 25.0;          // of one_cycle: starts at learning_rate / div_factor
  double final_div_factor = 1e4;     // of one_cycle: ends at the start divided by this
};

/// The learning rate as a function of the step, counted from 0: a plain value without state, so resuming needs only
/// the step.
///
/// The warm-up, where there is one: lr * (start_factor + (1 - start_factor) * t / w) for t < w. Below, lr stands for
/// learning_rate; after total_steps a rate stays defined.
///
/// Errors: ValueError for a setting out of range.
class Schedule {
 public:
  using Config = ScheduleConfig;
  enum class Kind { constant, linear, cosine, cosine_annealing, inverse_sqrt, noam, one_cycle };

  /// lr = 1e-3, always.
  Schedule() = default;

  /// lr, after the warm-up. Uses learning_rate, warmup_steps, start_factor.
  [[nodiscard]] static Schedule constant(double learning_rate) {
    Config config;
    config.learning_rate = learning_rate;
    return {Kind::constant, config};
  }
  [[nodiscard]] static Schedule constant(const Config& config) { return {Kind::constant, config}; }

  /// lr * (n - t) / (n - w), not below 0. Uses learning_rate, warmup_steps, start_factor, total_steps.
  /// Source: Hugging Face get_linear_schedule_with_warmup.
  [[nodiscard]] static Schedule linear(const Config& config) { return {Kind::linear, config}; }

  /// lr * (1 + cos(2 pi cycles (t - w) / (n - w))) / 2. Uses those of linear, and cycles.
  /// Source: Hugging Face get_cosine_schedule_with_warmup.
  [[nodiscard]] static Schedule cosine(const Config& config) { return {Kind::cosine, config}; }

  /// end + (lr - end) * (1 + cos(pi (t - w) / (n - w))) / 2, end = final_learning_rate; after n it rises again, with
  /// period 2 (n - w). Uses those of linear, and final_learning_rate.
  /// Source: PyTorch CosineAnnealingLR(T_max = n - w), behind LinearLR in a SequentialLR if w > 0.
  [[nodiscard]] static Schedule cosine_annealing(const Config& config) { return {Kind::cosine_annealing, config}; }

  /// lr / sqrt((t - w + timescale) / timescale). Uses learning_rate, warmup_steps, start_factor, timescale.
  /// Source: Hugging Face get_inverse_sqrt_schedule.
  [[nodiscard]] static Schedule inverse_sqrt(const Config& config) { return {Kind::inverse_sqrt, config}; }

  /// lr * features^-0.5 * min((t + 1)^-0.5, (t + 1) w^-1.5). Uses learning_rate, features, warmup_steps.
  /// Source: Vaswani et al. (2017), "Attention is all you need", eq. 3.
  [[nodiscard]] static Schedule noam(const Config& config) { return {Kind::noam, config}; }

  /// Up from lr / div_factor to lr during peak_fraction of the steps, then down, both along a cosine.
  /// Uses learning_rate, total_steps, peak_fraction, div_factor, final_div_factor.
  /// Source: PyTorch OneCycleLR.
  [[nodiscard]] static Schedule one_cycle(const Config& config) { return {Kind::one_cycle, config}; }

  [[nodiscard]] Kind kind() const { return kind_; }
  [[nodiscard]] const Config& config() const { return config_; }

  /// The learning rate of step `step`, the first one being 0.
  [[nodiscard]] double rate(Index step) const {
    check_value(step >= 0, "Schedule::rate: step", step, "at least 0");
    const Config& c = config_;
    const double t = static_cast<double>(step), w = static_cast<double>(c.warmup_steps);
    if (kind_ == Kind::noam) {
      return c.learning_rate / std::sqrt(static_cast<double>(c.features)) *
             std::fmin(1.0 / std::sqrt(t + 1.0), (t + 1.0) / (w * std::sqrt(w)));
    }
    if (kind_ == Kind::one_cycle) return one_cycle_rate(t);
    if (step < c.warmup_steps) return c.learning_rate * (c.start_factor + (1.0 - c.start_factor) * t / w);
    const double n = static_cast<double>(c.total_steps), falling = std::fmax(1.0, n - w), done = (t - w) / falling;
    switch (kind_) {
      case Kind::linear:
        return c.learning_rate * std::fmax(0.0, (n - t) / falling);
      case Kind::cosine:
        return c.learning_rate * std::fmax(0.0, 0.5 * (1.0 + std::cos(2.0 * kPi * c.cycles * done)));
      case Kind::cosine_annealing:
        return c.final_learning_rate + (c.learning_rate - c.final_learning_rate) * 0.5 * (1.0 + std::cos(kPi * done));
      case Kind::inverse_sqrt: {
        const double timescale = static_cast<double>(c.timescale > 0 ? c.timescale : c.warmup_steps);
        return c.learning_rate / std::sqrt((t - w + timescale) / timescale);
      }
      default:
        return c.learning_rate;
    }
  }

 private:
  static constexpr double kPi = 3.14159265358979323846;

  Schedule(Kind kind, const Config& c) : kind_(kind), config_(c) {
    check_value(c.learning_rate >= 0.0, "Schedule: learning_rate", c.learning_rate, "at least 0");
    check_value(c.warmup_steps >= 0, "Schedule: warmup_steps", c.warmup_steps, "at least 0");
    check_value(c.start_factor >= 0.0 && c.start_factor <= 1.0, "Schedule: start_factor", c.start_factor, "in [0, 1]");
    if (kind == Kind::linear || kind == Kind::cosine || kind == Kind::cosine_annealing) {
      check_value(c.total_steps >= 1 && c.total_steps >= c.warmup_steps, "Schedule: total_steps", c.total_steps,
                  "at least 1 and at least warmup_steps, " + std::to_string(c.warmup_steps));
      check_value(c.final_learning_rate >= 0.0, "Schedule: final_learning_rate", c.final_learning_rate, "at least 0");
    }
    if (kind == Kind::inverse_sqrt) {
      check_value(c.timescale >= 0, "Schedule: timescale", c.timescale, "at least 0");
      check_value(c.timescale + c.warmup_steps >= 1, "Schedule: timescale without warmup_steps", c.timescale,
                  "at least 1");
    }
    if (kind == Kind::noam) {
      check_value(c.warmup_steps >= 1, "Schedule: warmup_steps of noam", c.warmup_steps, "at least 1");
      check_value(c.features >= 1, "Schedule: features", c.features, "at least 1");
    }
    if (kind == Kind::one_cycle) {
      check_value(c.total_steps >= 1, "Schedule: total_steps", c.total_steps, "at least 1");
      check_value(c.peak_fraction >= 0.0 && c.peak_fraction <= 1.0, "Schedule: peak_fraction", c.peak_fraction,
                  "in [0, 1]");
      check_value(c.div_factor > 0.0, "Schedule: div_factor", c.div_factor, "more than 0");
      check_value(c.final_div_factor > 0.0, "Schedule: final_div_factor", c.final_div_factor, "more than 0");
    }
  }

  [[nodiscard]] double one_cycle_rate(double t) const {
    const double first = config_.learning_rate / config_.div_factor;
    const double peak = config_.peak_fraction * static_cast<double>(config_.total_steps) - 1.0;
    const double end = static_cast<double>(config_.total_steps) - 1.0;
    if (t <= peak) return anneal(first, config_.learning_rate, t / peak);
    return anneal(config_.learning_rate, first / config_.final_div_factor, (t - peak) / (end - peak));
  }
  // From a to b along half a cosine. A phase of no length, 0 / 0, is at its end.
  [[nodiscard]] static double anneal(double a, double b, double part) {
    if (!(part < 1.0)) return b;
    return b + 0.5 * (a - b) * (1.0 + std::cos(kPi * part));
  }

  Kind kind_ = Kind::constant;
  Config config_;
};

}  // namespace MAT_ABI
}  // namespace mat
