#include "support/catch.hpp"
#include "support/gradients.hpp"

#include <mat/ops/top_k.hpp>

#include <numeric>

using namespace mat;
using mat::test::random_tensor;

namespace {

std::vector<Index> top_k_of(const std::vector<float>& x, Index k) {
  std::vector<float> scratch(x.size());
  std::vector<Index> chosen(static_cast<std::size_t>(std::max<Index>(k, 0)), -1);
  const Index count = top_k<float>(static_cast<Index>(x.size()), x.data(), k, scratch.data(), chosen.data());
  chosen.resize(static_cast<std::size_t>(count));
  return chosen;
}

}  // namespace

TEST_CASE("the largest are those that sorting would find", "[ops]") {
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    const auto numbers = random_tensor<float, 1>({37}, seed);
    std::vector<float> x;
    for (Index i = 0; i < 37; ++i) x.push_back(std::round(4 * numbers(i)));  // many are equal
    for (const Index k : {1, 2, 5, 36, 37, 50}) {
      std::vector<Index> order(37);
      std::iota(order.begin(), order.end(), 0);
      std::sort(order.begin(), order.end(), [&](Index a, Index b) {
        const float fa = x[static_cast<std::size_t>(a)], fb = x[static_cast<std::size_t>(b)];
        return fa != fb ? fa > fb : a > b;
      });
      order.resize(static_cast<std::size_t>(std::min<Index>(k, 37)));
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
  CHECK(top_k_of({}, 2).empty());
  CHECK(top_k_of({1, 2}, 0).empty());
}
