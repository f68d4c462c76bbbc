#pragma once

#include <mat/core/simd.hpp>

#include <algorithm>
#include <cassert>

namespace mat {
inline namespace MAT_ABI {
namespace detail {

// The one product kernel behind matmul and attention: a block of kTileRows x kTileCols results stays in registers while
// the inner dimension runs past it. Columns of b lie packed in panels, so that the loads are contiguous; rows of a are
// read where they are, one number at a time.

/// What a result starts from before the products are added.
enum class MatmulStart { zero, bias, add };

template <class T>
inline constexpr Index kPanelPacks = 2;
/// Columns of a packed panel of b.
template <class T>
inline constexpr Index kPanelCols = kPanelPacks<T>* simd::Pack<T>::kSize;
/// Rows of a block of results: with kPanelPacks packs each it fills the registers and leaves room for operands.
inline constexpr Index kTileRows = simd::kRegisters >= 32 ? 12 : 6;
/// The last rows, fewer than kTileRows, go in blocks of twice this, of this, and of 1.
inline constexpr Index kSmallTileRows = kTileRows / 3;
/// Inner dimension of a packed panel. Longer products run in several steps, whose sums are added up in order.
inline constexpr Index kPanelDepth = 256;

/// Results [kRows, kPanelCols] from `depth` columns of a and a panel of b whose rows lie `b_stride` apart.
template <class T, Index kRows>
EIGEN_DONT_INLINE void matmul_tile(Index depth, const T* a, Index a_row, Index a_col, const T* b, Index b_stride, T* c,
                                   Index c_row, MatmulStart start, const T* bias) {
  using simd::Pack;
  constexpr Index kPacks = kPanelPacks<T>;
  constexpr Index kSize = Pack<T>::kSize;
  Pack<T> sums[kRows][kPacks];
#pragma GCC unroll 16
  for (Index r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (Index p = 0; p < kPacks; ++p) sums[r][p] = simd::broadcast(T(0));
  }
  // Three rows from one pointer: the processor's address arithmetic reaches base, base + s and base + 2 s for free.
  constexpr Index kBases = (kRows + 2) / 3;
  const T* bases[kBases];
#pragma GCC unroll 4
  for (Index g = 0; g < kBases; ++g) bases[g] = a + 3 * g * a_row;
  for (Index k = 0; k < depth; ++k) {
    Pack<T> panel[kPacks];
#pragma GCC unroll 4
    for (Index p = 0; p < kPacks; ++p) panel[p] = simd::load(b + p * kSize);
#pragma GCC unroll 16
    for (Index r = 0; r < kRows; ++r) {
      const Pack<T> x = simd::broadcast(bases[r / 3][r % 3 * a_row]);
#pragma GCC unroll 4
      for (Index p = 0; p < kPacks; ++p) sums[r][p] = simd::fma(x, panel[p], sums[r][p]);
    }
    b += b_stride;
#pragma GCC unroll 4
    for (Index g = 0; g < kBases; ++g) bases[g] += a_col;
  }
  if (start != MatmulStart::zero) {
    const T* first = start == MatmulStart::bias ? bias : c;
    const Index first_row = start == MatmulStart::bias ? 0 : c_row;
#pragma GCC unroll 16
    for (Index r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
      for (Index p = 0; p < kPacks; ++p) {
        sums[r][p] = simd::load(first + r * first_row + p * kSize) + sums[r][p];
      }
    }
  }
#pragma GCC unroll 16
  for (Index r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (Index p = 0; p < kPacks; ++p) simd::store(c + r * c_row + p * kSize, sums[r][p]);
  }
}

/// As matmul_tile, for a panel at the edge of c of which only the first `cols` columns exist.
template <class T, Index kRows>
EIGEN_DONT_INLINE void matmul_edge_tile(Index cols, Index depth, const T* a, Index a_row, Index a_col, const T* b,
                                        Index b_stride, T* c, Index c_row, MatmulStart start, const T* bias) {
  T whole[kRows * kPanelCols<T>] = {};
  T whole_bias[kPanelCols<T>] = {};
  if (start == MatmulStart::bias) std::copy_n(bias, cols, whole_bias);
  if (start == MatmulStart::add) {
    for (Index r = 0; r < kRows; ++r) std::copy_n(c + r * c_row, cols, whole + r * kPanelCols<T>);
  }
  matmul_tile<T, kRows>(depth, a, a_row, a_col, b, b_stride, whole, kPanelCols<T>, start, whole_bias);
  for (Index r = 0; r < kRows; ++r) std::copy_n(whole + r * kPanelCols<T>, cols, c + r * c_row);
}

/// `rows` rows of results against one panel of b. Which rows share a tile does not change their bits.
template <class T>
void matmul_panel(Index rows, Index cols, Index depth, const T* a, Index a_row, Index a_col, const T* b, Index b_stride,
                  T* c, Index c_row, MatmulStart start, const T* bias) {
  const bool whole = cols >= kPanelCols<T>;
  const auto tiles = [&](auto tile_rows, Index& done) {
    constexpr Index kRows = decltype(tile_rows)::value;
    for (; done + kRows <= rows; done += kRows) {
      const T* a_tile = a + done * a_row;
      T* c_tile = c + done * c_row;
      if (whole) {
        matmul_tile<T, kRows>(depth, a_tile, a_row, a_col, b, b_stride, c_tile, c_row, start, bias);
      } else {
        matmul_edge_tile<T, kRows>(cols, depth, a_tile, a_row, a_col, b, b_stride, c_tile, c_row, start, bias);
      }
    }
  };
  Index done = 0;
  tiles(std::integral_constant<Index, kTileRows>(), done);
  tiles(std::integral_constant<Index, 2 * kSmallTileRows>(), done);
  tiles(std::integral_constant<Index, kSmallTileRows>(), done);
  tiles(std::integral_constant<Index, 1>(), done);
}

/// Copies a panel [depth, cols <= kPanelCols] of b into [depth, kPanelCols], zeros beyond the last column.
template <class T>
void pack_panel(Index depth, Index cols, const T* b, Index b_row, Index b_col, T* panel) {
  constexpr Index kCols = kPanelCols<T>, kSize = simd::Pack<T>::kSize;
  if (cols < kCols) std::fill_n(panel, depth * kCols, T(0));
  if (b_col == 1) {
    for (Index k = 0; k < depth; ++k) simd::copy(cols, b + k * b_row, panel + k * kCols);
    return;
  }
  Index j = 0;
  if (b_row == 1) {
    for (; j + kSize <= cols; j += kSize) {
      Index k = 0;
      for (; k + kSize <= depth; k += kSize) simd::transpose(b + j * b_col + k, b_col, panel + k * kCols + j, kCols);
      for (; k < depth; ++k) {
        for (Index i = j; i < j + kSize; ++i) panel[k * kCols + i] = b[i * b_col + k];
      }
    }
  }
  for (; j < cols; ++j) {
    for (Index k = 0; k < depth; ++k) panel[k * kCols + j] = b[k * b_row + j * b_col];
  }
}

/// c = start + a b, with any strides.
template <class T>
struct MatmulProblem {
  const T* a;  // [m, depth]
  Index a_row, a_col;
  const T* b;  // [depth, n]
  Index b_row, b_col;
  T* c;  // [m, n]
  Index c_row;
  Index depth;
  const T* bias;  // [n], read if start is bias
  MatmulStart start;
};

/// A half-open range of rows or columns.
struct MatmulRange {
  Index begin, end;
};

/// A panel of b that spans no more memory than so many numbers stays in the first-level cache as it is.
inline constexpr Index kNearNumbers = 2048;
/// Inner dimension up to which a small product reads a transposed a where it lies.
inline constexpr Index kShortDepth = 64;
/// Panels of a block whose a lies transposed.
inline constexpr Index kTransposedPanels = 8;

/// One block of results: packs each panel of b once, if that pays, and runs all its rows against it.
template <class T>
void matmul_block(const MatmulProblem<T>& p, MatmulRange rows, MatmulRange cols) {
  alignas(64) T panel[kPanelDepth * kPanelCols<T>];
  const Index m = rows.end - rows.begin;
  for (Index k = 0; k == 0 || k < p.depth; k += kPanelDepth) {
    const Index depth = std::min(kPanelDepth, p.depth - k);
    const MatmulStart start = k == 0 ? p.start : MatmulStart::add;
    for (Index j = cols.begin; j < cols.end; j += kPanelCols<T>) {
      const Index n = std::min(kPanelCols<T>, cols.end - j);
      const T* b = p.b + k * p.b_row + j * p.b_col;
      Index b_stride = p.b_row;
      // A panel that lies contiguous already is worth a copy if many rows use it and its own rows lie far apart.
      const bool worth_copying = m > 2 * kTileRows && depth * p.b_row > kNearNumbers;
      if (p.b_col != 1 || n < kPanelCols<T> || worth_copying) {
        pack_panel(depth, n, b, p.b_row, p.b_col, panel);
        b = panel;
        b_stride = kPanelCols<T>;
      }
      matmul_panel(m, n, depth, p.a + rows.begin * p.a_row + k * p.a_col, p.a_row, p.a_col, b, b_stride,
                   p.c + rows.begin * p.c_row + j, p.c_row, start, p.bias == nullptr ? nullptr : p.bias + j);
    }
  }
}

/// As matmul_block where a lies transposed, as in the gradient of a weight: strips of a are copied, and each meets all
/// panels of the block, which are packed once. Copies of both are as small as the caches want them.
template <class T>
void matmul_transposed_block(const MatmulProblem<T>& p, MatmulRange rows, MatmulRange cols) {
  constexpr Index kDepth = kPanelDepth / 2, kStripRows = 8 * kTileRows;
  static_assert(kShortDepth <= kDepth, "which products matmul_block takes may not show in their bits");
  alignas(64) T panels[kDepth * kTransposedPanels * kPanelCols<T>];
  alignas(64) T strip[kDepth * kStripRows];
  for (Index k = 0; k == 0 || k < p.depth; k += kDepth) {
    const Index depth = std::min(kDepth, p.depth - k);
    const MatmulStart start = k == 0 ? p.start : MatmulStart::add;
    for (Index j = cols.begin; j < cols.end; j += kPanelCols<T>) {
      pack_panel(depth, std::min(kPanelCols<T>, cols.end - j), p.b + k * p.b_row + j * p.b_col, p.b_row, p.b_col,
                 panels + (j - cols.begin) * kDepth);
    }
    for (Index i = rows.begin; i < rows.end; i += kStripRows) {
      const Index m = std::min(kStripRows, rows.end - i);
      const T* a = p.a + i * p.a_row + k * p.a_col;
      for (Index kk = 0; kk < depth; ++kk) {
        T* to = strip + kk * kStripRows;
        if (p.a_row == 1) {
          simd::copy(m, a + kk * p.a_col, to);
        } else {
          for (Index r = 0; r < m; ++r) to[r] = a[kk * p.a_col + r * p.a_row];
        }
      }
      for (Index j = cols.begin; j < cols.end; j += kPanelCols<T>) {
        matmul_panel<T>(m, std::min(kPanelCols<T>, cols.end - j), depth, strip, 1, kStripRows,
                        panels + (j - cols.begin) * kDepth, kPanelCols<T>, p.c + i * p.c_row + j, p.c_row, start,
                        p.bias == nullptr ? nullptr : p.bias + j);
      }
    }
  }
}

/// How a product is cut into blocks that may run at once. No element's bits depend on the cut, so it may follow the
/// number of threads: one thread gets blocks as large as the caches like them, several get some to share.
template <class T>
class MatmulBlocks {
 public:
  MatmulBlocks(const MatmulProblem<T>& p, Index m, Index n, int threads) : m_(m), n_(n) {
    const bool transposed = p.a_col != 1;
    // Columns: a few panels each, so that also a product of few rows can use several threads.
    const Index panels = ceiling(n, kPanelCols<T>), most = transposed ? kTransposedPanels : 4;
    // Of a transposed a both operands are copied: two threads share it best if each copies half of both.
    block_cols_ = (transposed && threads > 1 ? std::clamp<Index>(ceiling(panels, 2), 1, most) : most) * kPanelCols<T>;
    col_blocks_ = ceiling(n, block_cols_);
    // Rows: few enough for their part of a to stay in the second-level cache, many enough to pay for packing b.
    constexpr Index kCacheBytes = 512 * 1024;
    const Index fits = kCacheBytes / (static_cast<Index>(sizeof(T)) * std::max<Index>(p.depth, 1));
    block_rows_ = (transposed ? 40 : std::max<Index>(16, fits / kTileRows)) * kTileRows;
    if (threads > 1 && col_blocks_ > 0) {
      const Index wanted = ceiling((transposed ? 2 : 4) * threads, col_blocks_);
      block_rows_ = std::min(block_rows_, std::max<Index>(4, ceiling(ceiling(m, wanted), kTileRows)) * kTileRows);
    }
    row_blocks_ = n == 0 ? 0 : ceiling(m, block_rows_);
  }
  [[nodiscard]] Index count() const { return row_blocks_ * col_blocks_; }
  [[nodiscard]] MatmulRange rows(Index block) const {
    const Index begin = block / col_blocks_ * block_rows_;
    return {begin, std::min(m_, begin + block_rows_)};
  }
  [[nodiscard]] MatmulRange cols(Index block) const {
    const Index begin = block % col_blocks_ * block_cols_;
    return {begin, std::min(n_, begin + block_cols_)};
  }

 private:
  [[nodiscard]] static Index ceiling(Index a, Index b) { return (a + b - 1) / b; }

  Index m_, n_, block_rows_, block_cols_, row_blocks_, col_blocks_;
};

}  // namespace detail
}  // namespace MAT_ABI
}  // namespace mat
