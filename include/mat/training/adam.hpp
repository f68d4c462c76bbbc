#pragma once

#include <mat/training/parameter_groups.hpp>
#include <mat/training/update.hpp>

#include <cmath>

namespace mat {
inline namespace MAT_ABI {

struct AdamConfig {
  double learning_rate = 1e-3;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double weight_decay = 0.0;
  bool decoupled_weight_decay = false;  // AdamW: the decay does not pass through the moments
  bool amsgrad = false;
  DecayRule decay = DecayRule::all;
};

/// Adam, over any value whose parameters can be visited.
///
///     g += weight_decay * p          (or, decoupled: p -= learning_rate * weight_decay * p)
///     m  = beta1 m + (1 - beta1) g,     v = beta2 v + (1 - beta2) g^2,     u = v, or with amsgrad max(u, v)
///     p -= learning_rate / (1 - beta1^t) * m / (sqrt(u) / sqrt(1 - beta2^t) + epsilon)
///
/// Source:  Kingma & Ba (2015), "Adam", algorithm 1; Loshchilov & Hutter (2019), "Decoupled weight decay
///          regularization", algorithm 2; PyTorch optim.Adam, with its defaults.
/// Errors:  ValueError for a setting out of range; ShapeError if gradients or state are not those of the parameters.
template <class P>
class Adam {
 public:
  using Config = AdamConfig;

  /// All that one step leaves for the next, with PyTorch's names: save it with the parameters to resume.
  struct State {
    Index step = 0;
    P exp_avg;         // m, as the parameters
    P exp_avg_sq;      // v
    P max_exp_avg_sq;  // u; without numbers unless amsgrad

    template <class Visitor, class... S>
    static void visit(Visitor&& visitor, S&... s) {
      detail::visit_with_prefix("exp_avg", visitor, s.exp_avg...);
      detail::visit_with_prefix("exp_avg_sq", visitor, s.exp_avg_sq...);
      detail::visit_with_prefix("max_exp_avg_sq", visitor, s.max_exp_avg_sq...);
    }
  };

  explicit Adam(const P& parameters, const Config& config = {})
      : Adam(parameters, config, ParameterGroups(parameters, config.decay)) {}
  /// With a rule (name, rank) -> ParameterGroup for settings that differ from parameter to parameter.
  template <class Rule>
  Adam(const P& parameters, const Config& config, const Rule& rule)
      : Adam(parameters, config, ParameterGroups(parameters, config.decay, rule)) {}
  Adam(const P& parameters, const Config& config, const ParameterGroups& groups)
      : config_(check(config)),
        groups_(groups),
        state_{0, zeros_like(parameters), zeros_like(parameters),
               config.amsgrad ? zeros_like(parameters) : detail::without_values(parameters)} {}

  [[nodiscard]] const Config& config() const { return config_; }
  [[nodiscard]] double learning_rate() const { return config_.learning_rate; }
  void set_learning_rate(double rate) {
    check_value(rate >= 0.0, "Adam::set_learning_rate: rate", rate, "at least 0");
    config_.learning_rate = rate;
  }
  [[nodiscard]] const State& state() const { return state_; }
  [[nodiscard]] State& state() { return state_; }

  void step(P& parameters, const P& grads) {
    check_same_parameters("Adam::step: grads", parameters, grads);
    check_same_parameters("Adam::step: state.exp_avg", parameters, state_.exp_avg);
    check_same_parameters("Adam::step: state.exp_avg_sq", parameters, state_.exp_avg_sq);
    if (config_.amsgrad) check_same_parameters("Adam::step: state.max_exp_avg_sq", parameters, state_.max_exp_avg_sq);
    ++state_.step;
    const double t = static_cast<double>(state_.step);
    const double correction1 = 1.0 - std::pow(config_.beta1, t);
    const double correction2 = std::sqrt(1.0 - std::pow(config_.beta2, t));
    std::size_t i = 0;
    for_each_parameter(
        [&](const ParameterName&, auto& p, const auto& g, auto& m, auto& v, auto& u) {
          using T = typename std::decay_t<decltype(p)>::Scalar;
          const Update<T> update(config_, groups_[i++], correction1, correction2);
          if (config_.amsgrad) {
            detail::update(p.size(), update, g.data(), p.data(), m.data(), v.data(), u.data());
          } else {
            detail::update(p.size(), update, g.data(), p.data(), m.data(), v.data());
          }
        },
        parameters, grads, state_.exp_avg, state_.exp_avg_sq, state_.max_exp_avg_sq);
  }

 private:
  static const Config& check(const Config& c) {
    check_value(c.learning_rate >= 0.0, "Adam: learning_rate", c.learning_rate, "at least 0");
    check_value(c.beta1 >= 0.0 && c.beta1 < 1.0, "Adam: beta1", c.beta1, "in [0, 1)");
    check_value(c.beta2 >= 0.0 && c.beta2 < 1.0, "Adam: beta2", c.beta2, "in [0, 1)");
    check_value(c.epsilon >= 0.0, "Adam: epsilon", c.epsilon, "at least 0");
    check_value(c.weight_decay >= 0.0, "Adam: weight_decay", c.weight_decay, "at least 0");
    return c;
  }

  // The step of one parameter: factors in double, rounded once.
  template <class T>
  struct Update {
    using Pack = simd::Pack<T>;

    Update(const Config& c, const ParameterGroup& group, double correction1, double correction2)
        : keep(value(1.0 - (c.decoupled_weight_decay
                                ? c.learning_rate * group.learning_rate * c.weight_decay * group.weight_decay
                                : 0.0))),
          decay(value(c.decoupled_weight_decay ? 0.0 : c.weight_decay * group.weight_decay)),
          gain1(value(1.0 - c.beta1)),
          beta2(value(c.beta2)),
          gain2(value(1.0 - c.beta2)),
          scale(value(1.0 / correction2)),
          epsilon(value(c.epsilon)),
          rate(value(-c.learning_rate * group.learning_rate / correction1)) {}

    template <std::size_t kCount>
    void operator()(Pack dp, Pack (&values)[kCount]) const {
      Pack &p = values[0], &m = values[1], &v = values[2];
      p = p * keep;
      const Pack g = simd::fma(decay, p, dp);
      m = simd::fma(gain1, g - m, m);
      v = simd::fma(gain2 * g, g, beta2 * v);
      Pack u = v;
      if constexpr (kCount == 4) u = values[3] = simd::max(values[3], v);
      p = simd::fma(rate, m / simd::fma(simd::sqrt(u), scale, epsilon), p);
    }

    static Pack value(double x) { return simd::broadcast(static_cast<T>(x)); }
    Pack keep, decay, gain1, beta2, gain2, scale, epsilon, rate;
  };

  Config config_;
  ParameterGroups groups_;
  State state_;
};

}  // namespace MAT_ABI
}  // namespace mat
