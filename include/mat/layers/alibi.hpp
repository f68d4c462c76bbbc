#pragma once

#include <mat/core/tensor.hpp>

#include <cmath>

namespace mat {
inline namespace MAT_ABI {

/// How much each head's scores fall with the distance of a key: score_ij -= slope_h |i - j|.
///
///     slope_h = 2^(-8 (h + 1) / n)   for n heads, n a power of two
///
/// For other n the slopes of the power of two below n, then every other slope of twice that number of heads.
///
/// Source: Press, Smith & Lewis (2022), "Train short, test long", section 3 and its published code.
/// Errors: ValueError for heads below 1.
template <class T>
[[nodiscard]] Vector<T> alibi_slopes(Index heads) {
  check_value(heads >= 1, "alibi_slopes: heads", heads, "at least 1");
  Index power = 1;
  while (2 * power <= heads) power *= 2;
  Vector<T> slopes({heads});
  for (Index h = 0; h < heads; ++h) {
    const Index numerator = h < power ? 2 * (h + 1) : 2 * (h - power) + 1;
    slopes(h) = static_cast<T>(std::exp2(-4.0 * static_cast<double>(numerator) / static_cast<double>(power)));
  }
  return slopes;
}

}  // namespace MAT_ABI
}  // namespace mat
