#pragma once

#include <mat/core/simd.hpp>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

namespace mat {
inline namespace MAT_ABI {
namespace detail {

/// A NaN counts as infinity, so that it is not overlooked.
template <class T>
[[nodiscard]] T rank_of(T x) {
  return std::isnan(x) ? std::numeric_limits<T>::infinity() : x;
}

/// Keeps the k largest of n > k numbers and their indices, in their order; of equal ones the first. Returns the least.
template <class T>
T keep_largest(Index n, Index k, T* values, Index* indices, T* scratch) {
  std::copy_n(values, n, scratch);
  std::nth_element(scratch, scratch + (k - 1), scratch + n, std::greater<T>());
  const T least = scratch[k - 1];
  Index equal = k - static_cast<Index>(std::count_if(scratch, scratch + k, [least](T a) { return a > least; }));
  Index kept = 0;
  for (Index i = 0; i < n; ++i) {
    if (values[i] < least || (values[i] == least && equal-- <= 0)) continue;
    values[kept] = values[i];
    indices[kept++] = indices[i];
  }
  return least;
}

/// A number that at least k of n numbers reach, and few others, found in one pass without a branch: the k-th largest of
/// the largest numbers of 2 k parts. x_i is of the part i mod 2 k. With too few numbers for that, minus infinity.
///
/// Shapes: x [n]; values [2 k].
template <class T>
T reached_by(Index n, const T* x, Index k, T* values) {
  const Index parts = 2 * k;
  if (n < 4 * parts) return -std::numeric_limits<T>::infinity();
  std::copy_n(x, parts, values);
  for (Index i = parts; i + parts <= n; i += parts) {
    simd::map(
        parts, values, [](simd::Pack<T> a, simd::Pack<T> b) { return simd::max(a, b); }, values, x + i);
  }
  std::transform(values, values + parts, values, rank_of<T>);
  std::nth_element(values, values + (k - 1), values + parts, std::greater<T>());
  return values[k - 1];
}

}  // namespace detail

/// Finds the k largest of n numbers: their indices stand first in `indices`, in rising order. Returns how many there
/// are: min(k, n).
///
/// Of equal numbers those with the highest index are taken; a NaN counts as infinity. One pass finds what at
/// least k numbers reach; another, from the last number to the first, skips whole blocks in which none does.
///
/// Shapes: x [n]; indices [2 k]; values [4 k].
template <class T>
Index top_k(Index n, const T* x, Index k, Index* indices, T* values) {
  using simd::Pack;
  constexpr Index kBlock = 2 * Pack<T>::kSize;
  if (k <= 0) return 0;
  Index count = 0;
  T least = detail::reached_by(n, x, k, values);  // what a number must reach; once there are k, be above
  for (Index end = n; end > 0;) {
    const Index begin = std::max<Index>(0, end - kBlock);
    const Pack<T> bound = simd::broadcast(least), zero = simd::broadcast(T(0)), one = simd::broadcast(T(1));
    const T above = simd::sum_of(
        end - begin, [=](Pack<T> a) { return simd::select_less(a, bound, zero, one); }, x + begin);
    if (above == T(0)) {
      end = begin;
      continue;
    }
    for (Index i = end; i-- > begin;) {
      const T value = detail::rank_of(x[i]);
      if (value < least || (count >= k && value == least)) continue;
      values[count] = value;
      indices[count++] = i;
      if (count == k) least = *std::min_element(values, values + k);
      if (count < 2 * k) continue;
      least = detail::keep_largest(count, k, values, indices, values + 2 * k);
      count = k;
    }
    end = begin;
  }
  if (count > k) detail::keep_largest(count, k, values, indices, values + 2 * k);
  count = std::min(count, k);
  std::reverse(indices, indices + count);
  return count;
}

}  // namespace MAT_ABI
}  // namespace mat
