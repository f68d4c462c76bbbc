#pragma once

#include <mat/core/sequences.hpp>
#include <mat/core/tensor.hpp>

#include <algorithm>
#include <cmath>

namespace mat {
inline namespace MAT_ABI {

namespace detail {

/// True if a is larger than b, where NaN is larger than any number.
template <class T>
[[nodiscard]] bool exceeds(T a, T b) {
  return a > b || (std::isnan(a) && !std::isnan(b));
}

}  // namespace detail

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
        if (!first && !detail::exceeds(row[j], best[j])) continue;
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

/// next = max(state, y), element by element: a maximum that goes on from part to part of a sequence. Equal ones are the
/// state's; NaN counts as the largest number.
///
/// Shapes:  state, y, next [sequences, n]; next may be state.
/// Errors:  ShapeError if they do not fit.
/// Threads: uses no others.
template <class T>
void running_max_forward(ConstMatrixView<T> state, ConstMatrixView<T> y, MatrixView<T> next) {
  check_shape("running_max_forward: y", y, state.shape());
  check_shape("running_max_forward: next", next, state.shape());
  for (Index b = 0; b < y.rows(); ++b) {
    for (Index j = 0; j < y.cols(); ++j) {
      next.row(b)[j] = detail::exceeds(y.row(b)[j], state.row(b)[j]) ? y.row(b)[j] : state.row(b)[j];
    }
  }
}

/// dy = dnext where y was larger, else dstate += dnext.
///
/// Shapes:  dnext, state, y, dstate, dy [sequences, n].
/// Errors:  ShapeError if they do not fit.
/// Threads: uses no others.
template <class T>
void running_max_backward(ConstMatrixView<T> dnext, ConstMatrixView<T> state, ConstMatrixView<T> y,
                          MatrixView<T> dstate, MatrixView<T> dy) {
  check_shape("running_max_backward: state", state, dnext.shape());
  check_shape("running_max_backward: y", y, dnext.shape());
  check_shape("running_max_backward: dstate", dstate, dnext.shape());
  check_shape("running_max_backward: dy", dy, dnext.shape());
  for (Index b = 0; b < y.rows(); ++b) {
    for (Index j = 0; j < y.cols(); ++j) {
      const bool larger = detail::exceeds(y.row(b)[j], state.row(b)[j]);
      dy.row(b)[j] = larger ? dnext.row(b)[j] : T(0);
      if (!larger) dstate.row(b)[j] += dnext.row(b)[j];
    }
  }
}

}  // namespace MAT_ABI
}  // namespace mat
