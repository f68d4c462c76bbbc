#include "support/catch.hpp"

#include <mat/ops/normal_distribution.hpp>

#include <cmath>

namespace normal_distribution_test {

using namespace mat;

namespace {

struct Errors {
  double distribution = 0, density = 0, tail = 0;
};

/// The largest errors over [-12, 12]: absolute ones, and the relative one of the distribution on the left of 0.
template <class T>
Errors errors() {
  Errors worst;
  for (int i = -12000; i <= 12000; ++i) {
    const T x = static_cast<T>(i) * T(0.001);
    const detail::NormalDistribution<T> normal(simd::broadcast(x));
    T distribution[simd::Pack<T>::kSize], density[simd::Pack<T>::kSize];
    simd::store(distribution, normal.distribution);
    simd::store(density, normal.density);
    const double expected = 0.5 * std::erfc(-static_cast<double>(x) / std::sqrt(2.0));
    const double expected_density =
        std::exp(-0.5 * static_cast<double>(x) * static_cast<double>(x)) / std::sqrt(2 * 3.141592653589793);
    const double error = std::abs(static_cast<double>(distribution[0]) - expected);
    worst.distribution = std::max(worst.distribution, error);
    worst.density = std::max(worst.density, std::abs(static_cast<double>(density[0]) - expected_density));
    if (x < 0) worst.tail = std::max(worst.tail, error / expected);
  }
  return worst;
}

}  // namespace

TEST_CASE("the normal distribution is right to the last digits, and its tail is right relatively", "[ops]") {
  const Errors in_double = errors<double>(), in_float = errors<float>();
  CHECK(in_double.distribution < 5e-16);
  CHECK(in_double.density < 3e-16);
  CHECK(in_double.tail < 5e-14);
  CHECK(in_float.distribution < 2e-7);
  CHECK(in_float.density < 1e-7);
  CHECK(in_float.tail < 1e-5);
}

}  // namespace normal_distribution_test
