#pragma once

#include <mat/core/sequences.hpp>
#include <mat/core/tensor.hpp>

#include <algorithm>
#include <string>

namespace mat {
inline namespace MAT_ABI {

// Positions of tokens: token i of sequence b stands at position first_b + i. `first` is [sequences], or empty where
// every sequence begins at 0; a decoder that continues its sequences gives their lengths so far.

/// The position of the first token of sequence b.
[[nodiscard]] inline Index first_position(ConstVectorView<Index> first, Index b) {
  return first.empty() ? 0 : first.data()[b];
}

/// One more than the largest position.
[[nodiscard]] inline Index positions_end(const Sequences& sequences, ConstVectorView<Index> first) {
  Index end = 0;
  for (Index b = 0; b < sequences.count(); ++b) {
    if (sequences.length(b) > 0) end = std::max(end, first_position(first, b) + sequences.length(b));
  }
  return end;
}

/// Throws ShapeError unless `first` is empty or has one position for each sequence; ValueError for a negative one.
inline void check_first_positions(std::string_view what, const Sequences& sequences, ConstVectorView<Index> first) {
  if (first.empty()) return;
  check_shape({what, "first"}, first, {sequences.count()});
  for (Index b = 0; b < first.size(); ++b) {
    if (first.data()[b] >= 0) continue;
    detail::throw_value_error(std::string(what) + ": first[" + std::to_string(b) + "]", std::to_string(first.data()[b]),
                              "at least 0");
  }
}

/// The position of each token; -1 where a row belongs to no sequence.
inline void fill_positions(const Sequences& sequences, ConstVectorView<Index> first, Vector<Index>& positions) {
  positions.resize({sequences.rows()});
  positions.fill(-1);
  for (Index b = 0; b < sequences.count(); ++b) {
    for (Index i = 0; i < sequences.length(b); ++i) {
      positions.data()[sequences.begin(b) + i] = first_position(first, b) + i;
    }
  }
}

namespace detail {

/// How many rows a table grows to when `needed` are needed: decoding one token after the other must not refill it each
/// time.
[[nodiscard]] inline Index grown_rows(Index needed) {
  Index rows = 64;
  while (rows < needed) rows *= 2;
  return rows;
}

}  // namespace detail
}  // namespace MAT_ABI
}  // namespace mat
