#pragma once

#include <mat/core/simd.hpp>
#include <mat/core/tensor.hpp>
#include <mat/ops/dropout.hpp>
#include <mat/ops/rows.hpp>

namespace mat {
inline namespace MAT_ABI {

/// y = a + b, element by element; y may be a or b.
///
/// Shapes: a, b, y [rows, cols].
/// Errors: ShapeError if they differ.
template <class T>
void add(ConstMatrixView<T> a, ConstMatrixView<T> b, MatrixView<T> y) {
  check_shape("add: b", b, a.shape());
  check_shape("add: y", y, a.shape());
  detail::for_each_row(a.rows(), a.cols(), [&](Index i) {
    simd::map(
        a.cols(), y.row(i), [](simd::Pack<T> p, simd::Pack<T> q) { return p + q; }, a.row(i), b.row(i));
  });
}

/// y = a + b, element by element, in memory that y takes for it; a view of y. Errors: ShapeError if a and b differ.
template <class T>
ConstMatrixView<T> sum(ConstMatrixView<T> a, ConstMatrixView<T> b, Matrix<T>& y) {
  y.resize(a.shape());
  add<T>(a, b, y);
  return y;
}

/// A residual connection around a branch, y = x + dropout(branch).
///
/// Shapes: x, branch, y [tokens, features].
/// Errors: ShapeError if they differ.
template <class T>
void residual_forward(ConstMatrixView<T> x, ConstMatrixView<T> branch, const Dropout& dropout, Matrix<T>& y) {
  y.resize(x.shape());
  if (dropout.rate == 0) return add<T>(x, branch, y);
  dropout_forward<T>(dropout, branch, y);
  add<T>(x, y, y);
}

/// The gradient of the branch, dropout(dy): dy itself without dropout, else a view of `scratch`.
template <class T>
ConstMatrixView<T> residual_backward(ConstMatrixView<T> dy, const Dropout& dropout, Matrix<T>& scratch) {
  if (dropout.rate == 0) return dy;
  scratch.resize(dy.shape());
  dropout_backward<T>(dropout, dy, scratch);
  return scratch;
}

}  // namespace MAT_ABI
}  // namespace mat
