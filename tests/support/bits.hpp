#pragma once

#include "support/gradients.hpp"

#include <mat/core/tensor.hpp>

#include <cstring>

namespace mat::test {

/// Same shape and the same bytes; 0 and -0 differ, and a NaN equals itself.
template <class T>
bool same_bits(ConstMatrixView<T> a, ConstMatrixView<T> b) {
  if (a.shape() != b.shape()) return false;
  if (a.empty()) return true;
  for (Index i = 0; i < a.rows(); ++i) {
    if (std::memcmp(a.row(i), b.row(i), static_cast<std::size_t>(a.cols()) * sizeof(T)) != 0) return false;
  }
  return true;
}
template <class T>
bool same_bits(const Matrix<T>& a, const Matrix<T>& b) {
  return same_bits<T>(a.view(), b.view());
}
template <class T>
bool same_bits(const Vector<T>& a, const Vector<T>& b) {
  return same_bits<T>(ConstMatrixView<T>(a.data(), {1, a.size()}), ConstMatrixView<T>(b.data(), {1, b.size()}));
}

/// True if op(x, y), which writes one row of y for each row of x, gives the same bits for rows alone as among others,
/// at widths that put the rows of a batch at every alignment.
template <class T, class Op>
bool rows_are_independent(const Op& op) {
  for (const Index width : {1, 5, 7, 16, 33, 130}) {
    const auto x = random_tensor<T, 2>({11, width}, 17);
    Matrix<T> y({11, width});
    op(x.view(), y.view());
    for (const Index first : {0, 1, 2, 7}) {
      for (const Index count : {1, 2, 4}) {
        const Matrix<T> alone(x.view().middle_rows(first, count));
        Matrix<T> y_alone({count, width});
        op(alone.view(), y_alone.view());
        if (!same_bits<T>(y_alone.view(), y.view().middle_rows(first, count))) return false;
      }
    }
  }
  return true;
}

}  // namespace mat::test
