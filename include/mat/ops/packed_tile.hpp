#pragma once

#include <mat/ops/packed_panel.hpp>

namespace mat {
inline namespace MAT_ABI {
namespace detail {

/// Sums [kRows, kPanels * kPanelCols] of `depth` numbers of each row of x with kPanels panels, `panel_stride` apart.
/// A product of few rows is as fast as its weights can be read: several panels at once keep enough sums in flight.
template <class T, class Stored, Index kRows, Index kPanels>
EIGEN_DONT_INLINE void packed_tile(Index depth, const T* x, Index x_row, const Stored* panels, Index panel_stride,
                                   T* sums) {
  using simd::Pack;
  using Reader = PanelReader<T, Stored>;
  constexpr Index kSize = Pack<T>::kSize, kPacks = kPanels * kPanelPacks<T>;
  Pack<T> s[kRows][kPacks];
#pragma GCC unroll 8
  for (Index r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
    for (Index p = 0; p < kPacks; ++p) s[r][p] = simd::broadcast(T(0));
  }
  // kCount rows of the panels from row k on: all that a reader gives, or one where the depth is odd.
  const auto step = [&](Index k, auto count) {
#pragma GCC unroll 4
    for (Index g = 0; g < kPanels; ++g) {
      Pack<T> w[Reader::kRows][kPanelPacks<T>];
      Reader::read(panels + g * panel_stride + k * kPanelCols<T>, w);
#pragma GCC unroll 2
      for (Index i = 0; i < decltype(count)::value; ++i) {
#pragma GCC unroll 8
        for (Index r = 0; r < kRows; ++r) {
          const Pack<T> xs = simd::broadcast(x[r * x_row + k + i]);
#pragma GCC unroll 4
          for (Index p = 0; p < kPanelPacks<T>; ++p) {
            Pack<T>& sum = s[r][g * kPanelPacks<T> + p];
            sum = simd::fma(xs, w[i][p], sum);
          }
        }
      }
    }
  };
  Index k = 0;
  for (; k + Reader::kRows <= depth; k += Reader::kRows) step(k, std::integral_constant<Index, Reader::kRows>());
  if (k < depth) step(k, std::integral_constant<Index, 1>());
#pragma GCC unroll 8
  for (Index r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
    for (Index p = 0; p < kPacks; ++p) simd::store(sums + (r * kPacks + p) * kSize, s[r][p]);
  }
}

/// Sums [kRows, kPanelCols], `sums_row` apart, of `depth` numbers of each row of x with a panel of its own, the panels
/// `panel_row` apart: 0 for one that all share. The sums of packed_tile in the same order; those of several rows do not
/// wait for each other.
template <class T, Index kRows>
EIGEN_DONT_INLINE void packed_rows(Index depth, const T* x, Index x_row, const T* panels, Index panel_row, T* sums,
                                   Index sums_row) {
  using simd::Pack;
  constexpr Index kSize = Pack<T>::kSize, kPacks = kPanelPacks<T>;
  Pack<T> s[kRows][kPacks];
#pragma GCC unroll 8
  for (Index r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (Index p = 0; p < kPacks; ++p) s[r][p] = simd::broadcast(T(0));
  }
  for (Index k = 0; k < depth; ++k) {
#pragma GCC unroll 8
    for (Index r = 0; r < kRows; ++r) {
      const Pack<T> xs = simd::broadcast(x[r * x_row + k]);
      const T* panel = panels + r * panel_row + k * kPanelCols<T>;
#pragma GCC unroll 4
      for (Index p = 0; p < kPacks; ++p) s[r][p] = simd::fma(xs, simd::load(panel + p * kSize), s[r][p]);
    }
  }
#pragma GCC unroll 8
  for (Index r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (Index p = 0; p < kPacks; ++p) simd::store(sums + r * sums_row + p * kSize, s[r][p]);
  }
}

}  // namespace detail
}  // namespace MAT_ABI
}  // namespace mat
