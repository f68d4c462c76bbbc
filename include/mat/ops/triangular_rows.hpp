#pragma once

#include <mat/core/simd.hpp>

#include <algorithm>

namespace mat {
inline namespace MAT_ABI {
namespace detail {

/// Rows of which each is known when those before it are: the inside of a triangular solve.
///
///     y_t = scale_t x_t,   then x_i += w_it y_t for all i > t         first row to last
///
/// x is left with the x_t that y_t came from; it must not be y. Strides may be negative, so a solve from the last row
/// to the first is one too. Of w only what is below its diagonal is read.
template <class T>
struct TriangularRows {
  const T* weights;  // w: [rows, rows]
  Index weights_row, weights_col;
  const T* scales;  // [rows]
  Index scales_row;
  T* x;  // [rows, cols]
  Index x_row;
  T* y;  // [rows, cols]
  Index y_row;
};

/// One pack of columns: all rows stay in registers.
template <class T, Index kRows>
EIGEN_ALWAYS_INLINE void solve_pack(const TriangularRows<T>& p) {
  simd::Pack<T> x[kRows];
#pragma GCC unroll 8
  for (Index t = 0; t < kRows; ++t) x[t] = simd::load(p.x + t * p.x_row);
#pragma GCC unroll 8
  for (Index t = 0; t < kRows; ++t) {
    const simd::Pack<T> y = simd::broadcast(p.scales[t * p.scales_row]) * x[t];
    simd::store(p.y + t * p.y_row, y);
    simd::store(p.x + t * p.x_row, x[t]);
#pragma GCC unroll 8
    for (Index i = t + 1; i < kRows; ++i) {
      x[i] = simd::fma(simd::broadcast(p.weights[i * p.weights_row + t * p.weights_col]), y, x[i]);
    }
  }
}

/// All columns of kRows rows.
template <class T, Index kRows>
EIGEN_DONT_INLINE void solve_rows(Index cols, TriangularRows<T> p) {
  constexpr Index kSize = simd::Pack<T>::kSize;
  for (; cols >= kSize; cols -= kSize, p.x += kSize, p.y += kSize) solve_pack<T, kRows>(p);
  if (cols == 0) return;
  // The last columns, fewer than a pack, pass through copies.
  T x[kRows * kSize] = {}, y[kRows * kSize];
  for (Index t = 0; t < kRows; ++t) std::copy_n(p.x + t * p.x_row, cols, x + t * kSize);
  solve_pack<T, kRows>({p.weights, p.weights_row, p.weights_col, p.scales, p.scales_row, x, kSize, y, kSize});
  for (Index t = 0; t < kRows; ++t) {
    std::copy_n(x + t * kSize, cols, p.x + t * p.x_row);
    std::copy_n(y + t * kSize, cols, p.y + t * p.y_row);
  }
}

}  // namespace detail
}  // namespace MAT_ABI
}  // namespace mat
