#pragma once

#include <mat/layers/parameters.hpp>
#include <mat/ops/normalize.hpp>

namespace mat {
inline namespace MAT_ABI {

/// Normalises each token to mean 0 and variance 1, then scales and shifts it.
///
///     n = (x - mean(x)) / sqrt(var(x) + epsilon),   y = weight n + bias
///     g = weight dy,   dx = (g - mean(g) - n mean(g n)) / std,   dweight += sum_t dy_t n_t,   dbias += sum_t dy_t
///
/// Source:  Ba, Kiros & Hinton (2016), "Layer normalization", eq. 4; names and defaults of PyTorch's nn.LayerNorm.
/// Shapes:  x, y [tokens, features]; weight, bias [features].
/// Errors:  ValueError for features below 1 or a negative epsilon; ShapeError if x or dy has other columns.
/// Threads: const; one layer serves any number of threads, each with a cache of its own.
template <class T>
class LayerNorm {
 public:
  struct Config {
    Index features = 0;
    double epsilon = 1e-5;
    bool elementwise_affine = true;  ///< Has a weight, and with `bias` a bias.
    bool bias = true;
  };

  struct Parameters {
    Vector<T> weight;  // [features], or empty
    Vector<T> bias;    // [features], or empty

    template <class Visitor, class... P>
    static void visit(Visitor&& visitor, P&... p) {
      visit_tensor("weight", visitor, p.weight...);
      visit_tensor("bias", visitor, p.bias...);
    }
  };

  /// What one forward leaves for its backward; `x` itself stays with the caller and must live until then.
  struct Cache {
    ConstMatrixView<T> x;          // [tokens, features]
    NormStatistics<T> statistics;  // [tokens]
    Matrix<T> y;                   // [tokens, features]
    Matrix<T> dx;                  // [tokens, features]
  };

  explicit LayerNorm(const Config& config) : config_(config) {
    check_value(config.features >= 1, "LayerNorm: features", config.features, "at least 1");
    check_value(config.epsilon >= 0, "LayerNorm: epsilon", config.epsilon, "at least 0");
    if (!config.elementwise_affine) return;
    parameters_.weight.resize({config.features});
    parameters_.weight.fill(1);
    if (config.bias) parameters_.bias = Vector<T>({config.features});
  }

  [[nodiscard]] const Config& config() const { return config_; }
  [[nodiscard]] const Parameters& parameters() const { return parameters_; }
  [[nodiscard]] Parameters& parameters() { return parameters_; }

  ConstMatrixView<T> forward(ConstMatrixView<T> x, Cache& cache) const {
    check_shape("LayerNorm::forward: x", x, {kAny, config_.features});
    cache.x = x;
    cache.y.resize(x.shape());
    layer_norm_forward<T>(x, {parameters_.weight, parameters_.bias}, config_.epsilon, cache.y, cache.statistics);
    return cache.y;
  }

  ConstMatrixView<T> backward(ConstMatrixView<T> dy, Cache& cache, Parameters& grads) const {
    check_shape("LayerNorm::backward: dy", dy, {cache.x.rows(), config_.features});
    cache.dx.resize(dy.shape());
    layer_norm_backward<T>(cache.x, parameters_.weight, cache.statistics, dy, {grads.weight, grads.bias}, cache.dx);
    return cache.dx;
  }

 private:
  Config config_;
  Parameters parameters_;
};

}  // namespace MAT_ABI
}  // namespace mat
