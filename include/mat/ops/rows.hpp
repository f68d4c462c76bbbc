#pragma once

#include <mat/core/parallel.hpp>

#include <algorithm>

namespace mat {
inline namespace MAT_ABI {
namespace detail {

// How functions of matrices are cut into work items for parallel_for. The cut depends on the shapes alone, and what is
// computed for a row, or for a column, never depends on the cut.

/// Multiplications of a product that take as long as one of such a function, which has to read its numbers for it.
inline constexpr Index kReadWork = 8;

/// Calls fn(row) for each row; `work` is the number of multiplications of one row.
template <class Function>
void for_each_row(Index rows, Index work, const Function& fn) {
  constexpr Index kItemWork = 1 << 14;
  const Index item_rows = kItemWork / std::max<Index>(work, 1) + 1;
  const Index items = (rows + item_rows - 1) / item_rows;
  parallel_for(items, kReadWork * rows * work, [&](Index item, int) {
    const Index end = std::min(rows, (item + 1) * item_rows);
    for (Index row = item * item_rows; row < end; ++row) fn(row);
  });
}

/// Calls fn(begin, count) for pieces that together are [0, n); `work` is the number of multiplications of one element.
template <class Function>
void for_each_piece(Index n, Index work, const Function& fn) {
  constexpr Index kPiece = 1 << 15;
  parallel_for((n + kPiece - 1) / kPiece, kReadWork * n * work, [&](Index piece, int) {
    const Index begin = piece * kPiece;
    fn(begin, std::min(kPiece, n - begin));
  });
}

/// Calls fn(first, count) for blocks of columns, which one after the other are all of them; `work` is the number of
/// multiplications of one column. This is how sums over rows keep their order for any number of threads.
template <class Function>
void for_each_column_block(Index cols, Index work, const Function& fn) {
  constexpr Index kItemCols = 64;
  parallel_for((cols + kItemCols - 1) / kItemCols, kReadWork * cols * work, [&](Index item, int) {
    const Index first = item * kItemCols;
    fn(first, std::min(kItemCols, cols - first));
  });
}

}  // namespace detail
}  // namespace MAT_ABI
}  // namespace mat
