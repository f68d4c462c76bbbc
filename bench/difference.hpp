#pragma once

#include <algorithm>
#include <bench/peer.hpp>
#include <cmath>
#include <limits>

namespace bench {

/// How far apart the results of two contestants are, and where.
struct Difference {
  double value = 0;
  std::string array;
};

/// max |a - b| / max |b| of the array where that is largest: rounding makes it some 1e-6, whatever the scale. Infinite
/// for arrays of other names or sizes, and where a number is not finite.
[[nodiscard]] inline Difference difference(const std::vector<Result>& a, const std::vector<Result>& b) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  if (a.size() != b.size())
    return {kInfinity, std::to_string(a.size()) + " and " + std::to_string(b.size()) + " arrays"};
  Difference worst;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const bool same = a[i].name == b[i].name && a[i].values.size() == b[i].values.size();
    double apart = same ? 0 : kInfinity, largest = 0;
    for (std::size_t j = 0; same && j < a[i].values.size(); ++j) {
      const double x = a[i].values[j], y = b[i].values[j];
      apart = std::isfinite(x) && std::isfinite(y) ? std::max(apart, std::abs(x - y)) : kInfinity;
      if (std::isinf(apart)) break;
      largest = std::max(largest, std::abs(y));
    }
    const double share = apart > 0 ? apart / largest : 0;
    if (share > worst.value) worst = {share, a[i].name};
  }
  return worst;
}

}  // namespace bench
