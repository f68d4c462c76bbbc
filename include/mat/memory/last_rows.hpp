#pragma once

#include <mat/core/parallel.hpp>
#include <mat/core/sequences.hpp>
#include <mat/core/simd.hpp>
#include <mat/core/tensor.hpp>

#include <algorithm>

namespace mat {
inline namespace MAT_ABI {
namespace detail {

// The last rows of every sequence of a batch, in blocks of `capacity` rows, oldest first. A state is copied when it is
// written, so keeping the oldest in front costs nothing, and no position of a ring has to be remembered.

/// Throws ValueError unless there is a length between 0 and `capacity` for each sequence; ShapeError if not so many.
inline void check_kept_lengths(std::string_view what, Index capacity, const Vector<Index>& lengths,
                               const Sequences& sequences) {
  check_shape({what, "the state's lengths"}, lengths, {sequences.count()});
  for (Index b = 0; b < sequences.count(); ++b) {
    check_value(lengths.data()[b] >= 0 && lengths.data()[b] <= capacity, {what, "a length of the state"},
                lengths.data()[b], "at least 0 and at most ", capacity);
  }
}

/// Calls fn(row of the block, kept row or -1, new row) for each row that sequence b keeps.
template <class Function>
void for_each_last_row(Index capacity, Index kept, const Sequences& sequences, Index b, const Function& fn) {
  const Index total = kept + sequences.length(b), dropped = std::max<Index>(0, total - capacity);
  for (Index j = dropped; j < total; ++j) {
    fn(j - dropped, j < kept ? b * capacity + j : -1, j < kept ? -1 : sequences.begin(b) + j - kept);
  }
}

/// How many rows each sequence keeps.
inline void set_kept_lengths(Index capacity, const Vector<Index>& lengths, const Sequences& sequences,
                             Vector<Index>& next) {
  next.resize(lengths.shape());
  for (Index b = 0; b < sequences.count(); ++b) {
    next.data()[b] = std::min(capacity, lengths.data()[b] + sequences.length(b));
  }
}

/// next = the last rows of [kept; added], and 0 where a block is not full.
///
/// Shapes: kept, next [sequences * capacity, features]; lengths, those of `kept`, [sequences]; added [tokens,
/// features].
template <class T>
void keep_last_rows(Index capacity, const Vector<Index>& lengths, ConstMatrixView<T> kept, ConstMatrixView<T> added,
                    const Sequences& sequences, Matrix<T>& next) {
  next.resize(kept.shape());
  parallel_for(sequences.count(), next.size(), [&](Index b, Index) {
    const MatrixView<T> block = next.view().middle_rows(b * capacity, capacity);
    Index count = 0;
    for_each_last_row(capacity, lengths.data()[b], sequences, b, [&](Index at, Index old_row, Index new_row) {
      std::copy_n(old_row >= 0 ? kept.row(old_row) : added.row(new_row), kept.cols(), block.row(at));
      count = at + 1;
    });
    for (Index at = count; at < capacity; ++at) std::fill_n(block.row(at), kept.cols(), T(0));
  });
}

/// dkept += and dadded += what came of their rows in dnext.
template <class T>
void keep_last_rows_backward(Index capacity, const Vector<Index>& lengths, ConstMatrixView<T> dnext,
                             const Sequences& sequences, MatrixView<T> dkept, MatrixView<T> dadded) {
  parallel_for(sequences.count(), dnext.size(), [&](Index b, Index) {
    for_each_last_row(capacity, lengths.data()[b], sequences, b, [&](Index at, Index old_row, Index new_row) {
      simd::add_scaled(dnext.cols(), old_row >= 0 ? dkept.row(old_row) : dadded.row(new_row), T(1),
                       dnext.row(b * capacity + at));
    });
  });
}

}  // namespace detail
}  // namespace MAT_ABI
}  // namespace mat
