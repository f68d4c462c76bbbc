#pragma once

#include <mat/core/sequences.hpp>
#include <mat/core/simd.hpp>
#include <mat/core/tensor.hpp>
#include <mat/ops/rows.hpp>

namespace mat {
inline namespace MAT_ABI {

// Softmax and its logarithm, along the features of each token and along the tokens of each sequence.
//
// The largest score is subtracted first, so scores of any size are safe. Where all scores are minus infinity there is
// nothing to choose from: softmax gives zeros, with gradient 0, and log_softmax gives minus infinity.

namespace detail {

/// About how many multiplications the softmax of one element costs.
inline constexpr Index kSoftmaxWork = 16;

/// What is subtracted from scores whose largest is `largest`.
template <class T>
[[nodiscard]] T softmax_shift(T largest) {
  return largest == -std::numeric_limits<T>::infinity() ? T(0) : largest;
}

}  // namespace detail

/// y_ij = e^x_ij / sum_k e^x_ik, along each row; y may be x.
///
/// Shapes:  x, y [rows, cols].
/// Errors:  ShapeError if they differ.
/// Threads: uses parallel_for; rows are independent.
template <class T>
void softmax_forward(ConstMatrixView<T> x, MatrixView<T> y) {
  check_shape("softmax_forward: y", y, x.shape());
  using simd::Pack;
  const Index n = x.cols();
  detail::for_each_row(x.rows(), n * detail::kSoftmaxWork, [&](Index i) {
    const Pack<T> shift = simd::broadcast(detail::softmax_shift(simd::largest_of(n, x.row(i))));
    simd::map(
        n, y.row(i), [shift](Pack<T> a) { return simd::exp(a - shift); }, x.row(i));
    const T sum = simd::sum_of<T>(n, y.row(i));
    const Pack<T> divisor = simd::broadcast(sum == T(0) ? T(1) : sum);
    simd::map(
        n, y.row(i), [divisor](Pack<T> a) { return a / divisor; }, y.row(i));
  });
}

/// dx = y (dy - <y, dy>), along each row, where y is the output of softmax_forward; dx may be dy.
///
/// Shapes:  y, dy, dx [rows, cols].
/// Errors:  ShapeError if they differ.
/// Threads: uses parallel_for; rows are independent.
template <class T>
void softmax_backward(ConstMatrixView<T> y, ConstMatrixView<T> dy, MatrixView<T> dx) {
  check_shape("softmax_backward: dy", dy, y.shape());
  check_shape("softmax_backward: dx", dx, y.shape());
  using simd::Pack;
  detail::for_each_row(y.rows(), y.cols() * 2, [&](Index i) {
    const Pack<T> mean = simd::broadcast(simd::dot(y.cols(), y.row(i), dy.row(i)));
    simd::map(
        y.cols(), dx.row(i), [mean](Pack<T> p, Pack<T> dp) { return p * (dp - mean); }, y.row(i), dy.row(i));
  });
}

/// y_ij = x_ij - log sum_k e^x_ik, along each row; y may be x.
///
/// Shapes:  x, y [rows, cols].
/// Errors:  ShapeError if they differ.
/// Threads: uses parallel_for; rows are independent.
template <class T>
void log_softmax_forward(ConstMatrixView<T> x, MatrixView<T> y) {
  check_shape("log_softmax_forward: y", y, x.shape());
  using simd::Pack;
  const Index n = x.cols();
  detail::for_each_row(x.rows(), n * detail::kSoftmaxWork, [&](Index i) {
    const Pack<T> shift = simd::broadcast(detail::softmax_shift(simd::largest_of(n, x.row(i))));
    const T sum = simd::sum_of(
        n, [shift](Pack<T> a) { return simd::exp(a - shift); }, x.row(i));
    const Pack<T> log_sum = simd::broadcast(sum == T(0) ? T(0) : std::log(sum));
    simd::map(
        n, y.row(i), [shift, log_sum](Pack<T> a) { return (a - shift) - log_sum; }, x.row(i));
  });
}

/// dx = dy - e^y sum_k dy_k, along each row, where y is the output of log_softmax_forward; dx may be dy.
///
/// Shapes:  y, dy, dx [rows, cols].
/// Errors:  ShapeError if they differ.
/// Threads: uses parallel_for; rows are independent.
template <class T>
void log_softmax_backward(ConstMatrixView<T> y, ConstMatrixView<T> dy, MatrixView<T> dx) {
  check_shape("log_softmax_backward: dy", dy, y.shape());
  check_shape("log_softmax_backward: dx", dx, y.shape());
  using simd::Pack;
  detail::for_each_row(y.rows(), y.cols() * detail::kSoftmaxWork, [&](Index i) {
    const Pack<T> sum = simd::broadcast(simd::sum_of(y.cols(), dy.row(i)));
    simd::map(
        y.cols(), dx.row(i), [sum](Pack<T> log_p, Pack<T> g) { return simd::fma(-simd::exp(log_p), sum, g); }, y.row(i),
        dy.row(i));
  });
}

namespace detail {

/// A few neighbouring columns, as many as a pack holds; at the edge of a matrix fewer.
template <class T>
struct ColumnPack {
  Index first, count;

  [[nodiscard]] EIGEN_ALWAYS_INLINE simd::Pack<T> load(const T* row) const {
    return count == simd::Pack<T>::kSize ? simd::load(row + first) : simd::load_first(row + first, count);
  }
  EIGEN_ALWAYS_INLINE void store(T* row, simd::Pack<T> x) const {
    if (count == simd::Pack<T>::kSize) {
      simd::store(row + first, x);
    } else {
      simd::store_first(row + first, count, x);
    }
  }
};

/// Calls fn(columns, begin, end) for all columns of each sequence's rows [begin, end).
template <class T, class Function>
void for_each_column_pack(Index cols, const Sequences& sequences, const Function& fn) {
  constexpr Index kSize = simd::Pack<T>::kSize;
  const Index packs = (cols + kSize - 1) / kSize;
  parallel_for(sequences.count() * packs, sequences.rows() * cols * kSoftmaxWork, [&](Index item, int) {
    const Index b = item / packs, first = item % packs * kSize;
    fn(ColumnPack<T>{first, std::min(kSize, cols - first)}, sequences.begin(b), sequences.end(b));
  });
}

/// The largest of each column, or 0 where all are minus infinity.
template <class T>
[[nodiscard]] simd::Pack<T> column_shift(ColumnPack<T> columns, ConstMatrixView<T> x, Index begin, Index end) {
  const simd::Pack<T> lowest = simd::broadcast(-std::numeric_limits<T>::infinity());
  simd::Pack<T> largest = lowest;
  for (Index t = begin; t < end; ++t) largest = simd::max(largest, columns.load(x.row(t)));
  return simd::select_less(lowest, largest, largest, simd::broadcast(T(0)));
}

/// A sum of exponentials of shifted scores is 0 or at least 1: `instead` where it is 0.
template <class T>
[[nodiscard]] simd::Pack<T> where_zero(simd::Pack<T> sum, T instead) {
  return simd::select_less(sum, simd::broadcast(T(0.5)), simd::broadcast(instead), sum);
}

}  // namespace detail

/// y_tj = e^x_tj / sum_s e^x_sj, for each column j along the tokens of each sequence; y may be x.
///
/// This is torch.softmax(x, dim=0) of each sequence. Rows that belong to no sequence are left alone.
///
/// Shapes:  x, y [tokens, n].
/// Errors:  ShapeError if they differ or `sequences` divides another number of tokens.
/// Threads: uses parallel_for; sequences and columns are independent.
template <class T>
void softmax_over_tokens_forward(ConstMatrixView<T> x, const Sequences& sequences, MatrixView<T> y) {
  check_sequences("softmax_over_tokens_forward: x", x.rows(), sequences);
  check_shape("softmax_over_tokens_forward: y", y, x.shape());
  using simd::Pack;
  detail::for_each_column_pack<T>(x.cols(), sequences, [&](auto columns, Index begin, Index end) {
    const Pack<T> shift = detail::column_shift<T>(columns, x, begin, end);
    Pack<T> sum = simd::broadcast(T(0));
    for (Index t = begin; t < end; ++t) {
      const Pack<T> e = simd::exp(columns.load(x.row(t)) - shift);
      sum = sum + e;
      columns.store(y.row(t), e);
    }
    const Pack<T> divisor = detail::where_zero(sum, T(1));
    for (Index t = begin; t < end; ++t) columns.store(y.row(t), columns.load(y.row(t)) / divisor);
  });
}

/// dx_tj = y_tj (dy_tj - sum_s y_sj dy_sj), where y is the output of softmax_over_tokens_forward; dx may be dy.
///
/// Shapes:  y, dy, dx [tokens, n].
/// Errors:  ShapeError if they differ or `sequences` divides another number of tokens.
/// Threads: uses parallel_for; sequences and columns are independent.
template <class T>
void softmax_over_tokens_backward(ConstMatrixView<T> y, const Sequences& sequences, ConstMatrixView<T> dy,
                                  MatrixView<T> dx) {
  check_sequences("softmax_over_tokens_backward: y", y.rows(), sequences);
  check_shape("softmax_over_tokens_backward: dy", dy, y.shape());
  check_shape("softmax_over_tokens_backward: dx", dx, y.shape());
  using simd::Pack;
  detail::for_each_column_pack<T>(y.cols(), sequences, [&](auto columns, Index begin, Index end) {
    Pack<T> mean = simd::broadcast(T(0));
    for (Index t = begin; t < end; ++t) mean = simd::fma(columns.load(y.row(t)), columns.load(dy.row(t)), mean);
    for (Index t = begin; t < end; ++t) {
      columns.store(dx.row(t), columns.load(y.row(t)) * (columns.load(dy.row(t)) - mean));
    }
  });
}

/// y_tj = x_tj - log sum_s e^x_sj, for each column j along the tokens of each sequence; y may be x.
///
/// Shapes:  x, y [tokens, n].
/// Errors:  ShapeError if they differ or `sequences` divides another number of tokens.
/// Threads: uses parallel_for; sequences and columns are independent.
template <class T>
void log_softmax_over_tokens_forward(ConstMatrixView<T> x, const Sequences& sequences, MatrixView<T> y) {
  check_sequences("log_softmax_over_tokens_forward: x", x.rows(), sequences);
  check_shape("log_softmax_over_tokens_forward: y", y, x.shape());
  using simd::Pack;
  detail::for_each_column_pack<T>(x.cols(), sequences, [&](auto columns, Index begin, Index end) {
    const Pack<T> shift = detail::column_shift<T>(columns, x, begin, end);
    Pack<T> sum = simd::broadcast(T(0));
    for (Index t = begin; t < end; ++t) sum = sum + simd::exp(columns.load(x.row(t)) - shift);
    const Pack<T> log_sum = simd::each(detail::where_zero(sum, T(1)), [](T lane) { return std::log(lane); });
    for (Index t = begin; t < end; ++t) columns.store(y.row(t), (columns.load(x.row(t)) - shift) - log_sum);
  });
}

/// dx_tj = dy_tj - e^y_tj sum_s dy_sj, where y is the output of log_softmax_over_tokens_forward; dx may be dy.
///
/// Shapes:  y, dy, dx [tokens, n].
/// Errors:  ShapeError if they differ or `sequences` divides another number of tokens.
/// Threads: uses parallel_for; sequences and columns are independent.
template <class T>
void log_softmax_over_tokens_backward(ConstMatrixView<T> y, const Sequences& sequences, ConstMatrixView<T> dy,
                                      MatrixView<T> dx) {
  check_sequences("log_softmax_over_tokens_backward: y", y.rows(), sequences);
  check_shape("log_softmax_over_tokens_backward: dy", dy, y.shape());
  check_shape("log_softmax_over_tokens_backward: dx", dx, y.shape());
  using simd::Pack;
  detail::for_each_column_pack<T>(y.cols(), sequences, [&](auto columns, Index begin, Index end) {
    Pack<T> sum = simd::broadcast(T(0));
    for (Index t = begin; t < end; ++t) sum = sum + columns.load(dy.row(t));
    for (Index t = begin; t < end; ++t) {
      columns.store(dx.row(t), simd::fma(-simd::exp(columns.load(y.row(t))), sum, columns.load(dy.row(t))));
    }
  });
}

}  // namespace MAT_ABI
}  // namespace mat
