#include "support/catch.hpp"

#include <mat/ops/hyperbolic_tangent.hpp>

#include <cmath>
#include <limits>

namespace hyperbolic_tangent_test {

using namespace mat;

namespace {

template <class T>
T tangent(T x) {
  T lanes[simd::Pack<T>::kSize];
  simd::store(lanes, detail::hyperbolic_tangent(simd::broadcast(x)));
  return lanes[0];
}

/// The largest relative error over [-20, 20], in units of the machine epsilon.
template <class T>
double worst_error() {
  long double worst = 0;
  for (int i = -20000; i <= 20000; ++i) {
    const T x = static_cast<T>(i) * T(0.001) + T(0.0003);
    const long double expected = std::tanh(static_cast<long double>(x));
    worst = std::max(worst, std::abs((static_cast<long double>(tangent(x)) - expected) / expected));
  }
  return static_cast<double>(worst / static_cast<long double>(std::numeric_limits<T>::epsilon()));
}

}  // namespace

TEST_CASE("the hyperbolic tangent is right relatively, to a few units of the last place", "[ops]") {
  CHECK(worst_error<double>() < 2);
  CHECK(worst_error<float>() < 2);
}

TEST_CASE("the hyperbolic tangent keeps tiny numbers, limits and NaN", "[ops]") {
  const auto check = [](auto zero) {
    using T = decltype(zero);
    CHECK(tangent(T(1e-30)) == T(1e-30));
    CHECK(tangent(T(-1e-30)) == T(-1e-30));
    CHECK(tangent(T(1e30)) == T(1));
    CHECK(tangent(-std::numeric_limits<T>::infinity()) == T(-1));
    CHECK(std::isnan(tangent(std::numeric_limits<T>::quiet_NaN())));
  };
  check(0.0F);
  check(0.0);
}

}  // namespace hyperbolic_tangent_test
