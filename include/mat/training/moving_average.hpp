#pragma once

#include <mat/training/parameter_groups.hpp>

#include <cmath>

namespace mat {
inline namespace MAT_ABI {

struct MovingAverageConfig {
  double decay = 0.999;
  bool bias_correction = false;  // forget the first parameters: the average of step t is over t steps only
};

/// The exponential moving average of a model's parameters, which often validates better than the last ones.
///
///     a += (1 - decay) (p - a)                 with bias_correction  a += (1 - decay) / (1 - decay^t) (p - a)
///
/// Source:  Polyak & Juditsky (1992); PyTorch optim.swa_utils.AveragedModel with get_ema_multi_avg_fn; the correction
///          is that of Kingma & Ba (2015), "Adam", section 3.
/// Errors:  ValueError for a decay outside of [0, 1); ShapeError if the parameters are others than at the start.
template <class P>
class MovingAverage {
 public:
  using Config = MovingAverageConfig;

  /// Save it with the parameters to resume.
  struct State {
    Index updates = 0;
    P average;

    template <class Visitor, class... S>
    static void visit(Visitor&& visitor, S&... s) {
      detail::visit_with_prefix("average", visitor, s.average...);
    }
  };

  /// Starts at `parameters`.
  explicit MovingAverage(const P& parameters, const Config& config = {}) : config_(config), state_{0, parameters} {
    check_value(config.decay >= 0.0 && config.decay < 1.0, "MovingAverage: decay", config.decay, "in [0, 1)");
  }

  [[nodiscard]] const Config& config() const { return config_; }
  [[nodiscard]] const State& state() const { return state_; }
  [[nodiscard]] State& state() { return state_; }

  /// Takes in the parameters after a step of the optimiser.
  void update(const P& parameters) {
    check_same_parameters("MovingAverage::update: parameters", state_.average, parameters);
    ++state_.updates;
    double gain = 1.0 - config_.decay;
    if (config_.bias_correction) gain /= 1.0 - std::pow(config_.decay, static_cast<double>(state_.updates));
    for_each_parameter(
        [gain](const ParameterName&, auto& average, const auto& p) {
          using T = typename std::decay_t<decltype(average)>::Scalar;
          const T f = static_cast<T>(gain);
          T* a = average.data();
          for (Index i = 0; i < p.size(); ++i) a[i] += f * (p.data()[i] - a[i]);
        },
        state_.average, parameters);
  }

  /// Exchanges the model's parameters and the average, without a copy: once to evaluate, once more to train on.
  void swap(P& parameters) {
    check_same_parameters("MovingAverage::swap: parameters", state_.average, parameters);
    for_each_parameter([](const ParameterName&, auto& average, auto& p) { average.swap(p); }, state_.average,
                       parameters);
  }

 private:
  Config config_;
  State state_;
};

}  // namespace MAT_ABI
}  // namespace mat
