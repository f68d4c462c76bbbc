#pragma once

#include <mat/core/types.hpp>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

namespace mat {
inline namespace MAT_ABI {

/// Writes the indices of the k largest of n numbers, in rising order, and returns how many there are: min(k, n).
///
/// Of equal numbers those with the highest index are taken. A NaN counts as infinity, so that it is not overlooked.
///
/// Shapes: x, scratch [n]; chosen [k].
template <class T>
Index top_k(Index n, const T* x, Index k, T* scratch, Index* chosen) {
  if (n <= k) {
    for (Index i = 0; i < n; ++i) chosen[i] = i;
    return n;
  }
  if (k <= 0) return 0;
  const auto value = [x](Index i) { return std::isnan(x[i]) ? std::numeric_limits<T>::infinity() : x[i]; };
  for (Index i = 0; i < n; ++i) scratch[i] = value(i);
  std::nth_element(scratch, scratch + (k - 1), scratch + n, std::greater<T>());
  const T least = scratch[k - 1];
  Index equal = k - static_cast<Index>(std::count_if(scratch, scratch + k, [least](T a) { return a > least; }));
  Index at = k;
  for (Index i = n; at > 0; --i) {
    const T a = value(i - 1);
    if (a > least || (a == least && equal-- > 0)) chosen[--at] = i - 1;
  }
  return k;
}

}  // namespace MAT_ABI
}  // namespace mat
