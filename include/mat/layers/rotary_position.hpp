#pragma once

#include <mat/layers/parameters.hpp>
#include <mat/ops/positions.hpp>
#include <mat/ops/rotary.hpp>

namespace mat {
inline namespace MAT_ABI {

/// Rotates the queries and keys of each head by their positions, so that their products depend on the distance alone.
///
///     y_a = x_a cos(p w_i) - x_b sin(p w_i),   y_b = x_a sin(p w_i) + x_b cos(p w_i),   w_i = base^(-2i / rotary_dim)
///
/// Queries and keys are rotated with one cache: `prepare` it once, then `forward` each of them, in place or not.
///
/// Source:  Su et al. (2021), "RoFormer: enhanced transformer with rotary position embedding", eq. 34.
/// Shapes:  x, y, dy, dx [tokens, heads * head_dim]; first [sequences] or empty (see ops/positions.hpp).
/// Errors:  ValueError for a head_dim below 1, a rotary_dim that is odd or above head_dim, a base that is not positive,
///          or columns that are no multiple of head_dim; ShapeError if x, y or dy does not fit.
/// Threads: const; one layer serves any number of threads, each with a cache of its own.
template <class T>
class RotaryPosition {
 public:
  struct Config {
    Index head_dim = 0;
    Index rotary_dim = 0;  ///< The first so many features of a head are rotated; 0 means all of them.
    double base = 10000;
    RotaryPairs pairs = RotaryPairs::half_split;
  };

  /// Nothing is learned.
  struct Parameters {
    template <class Visitor, class... P>
    static void visit(Visitor&&, P&...) {}
  };

  struct Cache {
    Matrix<T> cos, sin;       // [positions, rotary_dim / 2], as many as the longest sequence so far needed
    Vector<Index> positions;  // [tokens]
  };

  explicit RotaryPosition(const Config& config) : config_(config) {
    check_value(config.head_dim >= 1, "RotaryPosition: head_dim", config.head_dim, "at least 1");
    if (config.rotary_dim == 0) config_.rotary_dim = config.head_dim;
    check_value(config_.rotary_dim >= 2 && config_.rotary_dim % 2 == 0 && config_.rotary_dim <= config.head_dim,
                "RotaryPosition: rotary_dim", config_.rotary_dim,
                "even and in [2, " + std::to_string(config.head_dim) + "]");
    check_value(config.base > 0, "RotaryPosition: base", config.base, "above 0");
  }

  /// With rotary_dim as it is in use.
  [[nodiscard]] const Config& config() const { return config_; }
  [[nodiscard]] const Parameters& parameters() const { return parameters_; }
  [[nodiscard]] Parameters& parameters() { return parameters_; }

  /// Computes the positions of all tokens, and the angles if the cache does not hold enough of them yet.
  void prepare(const Sequences& sequences, ConstVectorView<Index> first, Cache& cache) const {
    check_first_positions("RotaryPosition::prepare", sequences, first);
    fill_positions(sequences, first, cache.positions);
    for (Index t = 0; t < cache.positions.size(); ++t) {
      if (cache.positions.data()[t] < 0) cache.positions.data()[t] = 0;
    }
    const Index needed = positions_end(sequences, first), pairs = config_.rotary_dim / 2;
    if (cache.cos.rows() >= needed && cache.cos.rows() > 0 && cache.cos.cols() == pairs) return;
    cache.cos.resize({detail::grown_rows(needed), pairs});
    cache.sin.resize(cache.cos.shape());
    fill_rotary_table<T>(config_.base, cache.cos, cache.sin);
  }
  /// Every sequence begins at position 0.
  void prepare(const Sequences& sequences, Cache& cache) const { prepare(sequences, {}, cache); }

  /// y = x rotated; y may be x.
  void forward(ConstMatrixView<T> x, MatrixView<T> y, const Cache& cache) const {
    rotary_forward<T>(x, cache.positions, {cache.cos, cache.sin}, {config_.head_dim, config_.pairs}, y);
  }
  /// dx = dy rotated back; dx may be dy.
  void backward(ConstMatrixView<T> dy, MatrixView<T> dx, const Cache& cache) const {
    rotary_backward<T>(dy, cache.positions, {cache.cos, cache.sin}, {config_.head_dim, config_.pairs}, dx);
  }

 private:
  Config config_;
  Parameters parameters_;
};

}  // namespace MAT_ABI
}  // namespace mat
