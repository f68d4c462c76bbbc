#pragma once

#include <mat/training/parameter_groups.hpp>
#include <mat/training/update.hpp>

namespace mat {
inline namespace MAT_ABI {

struct SgdConfig {
  double learning_rate = 1e-3;
  double momentum = 0.0;
  double dampening = 0.0;
  double weight_decay = 0.0;
  bool nesterov = false;
  DecayRule decay = DecayRule::all;
};

/// Stochastic gradient descent with momentum, over any value whose parameters can be visited.
///
///     g += weight_decay * p
///     b  = g in the first step, then momentum * b + (1 - dampening) * g
///     p -= learning_rate * (nesterov ? g + momentum * b : b)                     (b = g without momentum)
///
/// Source:  PyTorch optim.SGD, with its defaults.
/// Errors:  ValueError for a negative setting, or nesterov without momentum or with dampening; ShapeError if gradients
///          or state are not those of the parameters.
template <class P>
class Sgd {
 public:
  using Config = SgdConfig;

  /// All that one step leaves for the next: save it with the parameters to resume.
  struct State {
    Index step = 0;
    P momentum_buffer;  // as the parameters; without numbers if momentum is 0

    template <class Visitor, class... S>
    static void visit(Visitor&& visitor, S&... s) {
      detail::visit_with_prefix("momentum_buffer", visitor, s.momentum_buffer...);
    }
  };

  explicit Sgd(const P& parameters, const Config& config = {})
      : Sgd(parameters, config, ParameterGroups(parameters, config.decay)) {}
  /// With a rule (name, rank) -> ParameterGroup for settings that differ from parameter to parameter.
  template <class Rule>
  Sgd(const P& parameters, const Config& config, const Rule& rule)
      : Sgd(parameters, config, ParameterGroups(parameters, config.decay, rule)) {}
  Sgd(const P& parameters, const Config& config, const ParameterGroups& groups)
      : config_(check(config)),
        groups_(groups),
        state_{0, config.momentum > 0.0 ? zeros_like(parameters) : detail::without_values(parameters)} {}

  [[nodiscard]] const Config& config() const { return config_; }
  [[nodiscard]] double learning_rate() const { return config_.learning_rate; }
  void set_learning_rate(double rate) {
    check_value(rate >= 0.0, "Sgd::set_learning_rate: rate", rate, "at least 0");
    config_.learning_rate = rate;
  }
  [[nodiscard]] const State& state() const { return state_; }
  [[nodiscard]] State& state() { return state_; }

  void step(P& parameters, const P& grads) {
    check_same_parameters("Sgd::step: grads", parameters, grads);
    const bool momentum = config_.momentum > 0.0;
    if (momentum) check_same_parameters("Sgd::step: state.momentum_buffer", parameters, state_.momentum_buffer);
    std::size_t i = 0;
    for_each_parameter(
        [&](const ParameterName&, auto& p, const auto& g, auto& buffer) {
          const ParameterGroup& group = groups_[i++];
          if (momentum) {
            update_with_momentum(group, p, g, buffer);
          } else {
            update_plain(group, p, g);
          }
        },
        parameters, grads, state_.momentum_buffer);
    ++state_.step;
  }

 private:
  static const Config& check(const Config& c) {
    check_value(c.learning_rate >= 0.0, "Sgd: learning_rate", c.learning_rate, "at least 0");
    check_value(c.momentum >= 0.0, "Sgd: momentum", c.momentum, "at least 0");
    check_value(c.weight_decay >= 0.0, "Sgd: weight_decay", c.weight_decay, "at least 0");
    if (c.nesterov) {
      check_value(c.momentum > 0.0, "Sgd: momentum with nesterov", c.momentum, "more than 0");
      check_value(c.dampening == 0.0, "Sgd: dampening with nesterov", c.dampening, "0");
    }
    return c;
  }

  template <class Tensor>
  void update_plain(const ParameterGroup& group, Tensor& p, const Tensor& g) const {
    using T = typename Tensor::Scalar;
    using Pack = simd::Pack<T>;
    const Pack rate = simd::broadcast(static_cast<T>(-config_.learning_rate * group.learning_rate));
    const Pack decay = simd::broadcast(static_cast<T>(config_.weight_decay * group.weight_decay));
    detail::update(
        p.size(), [=](Pack dp, Pack* v) { v[0] = simd::fma(rate, simd::fma(decay, v[0], dp), v[0]); }, g.data(),
        p.data());
  }

  template <class Tensor>
  void update_with_momentum(const ParameterGroup& group, Tensor& p, const Tensor& g, Tensor& buffer) const {
    using T = typename Tensor::Scalar;
    using Pack = simd::Pack<T>;
    const bool first = state_.step == 0;
    const Pack rate = simd::broadcast(static_cast<T>(-config_.learning_rate * group.learning_rate));
    const Pack decay = simd::broadcast(static_cast<T>(config_.weight_decay * group.weight_decay));
    const Pack momentum = simd::broadcast(static_cast<T>(config_.momentum));
    const Pack keep = simd::broadcast(static_cast<T>(first ? 0.0 : config_.momentum));
    const Pack gain = simd::broadcast(static_cast<T>(first ? 1.0 : 1.0 - config_.dampening));
    const bool nesterov = config_.nesterov;
    detail::update(
        p.size(),
        [=](Pack dp, Pack* v) {
          const Pack d = simd::fma(decay, v[0], dp);
          v[1] = keep * v[1] + gain * d;
          v[0] = simd::fma(rate, nesterov ? simd::fma(momentum, v[1], d) : v[1], v[0]);
        },
        g.data(), p.data(), buffer.data());
  }

  Config config_;
  ParameterGroups groups_;
  State state_;
};

}  // namespace MAT_ABI
}  // namespace mat
