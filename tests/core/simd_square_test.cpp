#include "support/catch.hpp"
#include "support/gradients.hpp"

#include <mat/core/simd_square.hpp>

#include <limits>

namespace simd_square_test {

using namespace mat;
using mat::test::random_tensor;

TEMPLATE_TEST_CASE("a square of numbers is transposed", "[core]", float, double) {
  using T = TestType;
  constexpr Index n = simd::Pack<T>::kSize;
  const auto x = random_tensor<T, 2>({n, n + 1}, 5);
  Matrix<T> y({n, n + 3});
  simd::transpose(x.data(), n + 1, y.data(), n + 3);
  for (Index i = 0; i < n; ++i) {
    for (Index j = 0; j < n; ++j) CHECK(y(j, i) == x(i, j));
  }
}

TEMPLATE_TEST_CASE("a pack of packs is summed at once", "[core]", float, double) {
  using T = TestType;
  constexpr Index n = simd::Pack<T>::kSize;
  const auto x = random_tensor<T, 2>({n, n}, 1);
  simd::Pack<T> packs[n];
  for (Index i = 0; i < n; ++i) packs[i] = simd::load(x.view().row(i));
  T sums[n];
  simd::store(sums, simd::sums<T>(packs));
  for (Index i = 0; i < n; ++i) {
    double sum = 0;
    for (Index j = 0; j < n; ++j) sum += double(x(i, j));
    CHECK(std::abs(double(sums[i]) - sum) < 16 * std::numeric_limits<T>::epsilon());
  }
}

}  // namespace simd_square_test
