#pragma once

#include <mat/core/parallel.hpp>
#include <mat/core/sequences.hpp>
#include <mat/core/tensor.hpp>

#include <algorithm>

namespace mat {
inline namespace MAT_ABI {

/// Rows that stand before the tokens of each sequence of a batch. None at all unless `sequences` is set.
template <class T>
struct EarlierTokens {
  ConstMatrixView<T> rows;               ///< [earlier tokens, features]
  const Sequences* sequences = nullptr;  ///< Which of them stand before which sequence; it may have gaps.

  [[nodiscard]] bool given() const { return sequences != nullptr; }
};

/// Gradients of the tokens and of those before them.
template <class T>
struct EarlierGradients {
  ConstMatrixView<T> dx;        ///< As x.
  ConstMatrixView<T> dearlier;  ///< As the earlier rows; 0 in their gaps. Empty if there were none.
};

/// Each sequence's earlier tokens and then its own, one sequence after the other without gaps.
///
/// Shapes:  x [tokens, features]; joined [earlier tokens + tokens, features] without the rows of gaps.
/// Errors:  ShapeError or ValueError, beginning with `what`, if the earlier tokens do not fit to x.
/// Threads: uses parallel_for.
template <class T>
void join_earlier_tokens(std::string_view what, const EarlierTokens<T>& earlier, ConstMatrixView<T> x,
                         const Sequences& sequences, Matrix<T>& joined, Sequences& joined_sequences) {
  check_shape({what, "earlier"}, earlier.rows, {kAny, x.cols()});
  check_sequences({what, "earlier"}, earlier.rows.rows(), earlier.sequences);
  check_sequences({what, "x"}, x.rows(), sequences);
  check_value(earlier.sequences->count() == sequences.count(), {what, "sequences of earlier"},
              earlier.sequences->count(), "as many as of x, ", sequences.count());
  joined_sequences.assign(sequences.count(),
                          [&](Index b) { return earlier.sequences->length(b) + sequences.length(b); });
  joined.resize({joined_sequences.rows(), x.cols()});
  parallel_for(sequences.count(), joined.size(), [&](Index b, Index) {
    Index row = joined_sequences.begin(b);
    const auto append = [&](ConstMatrixView<T> from, const Sequences& of) {
      for (Index t = of.begin(b); t < of.end(b); ++t) std::copy_n(from.row(t), from.cols(), joined.view().row(row++));
    };
    append(earlier.rows, *earlier.sequences);
    append(x, sequences);
  });
}

/// The same the other way: the rows of `joined` back to where they came from, and 0 to the rows of gaps.
template <class T>
void split_earlier_tokens(ConstMatrixView<T> joined, const Sequences& joined_sequences, const Sequences& earlier,
                          const Sequences& sequences, Matrix<T>& of_earlier, Matrix<T>& of_x) {
  const auto take = [&](const Sequences& to, const Sequences* before, Matrix<T>& rows) {
    rows.resize({to.rows(), joined.cols()});
    if (to.has_gaps()) rows.fill(T(0));
    parallel_for(to.count(), rows.size(), [&](Index b, Index) {
      const Index first = joined_sequences.begin(b) + (before == nullptr ? 0 : before->length(b));
      for (Index t = 0; t < to.length(b); ++t) {
        std::copy_n(joined.row(first + t), joined.cols(), rows.view().row(to.begin(b) + t));
      }
    });
  };
  take(earlier, nullptr, of_earlier);
  take(sequences, &earlier, of_x);
}

}  // namespace MAT_ABI
}  // namespace mat
