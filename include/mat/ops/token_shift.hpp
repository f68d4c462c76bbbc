#pragma once

#include <mat/core/sequences.hpp>
#include <mat/core/simd.hpp>
#include <mat/core/tensor.hpp>

#include <algorithm>

namespace mat {
inline namespace MAT_ABI {

/// Gives each token the row of the token before it, across the segments of a stream.
///
///     y_t = x_(t - 1), and of a sequence's first token `last`;   next_last = x of its last token, or last without any
///
/// Source:  Peng et al. (2023), "RWKV: reinventing RNNs for the transformer era": its token shift, without a mixture.
/// Shapes:  x, y [tokens, features]; last, next_last [sequences, features]. Rows of y between sequences become 0.
/// Errors:  ShapeError if they do not fit.
template <class T>
void shift_tokens_forward(ConstMatrixView<T> x, const Sequences& sequences, ConstMatrixView<T> last, MatrixView<T> y,
                          MatrixView<T> next_last) {
  check_sequences("shift_tokens_forward: x", x.rows(), sequences);
  check_shape("shift_tokens_forward: last", last, {sequences.count(), x.cols()});
  check_shape("shift_tokens_forward: y", y, x.shape());
  check_shape("shift_tokens_forward: next_last", next_last, last.shape());
  if (sequences.has_gaps()) y.matrix().setZero();
  for (Index b = 0; b < sequences.count(); ++b) {
    const T* before = last.row(b);
    for (Index t = sequences.begin(b); t < sequences.end(b); ++t) {
      std::copy_n(before, x.cols(), y.row(t));
      before = x.row(t);
    }
    std::copy_n(before, x.cols(), next_last.row(b));
  }
}

/// Adds to dx and dlast. Shapes and errors as shift_tokens_forward.
template <class T>
void shift_tokens_backward(ConstMatrixView<T> dy, ConstMatrixView<T> dnext_last, const Sequences& sequences,
                           MatrixView<T> dx, MatrixView<T> dlast) {
  check_sequences("shift_tokens_backward: dy", dy.rows(), sequences);
  check_shape("shift_tokens_backward: dnext_last", dnext_last, {sequences.count(), dy.cols()});
  check_shape("shift_tokens_backward: dx", dx, dy.shape());
  check_shape("shift_tokens_backward: dlast", dlast, dnext_last.shape());
  for (Index b = 0; b < sequences.count(); ++b) {
    T* before = dlast.row(b);
    for (Index t = sequences.begin(b); t < sequences.end(b); ++t) {
      simd::add_scaled(dy.cols(), before, T(1), dy.row(t));
      before = dx.row(t);
    }
    simd::add_scaled(dy.cols(), before, T(1), dnext_last.row(b));
  }
}

}  // namespace MAT_ABI
}  // namespace mat
