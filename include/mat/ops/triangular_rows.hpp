#pragma once

#include <mat/core/simd.hpp>

namespace mat {
inline namespace MAT_ABI {
namespace detail {

/// Rows that lie `row` numbers apart, backwards if that is negative; no rows if `data` is nullptr.
template <class T>
struct StridedRows {
  T* data = nullptr;
  Index row = 0;

  [[nodiscard]] T* at(Index t) const { return data + t * row; }
  /// Moves on to the next row, which costs a sum where at() costs a product; not beyond the last.
  void next() { data += row; }
};

/// Rows of which each is known when those before it are: a block of a triangular solve.
///
///     x_t = start_t + factor_t product_t + sum_(i < t) w_ti y_i,    y_t = scale_t x_t,    z_t = part_t y_t
///
/// Rows of y before the first are known: -before <= i. Strides may be negative, so a solve from the last row to the
/// first is one too. Either x or y may be `product`, else the three and z are apart; of w only what is below its
/// diagonal is read.
template <class T>
struct TriangularRows {
  Index before = 0;
  const T* weights = nullptr;  // w: [rows, before + rows], where w_00 is
  Index weights_row = 0, weights_col = 0;
  StridedRows<const T> start, product;       // [rows, cols]; no start is 0
  StridedRows<const T> factor, scale, part;  // [rows, 1]
  StridedRows<T> x, y, z;                    // [rows, cols]; z is not written if it is none
};

/// kPacks packs of columns from `col` on, or if not kWhole `count` columns, fewer than a pack. All rows stay in
/// registers, or nearly so where the processor has 16: two packs, which do not wait for each other, are worth it.
template <class T, Index kRows, Index kPacks, bool kWhole>
EIGEN_ALWAYS_INLINE void solve_packs(const TriangularRows<T>& p, Index col, Index count) {
  using simd::Pack;
  const auto load = [&](const T* row, Index pack) {
    const T* from = row + col + pack * Pack<T>::kSize;
    return kWhole ? simd::load(from) : simd::load_first(from, count);
  };
  const auto store = [&](T* row, Index pack, Pack<T> x) {
    T* to = row + col + pack * Pack<T>::kSize;
    kWhole ? simd::store(to, x) : simd::store_first(to, count, x);
  };
  Pack<T> x[kRows][kPacks], y[kPacks];
  StridedRows<const T> start = p.start, product = p.product, factors = p.factor;
#pragma GCC unroll 8
  for (Index t = 0; t < kRows; ++t) {
    if (t > 0) start.next(), product.next(), factors.next();
    const Pack<T> factor = simd::broadcast(*factors.data);
#pragma GCC unroll 4
    for (Index c = 0; c < kPacks; ++c) {
      x[t][c] = start.data == nullptr ? simd::broadcast(T(0)) : load(start.data, c);
      x[t][c] = simd::fma(factor, load(product.data, c), x[t][c]);
    }
  }
  const auto add = [&](Index t, T weight) {  // x_t += weight y
    const Pack<T> w = simd::broadcast(weight);
#pragma GCC unroll 4
    for (Index c = 0; c < kPacks; ++c) x[t][c] = simd::fma(w, y[c], x[t][c]);
  };
  StridedRows<const T> known{p.y.at(-p.before), p.y.row};
  StridedRows<const T> columns{p.weights - p.before * p.weights_col, p.weights_col};
  for (Index i = 0; i < p.before; ++i, known.next(), columns.next()) {
#pragma GCC unroll 4
    for (Index c = 0; c < kPacks; ++c) y[c] = load(known.data, c);
    StridedRows<const T> weights{columns.data, p.weights_row};
#pragma GCC unroll 8
    for (Index t = 0; t < kRows; ++t) {
      if (t > 0) weights.next();
      add(t, *weights.data);
    }
  }
  StridedRows<const T> scales = p.scale, parts = p.part, diagonal{p.weights, p.weights_row + p.weights_col};
  StridedRows<T> x_to = p.x, y_to = p.y, z_to = p.z;
#pragma GCC unroll 8
  for (Index t = 0; t < kRows; ++t) {
    if (t > 0) scales.next(), parts.next(), diagonal.next(), x_to.next(), y_to.next(), z_to.next();
    const Pack<T> scale = simd::broadcast(*scales.data);
#pragma GCC unroll 4
    for (Index c = 0; c < kPacks; ++c) {
      y[c] = scale * x[t][c];
      store(x_to.data, c, x[t][c]);
      store(y_to.data, c, y[c]);
      if (z_to.data != nullptr) store(z_to.data, c, simd::broadcast(*parts.data) * y[c]);
    }
    StridedRows<const T> weights{diagonal.data, p.weights_row};
#pragma GCC unroll 8
    for (Index i = t + 1; i < kRows; ++i) {
      weights.next();
      add(i, *weights.data);
    }
  }
}

/// All columns of kRows rows.
template <class T, Index kRows>
EIGEN_DONT_INLINE void solve_rows(Index cols, const TriangularRows<T>& p) {
  constexpr Index kSize = simd::Pack<T>::kSize, kPacks = 2;
  Index col = 0;
  for (; col + kPacks * kSize <= cols; col += kPacks * kSize) solve_packs<T, kRows, kPacks, true>(p, col, 0);
  for (; col + kSize <= cols; col += kSize) solve_packs<T, kRows, 1, true>(p, col, 0);
  if (col < cols) solve_packs<T, kRows, 1, false>(p, col, cols - col);
}

}  // namespace detail
}  // namespace MAT_ABI
}  // namespace mat
