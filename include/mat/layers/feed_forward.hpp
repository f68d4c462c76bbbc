#pragma once

#include <mat/core/simd.hpp>
#include <mat/layers/linear.hpp>
#include <mat/ops/activation.hpp>
#include <mat/ops/dropout.hpp>

#include <optional>

namespace mat {
inline namespace MAT_ABI {

/// Two linear maps with an activation between them, token by token; optionally gated.
///
///     y = linear2(dropout(activation(linear1 x)))                    plain
///     y = linear2(dropout(activation(linear1 x) * (linear3 x)))      gated: SwiGLU with silu, GEGLU with gelu
///
/// Source:  Vaswani et al. (2017), "Attention is all you need", eq. 2; Shazeer (2020), "GLU variants improve
///          transformer", eq. 6. linear1 and linear2 are named as in nn.TransformerEncoderLayer.
/// Shapes:  x, y [tokens, features]; between the maps [tokens, hidden].
/// Errors:  ValueError for a size below 1 or a dropout rate outside of [0, 1); ShapeError if x or dy has other columns.
/// Threads: const; one layer serves any number of threads, each with a cache of its own.
template <class T>
class FeedForward {
 public:
  struct Config {
    Index features = 0;
    Index hidden = 0;
    Activation activation = Activation::relu;
    bool gated = false;
    bool bias = true;
  };

  struct Parameters {
    Linear<T> linear1;                 // features -> hidden
    Linear<T> linear2;                 // hidden -> features
    std::optional<Linear<T>> linear3;  // features -> hidden, if gated

    template <class Visitor, class... P>
    static void visit(Visitor&& visitor, P&... p) {
      visit_layer("linear1", visitor, p.linear1...);
      visit_layer("linear2", visitor, p.linear2...);
      if ((p.linear3.has_value() && ...)) visit_layer("linear3", visitor, *p.linear3...);
    }
  };

  /// What one forward leaves for its backward; `x` itself stays with the caller and must live until then.
  struct Cache {
    Dropout dropout;  // that of the forward
    typename Linear<T>::Cache linear1, linear2, linear3;
    Matrix<T> activated;  // activation(linear1 x): [tokens, hidden]
    Matrix<T> inner;      // what linear2 reads, if gated or with dropout: [tokens, hidden]
    Matrix<T> dgate;      // gradient by linear3 x, if gated: [tokens, hidden]
  };

  FeedForward(const Config& config, const Random& random)
      : config_(checked(config)),
        parameters_{Linear<T>({config.features, config.hidden, config.bias}, random.split(0)),
                    Linear<T>({config.hidden, config.features, config.bias}, random.split(1)), std::nullopt} {
    if (config.gated) parameters_.linear3.emplace(parameters_.linear1.config(), random.split(2));
  }

  [[nodiscard]] const Config& config() const { return config_; }
  [[nodiscard]] const Parameters& parameters() const { return parameters_; }
  [[nodiscard]] Parameters& parameters() { return parameters_; }

  ConstMatrixView<T> forward(ConstMatrixView<T> x, const Dropout& dropout, Cache& cache) const {
    check_shape("FeedForward::forward: x", x, {kAny, config_.features});
    check_dropout("FeedForward::forward", dropout);
    cache.dropout = dropout;
    const ConstMatrixView<T> hidden = parameters_.linear1.forward(x, cache.linear1);
    cache.activated.resize(hidden.shape());
    activation_forward<T>(config_.activation, hidden, cache.activated);
    ConstMatrixView<T> inner = cache.activated;
    if (config_.gated || dropout.rate > 0) cache.inner.resize(hidden.shape());
    if (config_.gated) {
      gate_forward<T>(inner, parameters_.linear3->forward(x, cache.linear3), cache.inner);
      inner = cache.inner;
    }
    if (dropout.rate > 0) {
      dropout_forward<T>(dropout, inner, cache.inner);
      inner = cache.inner;
    }
    return parameters_.linear2.forward(inner, cache.linear2);
  }

  ConstMatrixView<T> backward(ConstMatrixView<T> dy, Cache& cache, Parameters& grads) const {
    check_shape("FeedForward::backward: dy", dy, {cache.linear1.x.rows(), config_.features});
    parameters_.linear2.backward(dy, cache.linear2, grads.linear2.parameters());
    Matrix<T>& dhidden = cache.linear2.dx;
    if (cache.dropout.rate > 0) dropout_backward<T>(cache.dropout, dhidden, dhidden);
    if (config_.gated) {
      cache.dgate.resize(dhidden.shape());
      gate_backward<T>(cache.activated, cache.linear3.y, dhidden, dhidden, cache.dgate);
    }
    activation_backward<T>(config_.activation, cache.linear1.y, cache.activated, dhidden, dhidden);
    const ConstMatrixView<T> dx = parameters_.linear1.backward(dhidden, cache.linear1, grads.linear1.parameters());
    if (!config_.gated) return dx;
    const auto dx3 = parameters_.linear3->backward(cache.dgate, cache.linear3, grads.linear3->parameters());
    Matrix<T>& sum = cache.linear1.dx;
    simd::add_scaled(sum.size(), sum.data(), T(1), dx3.data());
    return sum;
  }

 private:
  [[nodiscard]] static const Config& checked(const Config& config) {
    check_value(config.features >= 1, "FeedForward: features", config.features, "at least 1");
    check_value(config.hidden >= 1, "FeedForward: hidden", config.hidden, "at least 1");
    return config;
  }

  Config config_;
  Parameters parameters_;
};

}  // namespace MAT_ABI
}  // namespace mat
