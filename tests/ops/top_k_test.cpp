#include "support/catch.hpp"
#include "support/gradients.hpp"

#include <mat/ops/top_k.hpp>

#include <numeric>

namespace top_k_test {

using namespace mat;
using mat::test::random_tensor;

namespace {

std::vector<Index> top_k_of(const std::vector<float>& x, Index k) {
  const auto room = static_cast<std::size_t>(k);
  std::vector<float> values(4 * room);
  std::vector<Index> chosen(2 * room, -1);
  const Index count = top_k<float>(static_cast<Index>(x.size()), x.data(), k, chosen.data(), values.data());
  chosen.resize(static_cast<std::size_t>(count));
  return chosen;
}

}  // namespace

TEST_CASE("the largest are those that sorting would find", "[ops]") {
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    const Index n = seed % 2 == 0 ? 37 : 1000;
    const auto numbers = random_tensor<float, 1>({n}, seed);
    std::vector<float> x;
    for (Index i = 0; i < n; ++i) x.push_back(std::round(40 * numbers(i)));  // many are equal
    for (const Index k : {1, 2, 5, 36, 37, 50, 999}) {
      std::vector<Index> order(static_cast<std::size_t>(n));
      std::iota(order.begin(), order.end(), 0);
      std::sort(order.begin(), order.end(), [&](Index a, Index b) {
        const float fa = x[static_cast<std::size_t>(a)], fb = x[static_cast<std::size_t>(b)];
        return fa != fb ? fa > fb : a > b;
      });
      order.resize(static_cast<std::size_t>(std::min<Index>(k, n)));
      std::sort(order.begin(), order.end());
      CHECK(top_k_of(x, k) == order);
    }
  }
}

TEST_CASE("of equal numbers the last are taken, and a NaN is not overlooked", "[ops]") {
  const float nan = std::numeric_limits<float>::quiet_NaN(), infinity = std::numeric_limits<float>::infinity();
  CHECK(top_k_of({1, 1, 1, 1}, 2) == std::vector<Index>{2, 3});
  CHECK(top_k_of({0.0f, -0.0f, 0.0f}, 1) == std::vector<Index>{2});
  CHECK(top_k_of({3, nan, 5, nan, -1}, 2) == std::vector<Index>{1, 3});
  CHECK(top_k_of({nan, nan, nan}, 2) == std::vector<Index>{1, 2});
  CHECK(top_k_of({-infinity, 2, -infinity}, 2) == std::vector<Index>{1, 2});
  std::vector<float> rising, falling, with_nan(500, 1);
  for (int i = 0; i < 500; ++i) {
    rising.push_back(static_cast<float>(i));
    falling.push_back(static_cast<float>(-i));
  }
  with_nan[7] = nan;
  CHECK(top_k_of(rising, 3) == std::vector<Index>{497, 498, 499});
  CHECK(top_k_of(falling, 3) == std::vector<Index>{0, 1, 2});
  CHECK(top_k_of(with_nan, 3) == std::vector<Index>{7, 498, 499});
  CHECK(top_k_of(std::vector<float>(500, 2), 3) == std::vector<Index>{497, 498, 499});
  CHECK(top_k_of(std::vector<float>(500, -infinity), 3) == std::vector<Index>{497, 498, 499});
  CHECK(top_k_of(std::vector<float>(500, nan), 3) == std::vector<Index>{497, 498, 499});
  CHECK(top_k_of({}, 2).empty());
  CHECK(top_k_of({1, 2}, 0).empty());
}

}  // namespace top_k_test
