#pragma once

#include <mat/core/sequences.hpp>
#include <mat/ops/matmul.hpp>

namespace mat {
inline namespace MAT_ABI {

// A matrix memory is one matrix S [key_dim, value_dim] for each sequence and head. Reading it is a product; what writes
// to it is in delta_rule.hpp.

namespace detail {

/// Checks the sizes of a reading and calls fn(rows of the sequence in q, ..., S) for each sequence and head.
template <class T>
class MatrixMemory {
 public:
  MatrixMemory(std::string_view what, ConstMatrixView<T> q, Index heads, ConstMatrixView<T> state,
               const Sequences& sequences)
      : sequences_(sequences), heads_(heads) {
    check_value(heads >= 1, {what, "heads"}, heads, "at least 1");
    check_value(q.cols() % heads == 0, {what, "q's columns"}, q.cols(), "a multiple of ", heads);
    check_sequences({what, "q"}, q.rows(), sequences);
    key_dim_ = q.cols() / heads;
    value_dim_ = state.cols();
    check_shape({what, "state"}, state, {sequences.count() * heads * key_dim_, kAny});
  }
  [[nodiscard]] Shape<2> values_shape() const { return {sequences_.rows(), heads_ * value_dim_}; }

  /// Calls fn(sequence, head) for all of them, perhaps at once.
  template <class Function>
  void for_each(const Function& fn) const {
    parallel_for(sequences_.count() * heads_, sequences_.rows() * heads_ * key_dim_ * value_dim_,
                 [&](Index item, Index) {
                   if (sequences_.length(item / heads_) > 0) fn(item / heads_, item % heads_);
                 });
  }
  template <class View>
  [[nodiscard]] View keys(View all, Index b, Index h) const {
    return all.middle_rows(sequences_.begin(b), sequences_.length(b)).middle_cols(h * key_dim_, key_dim_);
  }
  template <class View>
  [[nodiscard]] View values(View all, Index b, Index h) const {
    return all.middle_rows(sequences_.begin(b), sequences_.length(b)).middle_cols(h * value_dim_, value_dim_);
  }
  template <class View>
  [[nodiscard]] View state(View all, Index b, Index h) const {
    return all.middle_rows((b * heads_ + h) * key_dim_, key_dim_);
  }

 private:
  const Sequences& sequences_;
  Index heads_, key_dim_ = 0, value_dim_ = 0;
};

}  // namespace detail

/// What the queries of each sequence read from its matrices; every token reads the same ones.
///
///     y_t = q_t S
///
/// Source:  Schlag, Irie & Schmidhuber (2021), "Linear transformers are secretly fast weight programmers"; here the
///          matrix is that of before the segment.
/// Shapes:  q [tokens, heads * key_dim]; state [sequences * heads * key_dim, value_dim]; y [tokens, heads * value_dim].
/// Errors:  ShapeError or ValueError if sizes, heads or sequences do not fit.
/// Threads: uses parallel_for; the bits of a sequence's rows depend on the sequence alone.
template <class T>
void matrix_memory_read_forward(ConstMatrixView<T> q, Index heads, ConstMatrixView<T> state, const Sequences& sequences,
                                MatrixView<T> y) {
  const detail::MatrixMemory<T> memory("matrix_memory_read_forward", q, heads, state, sequences);
  check_shape("matrix_memory_read_forward: y", y, memory.values_shape());
  if (sequences.has_gaps()) y.matrix().setZero();
  memory.for_each(
      [&](Index b, Index h) { matmul<T>(memory.keys(q, b, h), memory.state(state, b, h), memory.values(y, b, h)); });
}

/// dq_t = dy_t S^T,  dS += q^T dy. Shapes, errors and threads as matrix_memory_read_forward.
template <class T>
void matrix_memory_read_backward(ConstMatrixView<T> dy, ConstMatrixView<T> q, Index heads, ConstMatrixView<T> state,
                                 const Sequences& sequences, MatrixView<T> dq, MatrixView<T> dstate) {
  const detail::MatrixMemory<T> memory("matrix_memory_read_backward", q, heads, state, sequences);
  check_shape("matrix_memory_read_backward: dy", dy, memory.values_shape());
  check_shape("matrix_memory_read_backward: dq", dq, q.shape());
  check_shape("matrix_memory_read_backward: dstate", dstate, state.shape());
  if (sequences.has_gaps()) dq.matrix().setZero();
  memory.for_each([&](Index b, Index h) {
    matmul<T>(memory.values(dy, b, h), transposed<T>(memory.state(state, b, h)), memory.keys(dq, b, h));
    matmul_add<T>(transposed<T>(memory.keys(q, b, h)), memory.values(dy, b, h), memory.state(dstate, b, h));
  });
}

}  // namespace MAT_ABI
}  // namespace mat
