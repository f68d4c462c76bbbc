#pragma once

#include <mat/core/simd.hpp>
#include <mat/layers/initialize.hpp>
#include <mat/layers/parameters.hpp>
#include <mat/ops/positions.hpp>
#include <mat/ops/rows.hpp>

namespace mat {
inline namespace MAT_ABI {

/// Adds a learned vector to each token, by its position in its sequence.
///
///     y_t = x_t + weight_p,   dx = dy,   dweight_p += sum over the tokens t at position p of dy_t
///
/// Source:  Gehring et al. (2017), "Convolutional sequence to sequence learning", section 3.1; `weight` as in the
///          nn.Embedding that PyTorch models use for it, its standard deviation as in GPT-2 and BERT.
/// Shapes:  x, y [tokens, features]; weight [max_length, features]; first [sequences] or empty (see ops/positions.hpp).
/// Errors:  ValueError for a size below 1 or a sequence that ends beyond max_length; ShapeError if x or dy does not
/// fit. Threads: const; one layer serves any number of threads, each with a cache of its own.
template <class T>
class LearnedPosition {
 public:
  struct Config {
    Index max_length = 0;
    Index features = 0;
    double standard_deviation = 0.02;  ///< Of the first values.
  };

  struct Parameters {
    Matrix<T> weight;  // [max_length, features]

    template <class Visitor, class... P>
    static void visit(Visitor&& visitor, P&... p) {
      visit_tensor("weight", visitor, p.weight...);
    }
  };

  struct Cache {
    Vector<Index> positions;  // [tokens]; -1 where a row belongs to no sequence
    Matrix<T> y;              // [tokens, features]
  };

  LearnedPosition(const Config& config, const Random& random) : config_(config) {
    check_value(config.max_length >= 1, "LearnedPosition: max_length", config.max_length, "at least 1");
    check_value(config.features >= 1, "LearnedPosition: features", config.features, "at least 1");
    parameters_.weight.resize({config.max_length, config.features});
    initialize_normal<T>(parameters_.weight, config.standard_deviation, random);
  }

  [[nodiscard]] const Config& config() const { return config_; }
  [[nodiscard]] const Parameters& parameters() const { return parameters_; }
  [[nodiscard]] Parameters& parameters() { return parameters_; }

  /// Rows that belong to no sequence are copied.
  ConstMatrixView<T> forward(ConstMatrixView<T> x, const Sequences& sequences, ConstVectorView<Index> first,
                             Cache& cache) const {
    check_shape("LearnedPosition::forward: x", x, {kAny, config_.features});
    check_sequences("LearnedPosition::forward: x", x.rows(), sequences);
    check_first_positions("LearnedPosition::forward", sequences, first);
    for (Index b = 0; b < sequences.count(); ++b) {
      const Index end = first_position(first, b) + sequences.length(b);
      if (end <= config_.max_length) continue;
      detail::throw_value_error("LearnedPosition::forward: the end of sequence " + std::to_string(b),
                                std::to_string(end), "at most max_length = " + std::to_string(config_.max_length));
    }
    fill_positions(sequences, first, cache.positions);
    cache.y.assign(x);
    detail::for_each_row(x.rows(), config_.features, [&](Index t) {
      const Index p = cache.positions.data()[t];
      if (p >= 0) simd::add_scaled(config_.features, cache.y.view().row(t), T(1), parameters_.weight.view().row(p));
    });
    return cache.y;
  }
  /// Every sequence begins at position 0.
  ConstMatrixView<T> forward(ConstMatrixView<T> x, const Sequences& sequences, Cache& cache) const {
    return forward(x, sequences, {}, cache);
  }

  /// dx is dy itself.
  ConstMatrixView<T> backward(ConstMatrixView<T> dy, Cache& cache, Parameters& grads) const {
    check_shape("LearnedPosition::backward: dy", dy, cache.y.shape());
    detail::for_each_column_block(config_.features, dy.rows(), [&](Index begin, Index count) {
      for (Index t = 0; t < dy.rows(); ++t) {
        const Index p = cache.positions.data()[t];
        if (p >= 0) simd::add_scaled(count, grads.weight.view().row(p) + begin, T(1), dy.row(t) + begin);
      }
    });
    return dy;
  }

 private:
  Config config_;
  Parameters parameters_;
};

}  // namespace MAT_ABI
}  // namespace mat
