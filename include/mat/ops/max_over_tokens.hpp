#pragma once

#include <mat/core/sequences.hpp>
#include <mat/core/tensor.hpp>

#include <algorithm>
#include <cmath>

namespace mat {
inline namespace MAT_ABI {

/// y_bj = max over the tokens t of sequence b of x_tj, largest_bj = the first t that has it; a sequence without tokens
/// has y_b = 0 and largest_b = -1. NaN counts as the largest number.
///
/// Shapes:  x [tokens, n]; y, largest [sequences, n].
/// Errors:  ShapeError if they do not fit or `sequences` divides another number of tokens.
/// Threads: uses no others; a row of y depends on its sequence alone.
template <class T>
void max_over_tokens_forward(ConstMatrixView<T> x, const Sequences& sequences, MatrixView<T> y,
                             MatrixView<Index> largest) {
  check_sequences("max_over_tokens_forward: x", x.rows(), sequences);
  check_shape("max_over_tokens_forward: y", y, {sequences.count(), x.cols()});
  check_shape("max_over_tokens_forward: largest", largest, y.shape());
  for (Index b = 0; b < sequences.count(); ++b) {
    T* best = y.row(b);
    Index* at = largest.row(b);
    for (Index j = 0; j < x.cols(); ++j) {
      best[j] = T(0);
      at[j] = -1;
    }
    for (Index t = sequences.begin(b); t < sequences.end(b); ++t) {
      const T* row = x.row(t);
      for (Index j = 0; j < x.cols(); ++j) {
        const bool first = t == sequences.begin(b);
        if (!first && !(row[j] > best[j]) && !(std::isnan(row[j]) && !std::isnan(best[j]))) continue;
        best[j] = row[j];
        at[j] = t;
      }
    }
  }
}

/// dx_tj = dy_bj where t = largest_bj, else 0.
///
/// Shapes:  dy, largest [sequences, n]; dx [tokens, n].
/// Errors:  ShapeError if they do not fit; ValueError for a place in `largest` beyond dx.
/// Threads: uses no others.
template <class T>
void max_over_tokens_backward(ConstMatrixView<T> dy, ConstMatrixView<Index> largest, MatrixView<T> dx) {
  check_shape("max_over_tokens_backward: largest", largest, dy.shape());
  check_shape("max_over_tokens_backward: dx", dx, {kAny, dy.cols()});
  for (Index t = 0; t < dx.rows(); ++t) std::fill_n(dx.row(t), dx.cols(), T(0));
  for (Index b = 0; b < dy.rows(); ++b) {
    for (Index j = 0; j < dy.cols(); ++j) {
      const Index t = largest.row(b)[j];
      if (t < 0) continue;
      check_value(t < dx.rows(), "max_over_tokens_backward: largest", t, "below the number of tokens, ", dx.rows());
      dx.row(t)[j] = dy.row(b)[j];
    }
  }
}

}  // namespace MAT_ABI
}  // namespace mat
