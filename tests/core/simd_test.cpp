#include "support/catch.hpp"
#include "support/gradients.hpp"

#include <mat/core/simd.hpp>

#include <limits>
#include <vector>

namespace simd_test {

using namespace mat;
using mat::test::random_tensor;

TEMPLATE_TEST_CASE("loops over packs equal plain loops for every length", "[core]", float, double) {
  using T = TestType;
  using simd::Pack;
  const double tolerance = sizeof(T) == 4 ? 1e-5 : 1e-13;
  for (Index n = 0; n < 70; ++n) {
    const auto x = random_tensor<T, 1>({n}, 1), y = random_tensor<T, 1>({n}, 2);
    double sum = 0, dot = 0, largest = -INFINITY;
    for (Index i = 0; i < n; ++i) {
      sum += x(i);
      dot += double(x(i)) * y(i);
      largest = std::max<double>(largest, x(i));
    }
    CHECK(std::abs(simd::sum_of(n, x.data()) - sum) < tolerance);
    CHECK(std::abs(simd::dot(n, x.data(), y.data()) - dot) < tolerance);
    CHECK(simd::largest_of(n, x.data()) == largest);

    Vector<T> z({n + 1});
    z(n) = 42;
    simd::map(
        n, z.data(), [](Pack<T> a, Pack<T> b) { return a * b - a; }, x.data(), y.data());
    for (Index i = 0; i < n; ++i) CHECK(std::abs(z(i) - (x(i) * y(i) - x(i))) < tolerance);
    CHECK(z(n) == 42);
  }
}

TEMPLATE_TEST_CASE("the bits of a sum do not depend on where the numbers lie", "[core]", float, double) {
  using T = TestType;
  const auto x = random_tensor<T, 1>({37}, 3);
  std::vector<T> moved(64);
  const T expected = simd::sum_of(37, x.data());
  for (std::size_t shift = 0; shift < 20; ++shift) {
    std::copy_n(x.data(), 37, moved.data() + shift);
    CHECK(simd::sum_of(37, moved.data() + shift) == expected);
  }
}

TEMPLATE_TEST_CASE("functions of packs are as exact as the standard library's", "[core]", float, double) {
  using T = TestType;
  using simd::Pack;
  const double tolerance = sizeof(T) == 4 ? 1e-6 : 1e-14;
  for (double value = -30; value < 30; value += 0.0137) {
    const T x = static_cast<T>(value);
    T y[Pack<T>::kSize];
    const auto relative = [&](double expected) {
      return std::abs(y[0] - expected) / std::max(std::abs(expected), 1e-30);
    };
    simd::store(y, simd::exp(simd::broadcast(x)));
    CHECK(relative(std::exp(double(x))) < tolerance);
    simd::store(y, simd::tanh(simd::broadcast(x)));
    CHECK(relative(std::tanh(double(x))) < tolerance);
    simd::store(y, simd::erf(simd::broadcast(x)));
    CHECK(relative(std::erf(double(x))) < tolerance);
  }
}

TEMPLATE_TEST_CASE("the exponential of extremes", "[core]", float, double) {
  using T = TestType;
  using simd::Pack;
  const T infinity = std::numeric_limits<T>::infinity();
  const auto exp = [](T x) {
    T y[Pack<T>::kSize];
    simd::store(y, simd::exp(simd::broadcast(x)));
    return y[0];
  };
  CHECK(exp(-infinity) == 0);
  CHECK(exp(T(-1e4)) == 0);
  CHECK(exp(T(0)) == 1);
  CHECK(exp(infinity) == infinity);
  CHECK(std::isnan(exp(std::numeric_limits<T>::quiet_NaN())));
}

TEMPLATE_TEST_CASE("powers of two over their whole range, and what lies beyond it", "[core]", float, double) {
  using T = TestType;
  using simd::Pack;
  const auto power = [](T x) {
    T y[Pack<T>::kSize];
    simd::store(y, simd::exp2(simd::broadcast(x)));
    for (const T lane : y) CHECK((lane == y[0] || std::isnan(lane)));
    return y[0];
  };
  const T epsilon = std::numeric_limits<T>::epsilon(), lowest = sizeof(T) == 4 ? -126 : -1022;
  T worst = 0;
  for (T x = lowest; x < 4; x += T(0.0137)) {
    const double exact = std::exp2(static_cast<double>(x));
    worst = std::max(worst, static_cast<T>(std::abs(power(x) - exact) / exact));
  }
  CHECK(worst < 2 * epsilon);
  for (const T small : {lowest - 2, T(-1e4), T(-1e30), -std::numeric_limits<T>::infinity()}) {
    CHECK(power(small) <= std::numeric_limits<T>::min());
  }
  CHECK(power(-std::numeric_limits<T>::infinity()) == 0);
  CHECK(std::isnan(power(std::numeric_limits<T>::quiet_NaN())));
  // A NaN whose lowest bits are set, which are those that the rounding reads.
  CHECK(std::isnan(power(static_cast<T>(std::nan("12345")))));
}

TEMPLATE_TEST_CASE("square roots over the range of normal numbers, and of infinity", "[core]", float, double) {
  using T = TestType;
  using simd::Pack;
  const auto root = [](T x) {
    T y[Pack<T>::kSize];
    simd::store(y, simd::sqrt(simd::broadcast(x)));
    return y[0];
  };
  for (T x = std::numeric_limits<T>::min(); x < std::numeric_limits<T>::max() / 8; x *= T(7.3)) {
    CHECK(std::abs(root(x) - std::sqrt(x)) <= 2 * std::numeric_limits<T>::epsilon() * std::sqrt(x));
  }
  CHECK(root(T(0)) == 0);
  CHECK(root(std::numeric_limits<T>::infinity()) == std::numeric_limits<T>::infinity());
  CHECK(std::isnan(root(T(-1))));
}

TEMPLATE_TEST_CASE("set_scaled multiplies every element, also in place", "[core]", float, double) {
  using T = TestType;
  for (const Index n : {0, 1, 7, 16, 33}) {
    std::vector<T> x(static_cast<std::size_t>(n) + 1, T(3)), y(x.size(), T(5));
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<T>(i) - T(4);
    simd::set_scaled(n, y.data(), T(0.5), x.data());
    for (std::size_t i = 0; i + 1 < x.size(); ++i) CHECK(y[i] == x[i] / 2);
    CHECK(y.back() == T(5));  // not beyond the end
    simd::set_scaled(n, x.data(), T(0.5), x.data());
    for (std::size_t i = 0; i + 1 < x.size(); ++i) CHECK(x[i] == y[i]);
  }
}

}  // namespace simd_test
