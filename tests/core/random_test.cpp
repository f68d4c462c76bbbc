#include "support/catch.hpp"

#include <mat/core/random.hpp>

#include <algorithm>
#include <numeric>
#include <set>
#include <vector>

namespace random_test {

using namespace mat;

TEST_CASE("the generator is Philox4x32-10", "[core]") {
  // The known answers published with the generator, for a counter and a key of zeros and of ones.
  CHECK(Random(0, 0).block(0) == Random::Block{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  const std::uint64_t ones = ~std::uint64_t{0};
  CHECK(Random(ones, ones).block(ones) == Random::Block{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
}

TEST_CASE("a number is a function of seed, stream and index", "[core]") {
  const Random a(7, 3), b(7, 3);
  CHECK(a.bits(5) == b.bits(5));
  CHECK(a.bits(5) == a.block(1)[1]);
  CHECK(a.bits(5) != Random(8, 3).bits(5));
  CHECK(a.bits(5) != Random(7, 4).bits(5));
  CHECK(a.split(1) == b.split(1));
  CHECK(a.split(1) != a.split(2));
  CHECK(a.split(1) != a);
}

TEST_CASE("uniform numbers fill [0, 1) evenly", "[core]") {
  const Random random(1);
  double sum = 0, low = 1, high = 0;
  for (std::uint64_t i = 0; i < 100000; ++i) {
    const double u = random.uniform(i);
    sum += u;
    low = std::min(low, u);
    high = std::max(high, u);
  }
  CHECK(low >= 0);
  CHECK(high < 1);
  CHECK(std::abs(sum / 100000 - 0.5) < 0.005);
}

TEST_CASE("normal numbers have mean 0 and variance 1", "[core]") {
  const Random random(2);
  double sum = 0, squares = 0;
  for (std::uint64_t i = 0; i < 100000; ++i) {
    const double x = random.normal(i);
    sum += x;
    squares += x * x;
  }
  CHECK(std::abs(sum / 100000) < 0.02);
  CHECK(std::abs(squares / 100000 - 1) < 0.02);
}

TEST_CASE("numbers below n take every value", "[core]") {
  std::set<Index> seen;
  for (std::uint64_t i = 0; i < 1000; ++i) seen.insert(Random(3).below(i, 7));
  CHECK(seen == std::set<Index>{0, 1, 2, 3, 4, 5, 6});
}

TEST_CASE("shuffle keeps every element and puts them in another order", "[core]") {
  std::vector<int> order(100);
  std::iota(order.begin(), order.end(), 0);
  auto again = order;
  shuffle(order.begin(), 100, Random(4));
  shuffle(again.begin(), 100, Random(4));
  CHECK(order == again);
  CHECK_FALSE(std::is_sorted(order.begin(), order.end()));
  std::sort(order.begin(), order.end());
  CHECK(order.front() == 0);
  CHECK(order.back() == 99);
}

}  // namespace random_test
