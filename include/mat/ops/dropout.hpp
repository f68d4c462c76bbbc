#pragma once

#include <mat/core/tensor.hpp>
#include <mat/ops/dropout_scales.hpp>
#include <mat/ops/rows.hpp>

#include <algorithm>

namespace mat {
inline namespace MAT_ABI {

/// Which numbers are dropped: a plain argument, so that the layers know no training mode. At rate 0 nothing happens.
///
/// Whether element `index` is kept is a function of (random, index): backward and a tiled attention compute the mask
/// again instead of storing it, and it does not depend on the number of threads. A training step uses a random of its
/// own, and every place of a model one of its own: `dropout.split(key)`.
///
/// Source: Srivastava et al. (2014), "Dropout"; what is kept is divided by 1 - rate, as in PyTorch; the rate is rounded
/// to 16 bits (DropoutScales).
struct Dropout {
  double rate = 0;  ///< In [0, 1).
  Random random;

  /// The same rate with an independent mask, a function of this one and `key`.
  [[nodiscard]] Dropout split(std::uint64_t key) const { return {rate, rate > 0 ? random.split(key) : random}; }
};

/// Throws ValueError unless the rate lies in [0, 1).
inline void check_dropout(std::string_view what, const Dropout& dropout) {
  check_value(dropout.rate >= 0 && dropout.rate < 1, {what, "dropout rate"}, dropout.rate, "in [0, 1)");
}

/// What element `index` is multiplied by: 0 with probability `rate`, to 16 bits, else 1 / (1 - that).
[[nodiscard]] inline double dropout_scale(const Dropout& dropout, std::uint64_t index) {
  return DropoutScales<double>(dropout.rate, dropout.random)(index);
}

/// y_ij = x_ij dropout_scale(i dropout_stride(cols) + j); y may be x.
///
/// Shapes:  x, y [rows, cols].
/// Errors:  ShapeError if they differ; ValueError for a rate outside of [0, 1).
/// Threads: uses parallel_for; an element's scale is a function of its place alone.
template <class T>
void dropout_forward(const Dropout& dropout, ConstMatrixView<T> x, MatrixView<T> y) {
  check_shape("dropout_forward: y", y, x.shape());
  check_dropout("dropout_forward", dropout);
  constexpr Index kWork = 4;
  const Index n = x.cols(), stride = dropout_stride(n);
  const Index rows = std::max<Index>(1, detail::kDropoutGroup / stride);  // that share a group
  detail::for_each_row((x.rows() + rows - 1) / rows, rows * n * kWork, [&](Index item) {
    DropoutScales<T> scales(dropout.rate, dropout.random);
    for (Index i = item * rows; i < std::min(x.rows(), (item + 1) * rows); ++i) {
      if (dropout.rate > 0) {
        scales.multiply(static_cast<std::uint64_t>(i * stride), n, x.row(i), y.row(i));
      } else if (x.row(i) != y.row(i)) {
        std::copy_n(x.row(i), n, y.row(i));
      }
    }
  });
}

/// dx_ij = dy_ij dropout_scale(index), the index as in dropout_forward; dx may be dy.
///
/// Shapes:  dy, dx [rows, cols].
/// Errors:  as dropout_forward.
/// Threads: as dropout_forward.
template <class T>
void dropout_backward(const Dropout& dropout, ConstMatrixView<T> dy, MatrixView<T> dx) {
  dropout_forward<T>(dropout, dy, dx);
}

}  // namespace MAT_ABI
}  // namespace mat
