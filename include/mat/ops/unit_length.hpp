#pragma once

#include <mat/core/simd.hpp>
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

}  // namespace detail

/// Brings each head's part of each row to length 1; a part that is 0, or subnormal, becomes 0. y may be x.
///
///     y = x / |x|
///
/// Source:  Yang et al. (2024), "Parallelizing linear transformers with the delta rule over sequence length", section
///          3.3: keys of length 1 keep the delta rule from growing.
/// Shapes:  x, y [tokens, heads * features].
/// Errors:  ShapeError or ValueError if they do not fit.
/// Threads: uses parallel_for; rows are independent.
template <class T>
void unit_length_forward(ConstMatrixView<T> x, Index heads, MatrixView<T> y) {
  const Index d = detail::part_size("unit_length_forward", x, heads);
  check_shape("unit_length_forward: y", y, x.shape());
  detail::for_each_row(x.rows(), 2 * x.cols(), [&](Index t) {
    const T* from = x.row(t);
    T* to = y.row(t);
    for (Index h = 0; h < heads; ++h, from += d, to += d) {
      simd::set_scaled(d, to, detail::inverse_length(d, from), from);
    }
  });
}

/// dx = (dy - y <y, dy>) / |x|, and 0 where x is 0. dx may be dy. Shapes, errors and threads as unit_length_forward.
template <class T>
void unit_length_backward(ConstMatrixView<T> x, ConstMatrixView<T> dy, Index heads, MatrixView<T> dx) {
  const Index d = detail::part_size("unit_length_backward", x, heads);
  check_shape("unit_length_backward: dy", dy, x.shape());
  check_shape("unit_length_backward: dx", dx, x.shape());
  detail::for_each_row(x.rows(), 4 * x.cols(), [&](Index t) {
    for (Index h = 0; h < heads; ++h) {
      const T* from = x.row(t) + h * d;
      const T* g = dy.row(t) + h * d;
      const T inverse = detail::inverse_length(d, from);
      const simd::Pack<T> factor = simd::broadcast(inverse);
      const simd::Pack<T> along = simd::broadcast(-simd::dot(d, from, g) * inverse * inverse);
      simd::map(
          d, dx.row(t) + h * d,
          [factor, along](simd::Pack<T> b, simd::Pack<T> a) { return factor * simd::fma(along, a, b); }, g, from);
    }
  });
}

}  // namespace MAT_ABI
}  // namespace mat
