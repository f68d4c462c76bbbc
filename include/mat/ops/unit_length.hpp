#pragma once

#include <mat/core/simd_square.hpp>
#include <mat/core/tensor.hpp>
#include <mat/ops/rows.hpp>

#include <algorithm>
#include <cmath>
#include <limits>

namespace mat {
inline namespace MAT_ABI {
namespace detail {

/// Checks that x has `heads` parts of equal size in each row, and returns that size.
template <class T>
[[nodiscard]] Index part_size(std::string_view what, ConstMatrixView<T> x, Index heads) {
  check_value(heads >= 1, {what, "heads"}, heads, "at least 1");
  check_value(x.cols() % heads == 0, {what, "x's columns"}, x.cols(), "a multiple of ", heads);
  return x.cols() / heads;
}

/// 1 / |x|; 0 if x is 0 or has only subnormal numbers. Squares that would overflow or vanish are taken of x / max |x|.
template <class T>
[[nodiscard]] T inverse_length(Index d, const T* x) {
  const T squares = simd::dot(d, x, x);
  if (std::isnormal(squares) || std::isnan(squares)) return T(1) / std::sqrt(squares);
  T largest = 0, sum = 0;
  for (Index i = 0; i < d; ++i) largest = std::max(largest, std::abs(x[i]));
  if (largest < std::numeric_limits<T>::min()) return T(0);
  for (Index i = 0; i < d; ++i) sum += x[i] / largest * (x[i] / largest);
  return T(1) / std::sqrt(sum) / largest;
}

/// A pack's number of rows, [kSize, d]; all of them share the body of a loop over the columns.
template <class T>
struct PackOfRows {
  static constexpr Index kSize = simd::Pack<T>::kSize;
  const T* row[kSize];

  /// The first `count` from x on; the last of them also stands for those that are missing.
  PackOfRows(const T* x, Index x_row, Index count) {
    for (Index i = 0; i < kSize; ++i) row[i] = x + std::min(i, count - 1) * x_row;
  }
  /// |x|^2 of each.
  [[nodiscard]] simd::Pack<T> squares(Index d) const {
    simd::Pack<T> sums[kSize];
    for (simd::Pack<T>& sum : sums) sum = simd::broadcast(T(0));
    const Index whole = d / kSize * kSize;
    for (Index j = 0; j < whole; j += kSize) {
#pragma GCC unroll 16
      for (Index i = 0; i < kSize; ++i) sums[i] = simd::fma(simd::load(row[i] + j), simd::load(row[i] + j), sums[i]);
    }
    for (Index i = 0; whole < d && i < kSize; ++i) {
      const simd::Pack<T> last = simd::load_first(row[i] + whole, d - whole);
      sums[i] = simd::fma(last, last, sums[i]);
    }
    return simd::sums<T>(sums);
  }
  /// y_i = factor_i x_i.
  void scale(Index d, const T (&factors)[kSize], T* y, Index y_row) const {
    const Index whole = d / kSize * kSize;
    for (Index j = 0; j < whole; j += kSize) {
#pragma GCC unroll 16
      for (Index i = 0; i < kSize; ++i) {
        simd::store(y + i * y_row + j, simd::broadcast(factors[i]) * simd::load(row[i] + j));
      }
    }
    for (Index i = 0; whole < d && i < kSize; ++i) {
      simd::set_scaled(d - whole, y + i * y_row + whole, factors[i], row[i] + whole);
    }
  }
};

/// y = length x / |x| for up to a pack of rows of d numbers: a root and a division for all of them. What a row becomes
/// does not depend on the others.
template <class T>
void set_length(T length, Index rows, Index d, const T* x, Index x_row, T* y, Index y_row) {
  constexpr Index kSize = PackOfRows<T>::kSize;
  const PackOfRows<T> from(x, x_row, rows);
  T squares[kSize], factors[kSize];
  const simd::Pack<T> all = from.squares(d);
  simd::store(squares, all);
  simd::store(factors, simd::broadcast(length) * (simd::broadcast(T(1)) / simd::sqrt(all)));
  const auto normal = [](T square) {
    return square >= std::numeric_limits<T>::min() && square <= std::numeric_limits<T>::max();
  };
  if (rows == kSize && std::all_of(squares, squares + kSize, normal)) return from.scale(d, factors, y, y_row);
  for (Index i = 0; i < rows; ++i) {
    if (normal(squares[i])) {
      simd::set_scaled(d, y + i * y_row, factors[i], from.row[i]);
    } else {  // whose inverse is so large or small that its product with `length` may not be a number
      simd::set_scaled(d, y + i * y_row, inverse_length(d, from.row[i]), from.row[i]);
      simd::set_scaled(d, y + i * y_row, length, y + i * y_row);
    }
  }
}

}  // namespace detail

/// Brings each head's part of each row to length 1, or to its head's of `lengths`; a part that is 0, or subnormal,
/// becomes 0. y may be x.
///
///     y = l x / |x|
///
/// Source:  Yang et al. (2024), "Parallelizing linear transformers with the delta rule over sequence length", section
///          3.3: keys of length 1 keep the delta rule from growing.
/// Shapes:  x, y [tokens, heads * features]; lengths [heads] or empty.
/// Errors:  ShapeError or ValueError if they do not fit.
/// Threads: uses parallel_for; rows are independent.
template <class T>
void unit_length_forward(ConstMatrixView<T> x, Index heads, MatrixView<T> y, ConstVectorView<T> lengths = {}) {
  const Index d = detail::part_size("unit_length_forward", x, heads);
  check_shape("unit_length_forward: y", y, x.shape());
  if (!lengths.empty()) check_shape("unit_length_forward: lengths", lengths, {heads});
  constexpr Index kRows = simd::Pack<T>::kSize;
  detail::for_each_row((x.rows() + kRows - 1) / kRows, 2 * kRows * x.cols(), [&](Index block) {
    const Index t = block * kRows, rows = std::min(kRows, x.rows() - t);
    for (Index h = 0; h < heads; ++h) {
      const T length = lengths.empty() ? T(1) : lengths(h);
      detail::set_length(length, rows, d, x.row(t) + h * d, x.row_stride(), y.row(t) + h * d, y.row_stride());
    }
  });
}

/// dx = l (dy - x <x, dy> / |x|^2) / |x|, and 0 where x is 0. dx may be dy. The gradient of a length is the sum of
/// <y, dy> / l over the tokens, and with its caller. Shapes, errors and threads as unit_length_forward.
template <class T>
void unit_length_backward(ConstMatrixView<T> x, ConstMatrixView<T> dy, Index heads, MatrixView<T> dx,
                          ConstVectorView<T> lengths = {}) {
  const Index d = detail::part_size("unit_length_backward", x, heads);
  check_shape("unit_length_backward: dy", dy, x.shape());
  check_shape("unit_length_backward: dx", dx, x.shape());
  if (!lengths.empty()) check_shape("unit_length_backward: lengths", lengths, {heads});
  if (d == 1) {  // a sign does not turn; rounding would say that it does
    dx.matrix().setZero();
    return;
  }
  detail::for_each_row(x.rows(), 4 * x.cols(), [&](Index t) {
    for (Index h = 0; h < heads; ++h) {
      const T* from = x.row(t) + h * d;
      const T* g = dy.row(t) + h * d;
      const T inverse = detail::inverse_length(d, from);
      const simd::Pack<T> scale = simd::broadcast(inverse);
      const simd::Pack<T> factor = simd::broadcast(lengths.empty() ? inverse : lengths(h) * inverse);
      // Of x / |x|, whose product with dy is a number where that of x is not.
      const simd::Pack<T> along = simd::broadcast(-simd::sum_of(
          d, [scale](simd::Pack<T> a, simd::Pack<T> b) { return scale * a * b; }, from, g));
      simd::map(
          d, dx.row(t) + h * d,
          [=](simd::Pack<T> b, simd::Pack<T> a) { return factor * simd::fma(along, scale * a, b); }, g, from);
    }
  });
}

}  // namespace MAT_ABI
}  // namespace mat
