#pragma once

#include <mat/layers/parameters.hpp>
#include <mat/ops/normalize.hpp>

#include <limits>
#include <optional>

namespace mat {
inline namespace MAT_ABI {

/// Divides each token by its root mean square, then scales it.
///
///     n = x / sqrt(mean(x^2) + epsilon),   y = weight n
///     g = weight dy,   dx = (g - n mean(g n)) / rms,   dweight += sum_t dy_t n_t
///
/// Source:  Zhang & Sennrich (2019), "Root mean square layer normalization", eq. 4; names and defaults of nn.RMSNorm.
/// Shapes:  x, y [tokens, features]; weight [features].
/// Errors:  ValueError for features below 1 or a negative epsilon; ShapeError if x or dy has other columns.
/// Threads: const; one layer serves any number of threads, each with a cache of its own.
template <class T>
class RMSNorm {
 public:
  struct Config {
    Index features = 0;
    std::optional<double> epsilon;   ///< Without a value, the machine epsilon of T.
    bool elementwise_affine = true;  ///< Has a weight.
  };

  struct Parameters {
    Vector<T> weight;  // [features], or empty

    template <class Visitor, class... P>
    static void visit(Visitor&& visitor, P&... p) {
      visit_tensor("weight", visitor, p.weight...);
    }
  };

  /// What one forward leaves for its backward; `x` itself stays with the caller and must live until then.
  struct Cache {
    ConstMatrixView<T> x;          // [tokens, features]
    NormStatistics<T> statistics;  // [tokens]
    Matrix<T> y;                   // [tokens, features]
    Matrix<T> dx;                  // [tokens, features]
  };

  explicit RMSNorm(const Config& config) : config_(config) {
    check_value(config.features >= 1, "RMSNorm: features", config.features, "at least 1");
    check_value(epsilon() >= 0, "RMSNorm: epsilon", epsilon(), "at least 0");
    if (!config.elementwise_affine) return;
    parameters_.weight.resize({config.features});
    parameters_.weight.fill(1);
  }

  [[nodiscard]] const Config& config() const { return config_; }
  [[nodiscard]] const Parameters& parameters() const { return parameters_; }
  [[nodiscard]] Parameters& parameters() { return parameters_; }
  /// The epsilon in use.
  [[nodiscard]] double epsilon() const { return config_.epsilon.value_or(std::numeric_limits<T>::epsilon()); }

  ConstMatrixView<T> forward(ConstMatrixView<T> x, Cache& cache) const {
    check_shape("RMSNorm::forward: x", x, {kAny, config_.features});
    cache.x = x;
    cache.y.resize(x.shape());
    rms_norm_forward<T>(x, parameters_.weight, epsilon(), cache.y, cache.statistics);
    return cache.y;
  }

  ConstMatrixView<T> backward(ConstMatrixView<T> dy, Cache& cache, Parameters& grads) const {
    check_shape("RMSNorm::backward: dy", dy, {cache.x.rows(), config_.features});
    cache.dx.resize(dy.shape());
    rms_norm_backward<T>(cache.x, parameters_.weight, cache.statistics, dy, grads.weight, cache.dx);
    return cache.dx;
  }

 private:
  Config config_;
  Parameters parameters_;
};

}  // namespace MAT_ABI
}  // namespace mat
