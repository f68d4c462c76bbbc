#pragma once

#include <mat/core/simd.hpp>
#include <mat/layers/parameters.hpp>
#include <mat/ops/positions.hpp>
#include <mat/ops/rows.hpp>

#include <cmath>

namespace mat {
inline namespace MAT_ABI {

/// Adds waves of many lengths to each token, by its position in its sequence.
///
///     y_t = x_t + pe_p,   pe_{p, 2i} = sin(p w_i),   pe_{p, 2i+1} = cos(p w_i),   w_i = base^(-2i / features)
///     dx = dy
///
/// Source:  Vaswani et al. (2017), "Attention is all you need", section 3.5.
/// Shapes:  x, y [tokens, features]; first [sequences] or empty (see ops/positions.hpp).
/// Errors:  ValueError for features below 1 or a base that is not positive; ShapeError if x or dy does not fit.
/// Threads: const; one layer serves any number of threads, each with a cache of its own.
template <class T>
class SinusoidalPosition {
 public:
  struct Config {
    Index features = 0;
    double base = 10000;
  };

  /// Nothing is learned.
  struct Parameters {
    template <class Visitor, class... P>
    static void visit(Visitor&&, P&...) {}
  };

  struct Cache {
    Matrix<T> table;  // pe: [positions, features], as many as the longest sequence so far needed
    Matrix<T> y;      // [tokens, features]
  };

  explicit SinusoidalPosition(const Config& config) : config_(config) {
    check_value(config.features >= 1, "SinusoidalPosition: features", config.features, "at least 1");
    check_value(config.base > 0, "SinusoidalPosition: base", config.base, "above 0");
  }

  [[nodiscard]] const Config& config() const { return config_; }
  [[nodiscard]] const Parameters& parameters() const { return parameters_; }
  [[nodiscard]] Parameters& parameters() { return parameters_; }

  /// Rows that belong to no sequence are copied.
  ConstMatrixView<T> forward(ConstMatrixView<T> x, const Sequences& sequences, ConstVectorView<Index> first,
                             Cache& cache) const {
    check_shape("SinusoidalPosition::forward: x", x, {kAny, config_.features});
    check_sequences("SinusoidalPosition::forward: x", x.rows(), sequences);
    check_first_positions("SinusoidalPosition::forward", sequences, first);
    grow_table(positions_end(sequences, first), cache.table);
    cache.y.assign(x);
    for (Index b = 0; b < sequences.count(); ++b) {
      const Index begin = sequences.begin(b), from = first_position(first, b);
      detail::for_each_row(sequences.length(b), config_.features, [&](Index i) {
        simd::add_scaled(config_.features, cache.y.view().row(begin + i), T(1), cache.table.view().row(from + i));
      });
    }
    return cache.y;
  }
  /// Every sequence begins at position 0.
  ConstMatrixView<T> forward(ConstMatrixView<T> x, const Sequences& sequences, Cache& cache) const {
    return forward(x, sequences, {}, cache);
  }

  /// dx is dy itself.
  ConstMatrixView<T> backward(ConstMatrixView<T> dy, Cache& cache, Parameters&) const {
    check_shape("SinusoidalPosition::backward: dy", dy, cache.y.shape());
    return dy;
  }

 private:
  void grow_table(Index positions, Matrix<T>& table) const {
    const Index d = config_.features;
    if (table.rows() >= positions && table.cols() == d) return;
    table.resize({detail::grown_rows(positions), d});
    for (Index j = 0; j < d; ++j) {
      const double frequency = std::pow(config_.base, -static_cast<double>(j - j % 2) / static_cast<double>(d));
      for (Index p = 0; p < table.rows(); ++p) {
        const double angle = static_cast<double>(p) * frequency;
        table(p, j) = static_cast<T>(j % 2 == 0 ? std::sin(angle) : std::cos(angle));
      }
    }
  }

  Config config_;
  Parameters parameters_;
};

}  // namespace MAT_ABI
}  // namespace mat
