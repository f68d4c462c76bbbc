#pragma once

#include <mat/layers/initialize.hpp>
#include <mat/layers/parameters.hpp>
#include <mat/ops/matmul.hpp>

namespace mat {
inline namespace MAT_ABI {

/// An affine map of each token.
///
///     y = x W^T + b                                  dx = dy W,  dW += dy^T x,  db += sum_t dy_t
///
/// Source:  PyTorch nn.Linear, with its names and its initialisation (uniform in +-1/sqrt(in_features)).
/// Shapes:  x [tokens, in_features]; y [tokens, out_features]; weight [out_features, in_features]; bias [out_features].
/// Errors:  ValueError for a size below 1; ShapeError if x or dy has another number of columns.
/// Threads: const; one layer serves any number of threads, each with a cache of its own.
template <class T>
class Linear {
 public:
  struct Config {
    Index in_features = 0;
    Index out_features = 0;
    bool bias = true;
  };

  struct Parameters {
    Matrix<T> weight;  // [out_features, in_features]
    Vector<T> bias;    // [out_features], or empty

    template <class Visitor, class... P>
    static void visit(Visitor&& visitor, P&... p) {
      visit_tensor("weight", visitor, p.weight...);
      visit_tensor("bias", visitor, p.bias...);
    }
  };

  /// What one forward leaves for its backward; `x` itself stays with the caller and must live until then.
  struct Cache {
    ConstMatrixView<T> x;  // [tokens, in_features]
    Matrix<T> y;           // [tokens, out_features]
    Matrix<T> dx;          // [tokens, in_features]
  };

  Linear(const Config& config, const Random& random) : config_(config) {
    check_value(config.in_features >= 1, "Linear: in_features", config.in_features, "at least 1");
    check_value(config.out_features >= 1, "Linear: out_features", config.out_features, "at least 1");
    parameters_.weight.resize({config.out_features, config.in_features});
    initialize_uniform_fan_in<T>(parameters_.weight, config.in_features, random.split(0));
    if (!config.bias) return;
    parameters_.bias.resize({config.out_features});
    initialize_uniform_fan_in<T>(parameters_.bias, config.in_features, random.split(1));
  }

  [[nodiscard]] const Config& config() const { return config_; }
  [[nodiscard]] const Parameters& parameters() const { return parameters_; }
  [[nodiscard]] Parameters& parameters() { return parameters_; }

  ConstMatrixView<T> forward(ConstMatrixView<T> x, Cache& cache) const {
    check_shape("Linear::forward: x", x, {kAny, config_.in_features});
    cache.x = x;
    cache.y.resize({x.rows(), config_.out_features});
    matmul<T>(x, transposed<T>(parameters_.weight), cache.y, parameters_.bias);
    return cache.y;
  }

  ConstMatrixView<T> backward(ConstMatrixView<T> dy, Cache& cache, Parameters& grads) const {
    check_shape("Linear::backward: dy", dy, {cache.x.rows(), config_.out_features});
    matmul_add<T>(transposed<T>(dy), cache.x, grads.weight);
    if (config_.bias) add_column_sums<T>(dy, grads.bias);
    cache.dx.resize({dy.rows(), config_.in_features});
    matmul<T>(dy, parameters_.weight, cache.dx);
    return cache.dx;
  }

 private:
  Config config_;
  Parameters parameters_;
};

}  // namespace MAT_ABI
}  // namespace mat
