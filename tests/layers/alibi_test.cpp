#include "support/catch.hpp"

#include <mat/layers/alibi.hpp>

#include <cmath>

namespace alibi_test {

using namespace mat;

TEST_CASE("the slopes of a power of two of heads are a geometric sequence", "[layers]") {
  CHECK(alibi_slopes<double>(8) ==
        Vector<double>({8}, {0.5, 0.25, 0.125, 0.0625, 0.03125, 0.015625, 0.0078125, 0.00390625}));
  CHECK(alibi_slopes<float>(1) == Vector<float>({1}, {0.00390625F}));
  CHECK(alibi_slopes<float>(2) == Vector<float>({2}, {0.0625F, 0.00390625F}));
}

TEST_CASE("other numbers of heads take every other slope of twice as many", "[layers]") {
  CHECK(alibi_slopes<double>(3) == Vector<double>({3}, {0.0625, 0.00390625, 0.25}));
  const auto slopes = alibi_slopes<double>(12), eight = alibi_slopes<double>(8), sixteen = alibi_slopes<double>(16);
  for (Index h = 0; h < 8; ++h) CHECK(slopes(h) == eight(h));
  for (Index h = 8; h < 12; ++h) CHECK(std::abs(slopes(h) - sixteen(2 * (h - 8))) < 1e-16);
}

TEST_CASE("alibi_slopes refuses no heads", "[layers]") {
  CHECK_THROWS_WITH(alibi_slopes<double>(0), "alibi_slopes: heads is 0, expected at least 1");
}

}  // namespace alibi_test
