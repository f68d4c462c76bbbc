#pragma once

#include <mat/core/sequences.hpp>
#include <mat/core/simd.hpp>
#include <mat/core/tensor.hpp>

#include <algorithm>

namespace mat {
inline namespace MAT_ABI {

namespace detail {

/// Calls fn(place, row) for each token s of the window around token t that lies in [begin, end): it is the token
/// number `place` of the window. The window of width w begins (w - 1) / 2 tokens before t.
template <class Function>
void for_each_in_window(Index t, Index width, Index begin, Index end, const Function& fn) {
  const Index start = t - (width - 1) / 2;
  const Index last = std::min(end, start + width);
  for (Index s = std::max(begin, start); s < last; ++s) fn(s - start, s);
}

}  // namespace detail

/// y_t = [x_{t-l} ... x_{t-l+width-1}], l = (width - 1) / 2: each token beside its neighbours of the same sequence, 0
/// where there is none. A linear map of y is a convolution over the tokens.
///
/// Shapes:  x [tokens, d]; y [tokens, width d].
/// Errors:  ValueError for a width below 1; ShapeError if they do not fit or `sequences` divides another number of
///          tokens.
/// Threads: uses no others; a row of y depends on its sequence alone.
template <class T>
void windows_forward(ConstMatrixView<T> x, const Sequences& sequences, Index width, MatrixView<T> y) {
  check_value(width >= 1, "windows_forward: width", width, "at least 1");
  check_sequences("windows_forward: x", x.rows(), sequences);
  check_shape("windows_forward: y", y, {x.rows(), width * x.cols()});
  for (Index t = 0; t < y.rows(); ++t) std::fill_n(y.row(t), y.cols(), T(0));  // those between sequences too
  for (Index b = 0; b < sequences.count(); ++b) {
    for (Index t = sequences.begin(b); t < sequences.end(b); ++t) {
      detail::for_each_in_window(t, width, sequences.begin(b), sequences.end(b), [&](Index place, Index s) {
        std::copy_n(x.row(s), x.cols(), y.row(t) + place * x.cols());
      });
    }
  }
}

/// dx_s += the parts of dy that windows_forward copied from x_s, windows in order.
///
/// Shapes:  dy [tokens, width d]; dx [tokens, d].
/// Errors:  as windows_forward.
/// Threads: uses no others.
template <class T>
void windows_backward(ConstMatrixView<T> dy, const Sequences& sequences, Index width, MatrixView<T> dx) {
  check_value(width >= 1, "windows_backward: width", width, "at least 1");
  check_sequences("windows_backward: dx", dx.rows(), sequences);
  check_shape("windows_backward: dy", dy, {dx.rows(), width * dx.cols()});
  for (Index b = 0; b < sequences.count(); ++b) {
    for (Index t = sequences.begin(b); t < sequences.end(b); ++t) {
      detail::for_each_in_window(t, width, sequences.begin(b), sequences.end(b), [&](Index place, Index s) {
        simd::add_scaled(dx.cols(), dx.row(s), T(1), dy.row(t) + place * dx.cols());
      });
    }
  }
}

}  // namespace MAT_ABI
}  // namespace mat
