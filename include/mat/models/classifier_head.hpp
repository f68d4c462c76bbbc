#pragma once

#include <mat/layers/linear.hpp>
#include <mat/models/classifier_input.hpp>

#include <algorithm>

namespace mat {
inline namespace MAT_ABI {

/// Tells the class of what was pooled of a text and what was found in it.
///
///     logits = dropout([p q]) W^T + b
///
/// Shapes:  p [texts, pooled]; q [texts, found], not read if found is 0; logits [texts, classes].
/// Errors:  ValueError for a size below 1 (found: below 0); ShapeError if an input does not fit.
/// Threads: const; one layer serves any number of threads, each with a cache of its own.
template <class T>
class ClassifierHead {
 public:
  struct Config {
    Index pooled = 0, found = 0;  ///< Columns.
    Index classes = 0;
  };

  using Parameters = typename Linear<T>::Parameters;

  /// What one forward leaves for its backward.
  struct Cache {
    Dropout dropout;
    Matrix<T> joined;           // [p q]: [texts, pooled + found]
    Matrix<T> kept, dkept;      // the same with dropout
    Matrix<T> dpooled, dfound;  // [texts, pooled], [texts, found]
    typename Linear<T>::Cache linear;
  };

  struct InputGradients {
    ConstMatrixView<T> dpooled, dfound;
  };

  ClassifierHead(const Config& config, const Random& random)
      : config_(config), linear_({config.pooled + config.found, config.classes}, random) {}

  [[nodiscard]] const Config& config() const { return config_; }
  [[nodiscard]] const Parameters& parameters() const { return linear_.parameters(); }
  [[nodiscard]] Parameters& parameters() { return linear_.parameters(); }

  ConstMatrixView<T> forward(ConstMatrixView<T> pooled, ConstMatrixView<T> found, const ClassifierDropout& dropout,
                             Cache& cache) const {
    check_shape("ClassifierHead::forward: p", pooled, {kAny, config_.pooled});
    if (config_.found > 0) check_shape("ClassifierHead::forward: q", found, {pooled.rows(), config_.found});
    cache.dropout = {dropout.pooled, dropout.random.split(2)};
    return linear_.forward(detail::dropped(cache.dropout, join(pooled, found, cache), cache.kept), cache.linear);
  }

  InputGradients backward(ConstMatrixView<T> dlogits, Cache& cache, Parameters& grads) const {
    const auto d = detail::dropped(cache.dropout, linear_.backward(dlogits, cache.linear, grads), cache.dkept);
    cache.dpooled.resize({d.rows(), config_.pooled});
    cache.dfound.resize({d.rows(), config_.found});
    for (Index b = 0; b < d.rows(); ++b) {
      std::copy_n(d.row(b), config_.pooled, cache.dpooled.view().row(b));
      std::copy_n(d.row(b) + config_.pooled, config_.found, cache.dfound.view().row(b));
    }
    return {cache.dpooled, cache.dfound};
  }

 private:
  [[nodiscard]] ConstMatrixView<T> join(ConstMatrixView<T> pooled, ConstMatrixView<T> found, Cache& cache) const {
    if (config_.found == 0) return pooled;
    cache.joined.resize({pooled.rows(), config_.pooled + config_.found});
    for (Index b = 0; b < pooled.rows(); ++b) {
      T* row = std::copy_n(pooled.row(b), config_.pooled, cache.joined.view().row(b));
      std::copy_n(found.row(b), config_.found, row);
    }
    return cache.joined;
  }

  Config config_;
  Linear<T> linear_;
};

}  // namespace MAT_ABI
}  // namespace mat
