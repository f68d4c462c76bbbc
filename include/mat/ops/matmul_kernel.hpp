#pragma once

#include <mat/core/simd_square.hpp>

#include <algorithm>
#include <cassert>

namespace mat {
inline namespace MAT_ABI {
namespace detail {

// The one product kernel behind matmul and attention: a block of kTileRows x kTileCols results stays in registers while
// the inner dimension runs past it. Columns of b lie packed in panels, so that the loads are contiguous; rows of a are
// read where they are, one number at a time.

/// What the results start from before the products are added: 0, or `factor` times a matrix, which may be c itself.
template <class T>
struct MatmulStart {
  const T* from = nullptr;
  Index row = 0;  ///< Between the rows of `from`: 0 for a bias, which all rows start from.
  T factor = 1;

  /// That of the results at (row, col).
  [[nodiscard]] MatmulStart at(Index i, Index j) const {
    return from == nullptr ? *this : MatmulStart{from + i * row + j, row, factor};
  }
};

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

/// Rows of results against one panel of b: c = start + a b.
template <class T>
struct PanelProduct {
  Index depth;
  const T* a;  // [rows, depth]
  Index a_row, a_col;
  const T* b;  // [depth, kPanelCols]
  Index b_row;
  T* c;  // [rows, kPanelCols]
  Index c_row;
  MatmulStart<T> start;
};

/// Rows [first, first + kRows) of the results, and of their columns the first kPacks packs.
template <class T, Index kRows, Index kPacks = kPanelPacks<T>>
EIGEN_DONT_INLINE void matmul_tile(const PanelProduct<T>& product, Index first) {
  using simd::Pack;
  constexpr Index kSize = Pack<T>::kSize;
  Pack<T> sums[kRows][kPacks];
#pragma GCC unroll 16
  for (Index r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (Index p = 0; p < kPacks; ++p) sums[r][p] = simd::broadcast(T(0));
  }
  // Three rows from one pointer: the processor's address arithmetic reaches base, base + s and base + 2 s for free.
  constexpr Index kBases = (kRows + 2) / 3;
  const Index depth = product.depth, a_row = product.a_row, a_col = product.a_col, b_row = product.b_row;
  const T* bases[kBases];
#pragma GCC unroll 4
  for (Index g = 0; g < kBases; ++g) bases[g] = product.a + (first + 3 * g) * a_row;
  const T* b = product.b;
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
    b += b_row;
#pragma GCC unroll 4
    for (Index g = 0; g < kBases; ++g) bases[g] += a_col;
  }
  if (product.start.from != nullptr) {
    const MatmulStart<T> start = product.start.at(first, 0);
    const Pack<T> factor = simd::broadcast(start.factor);
#pragma GCC unroll 16
    for (Index r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
      for (Index p = 0; p < kPacks; ++p) {
        sums[r][p] = simd::fma(factor, simd::load(start.from + r * start.row + p * kSize), sums[r][p]);
      }
    }
  }
  T* c = product.c + first * product.c_row;
#pragma GCC unroll 16
  for (Index r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (Index p = 0; p < kPacks; ++p) simd::store(c + r * product.c_row + p * kSize, sums[r][p]);
  }
}

/// As matmul_tile, for a panel at the edge of c of which only the first `cols` columns exist.
template <class T, Index kRows>
EIGEN_DONT_INLINE void matmul_edge_tile(const PanelProduct<T>& product, Index first, Index cols) {
  T whole[kRows * kPanelCols<T>] = {}, whole_start[kRows * kPanelCols<T>] = {};
  PanelProduct<T> tile = product;
  tile.a += first * product.a_row;
  tile.c = whole;
  tile.c_row = kPanelCols<T>;
  if (product.start.from != nullptr) {
    tile.start = {whole_start, kPanelCols<T>, product.start.factor};
    for (Index r = 0; r < kRows; ++r) {
      std::copy_n(product.start.at(first + r, 0).from, cols, whole_start + r * kPanelCols<T>);
    }
  }
  if (cols <= simd::Pack<T>::kSize) {
    matmul_tile<T, kRows, 1>(tile, 0);
  } else {
    matmul_tile<T, kRows>(tile, 0);
  }
  for (Index r = 0; r < kRows; ++r) {
    std::copy_n(whole + r * kPanelCols<T>, cols, product.c + (first + r) * product.c_row);
  }
}

/// All `rows` rows of a product; of the panel only the first `cols` columns exist. Which rows share a tile does not
/// change their bits.
template <class T>
void matmul_panel(Index rows, Index cols, const PanelProduct<T>& product) {
  const auto tiles = [&](auto tile_rows, Index& done) {
    constexpr Index kRows = decltype(tile_rows)::value;
    for (; done + kRows <= rows; done += kRows) {
      if (cols >= kPanelCols<T>) {
        matmul_tile<T, kRows>(product, done);
      } else if (cols == simd::Pack<T>::kSize) {
        matmul_tile<T, kRows, 1>(product, done);
      } else {
        matmul_edge_tile<T, kRows>(product, done, cols);
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
  MatmulStart<T> start;

  /// What the results from (row, col) on start from in the step of the inner dimension that begins at k.
  [[nodiscard]] MatmulStart<T> start_of(Index k, Index row, Index col) const {
    return (k == 0 ? start : MatmulStart<T>{c, c_row}).at(row, col);
  }
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
    for (Index j = cols.begin; j < cols.end; j += kPanelCols<T>) {
      const Index n = std::min(kPanelCols<T>, cols.end - j);
      const T* b = p.b + k * p.b_row + j * p.b_col;
      Index b_row = p.b_row;
      // A panel that lies contiguous already is worth a copy if many rows use it and its own rows lie far apart.
      const bool worth_copying = m > 2 * kTileRows && depth * p.b_row > kNearNumbers;
      if (p.b_col != 1 || n < kPanelCols<T> || worth_copying) {
        pack_panel(depth, n, b, p.b_row, p.b_col, panel);
        b = panel;
        b_row = kPanelCols<T>;
      }
      matmul_panel<T>(m, n,
                      {depth, p.a + rows.begin * p.a_row + k * p.a_col, p.a_row, p.a_col, b, b_row,
                       p.c + rows.begin * p.c_row + j, p.c_row, p.start_of(k, rows.begin, j)});
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
        matmul_panel<T>(m, std::min(kPanelCols<T>, cols.end - j),
                        {depth, strip, 1, kStripRows, panels + (j - cols.begin) * kDepth, kPanelCols<T>,
                         p.c + i * p.c_row + j, p.c_row, p.start_of(k, i, j)});
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
