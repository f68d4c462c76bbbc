#pragma once

#include <mat/core/error.hpp>

#include <vector>

namespace mat {
inline namespace MAT_ABI {

/// Which rows of a `[tokens, features]` matrix belong to which sequence of a batch: a batch is ragged, without padding.
///
/// Sequence b owns rows [begin(b), end(b)). Usually the sequences lie one after the other; a key/value cache that keeps
/// room for more tokens leaves gaps between them (`with_capacity`).
///
/// Errors: ValueError for a negative length, or a length over the capacity.
class Sequences {
 public:
  Sequences() = default;
  /// Sequences of these lengths, one after the other.
  explicit Sequences(const std::vector<Index>& lengths) { assign(lengths); }

  /// `count` sequences of `length` tokens each.
  [[nodiscard]] static Sequences uniform(Index count, Index length) {
    check_value(count >= 0, "Sequences::uniform: count", count, "at least 0");
    return Sequences(std::vector<Index>(static_cast<std::size_t>(count), length));
  }
  /// One sequence of `length` tokens.
  [[nodiscard]] static Sequences single(Index length) { return uniform(1, length); }
  /// Sequence b begins at row b * capacity and has lengths[b] <= capacity tokens.
  [[nodiscard]] static Sequences with_capacity(const std::vector<Index>& lengths, Index capacity) {
    Sequences result;
    result.assign_with_capacity(static_cast<Index>(lengths.size()), capacity,
                                [&](Index b) { return lengths[static_cast<std::size_t>(b)]; });
    return result;
  }

  /// As the constructor, reusing the memory.
  void assign(const std::vector<Index>& lengths) {
    assign(static_cast<Index>(lengths.size()), [&](Index b) { return lengths[static_cast<std::size_t>(b)]; });
  }
  /// `count` sequences of length(b) tokens, one after the other, reusing the memory.
  template <class Length>
  void assign(Index count, const Length& length) {
    for (Index b = 0; b < count; ++b) check_value(length(b) >= 0, "Sequences: a length", length(b), "at least 0");
    begins_.resize(static_cast<std::size_t>(count));
    lengths_.resize(begins_.size());
    rows_ = 0;
    for (std::size_t b = 0; b < lengths_.size(); ++b) {
      begins_[b] = rows_;
      lengths_[b] = length(static_cast<Index>(b));
      rows_ += lengths_[b];
    }
  }

  /// As with_capacity for `count` sequences of length(b) tokens, reusing the memory.
  template <class Length>
  void assign_with_capacity(Index count, Index capacity, const Length& length) {
    for (Index b = 0; b < count; ++b) {
      check_value(length(b) >= 0, "Sequences: a length", length(b), "at least 0");
      check_value(length(b) <= capacity, "Sequences::with_capacity: a length", length(b), "at most ", capacity);
    }
    begins_.resize(static_cast<std::size_t>(count));
    lengths_.resize(begins_.size());
    for (Index b = 0; b < count; ++b) {
      begins_[static_cast<std::size_t>(b)] = b * capacity;
      lengths_[static_cast<std::size_t>(b)] = length(b);
    }
    rows_ = count * capacity;
  }

  /// The number of sequences.
  [[nodiscard]] Index count() const { return static_cast<Index>(lengths_.size()); }
  [[nodiscard]] Index begin(Index b) const { return begins_[static_cast<std::size_t>(b)]; }
  [[nodiscard]] Index end(Index b) const { return begin(b) + length(b); }
  [[nodiscard]] Index length(Index b) const { return lengths_[static_cast<std::size_t>(b)]; }
  /// The rows of the matrix that the sequences lie in, gaps included.
  [[nodiscard]] Index rows() const { return rows_; }
  /// True if some of the rows belong to no sequence: they may hold anything, and have no gradient.
  [[nodiscard]] bool has_gaps() const {
    Index tokens = 0;
    for (const Index length : lengths_) tokens += length;
    return tokens != rows_;
  }
  [[nodiscard]] Index longest() const {
    Index longest = 0;
    for (const Index length : lengths_) longest = length > longest ? length : longest;
    return longest;
  }

  friend bool operator==(const Sequences& a, const Sequences& b) {
    return a.begins_ == b.begins_ && a.lengths_ == b.lengths_ && a.rows_ == b.rows_;
  }
  friend bool operator!=(const Sequences& a, const Sequences& b) { return !(a == b); }

 private:
  std::vector<Index> begins_, lengths_;
  Index rows_ = 0;
};

/// Throws ShapeError unless a matrix of `rows` tokens is what `sequences` divides.
inline void check_sequences(Where what, Index rows, const Sequences& sequences) {
  if (rows != sequences.rows()) {
    detail::throw_shape_error(what, std::to_string(rows) + " tokens",
                              std::to_string(sequences.rows()) + ", the rows of its sequences");
  }
}

/// The same for sequences that a caller may have forgotten to set: then ValueError.
inline void check_sequences(Where what, Index rows, const Sequences* sequences) {
  if (sequences == nullptr) {
    detail::throw_value_error(what, "without sequences", "the Sequences that divide its tokens");
  }
  check_sequences(what, rows, *sequences);
}

}  // namespace MAT_ABI
}  // namespace mat
