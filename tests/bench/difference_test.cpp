#include "support/catch.hpp"

#include <bench/difference.hpp>

namespace difference_test {

namespace {

using bench::difference;
using Results = std::vector<bench::Result>;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

TEST_CASE("difference is a share of the largest number of its array") {
  const Results expected{{"y", {1, -4, 0}}, {"dx", {100, 0}}};
  CHECK(difference(expected, expected).value == 0);
  const auto one = difference({{"y", {1, -4, 0.5F}}, {"dx", {100, 0}}}, expected);
  CHECK(one.value == 0.125);
  CHECK(one.array == "y");
  const auto both = difference({{"y", {1, -4, 0.5F}}, {"dx", {100, 50}}}, expected);
  CHECK(both.value == 0.5);
  CHECK(both.array == "dx");
}

TEST_CASE("difference from zeros is infinite unless all are zero") {
  const Results zeros{{"y", {0, 0}}};
  CHECK(difference(zeros, zeros).value == 0);
  CHECK(std::isinf(difference({{"y", {0, 1e-30F}}}, zeros).value));
}

TEST_CASE("difference is infinite for numbers that are not finite, on either side") {
  const Results finite{{"y", {1, 2}}};
  for (const float bad : {kNan, kInfinity, -kInfinity}) {
    CHECK(std::isinf(difference({{"y", {1, bad}}}, finite).value));
    CHECK(std::isinf(difference(finite, {{"y", {bad, 2}}}).value));
    CHECK(std::isinf(difference({{"y", {bad, 3}}}, {{"y", {bad, 3}}}).value));
  }
}

TEST_CASE("difference is infinite for other arrays") {
  const Results expected{{"y", {1, 2}}};
  CHECK(std::isinf(difference({{"x", {1, 2}}}, expected).value));
  CHECK(std::isinf(difference({{"y", {1, 2, 3}}}, expected).value));
  const auto missing = difference({}, expected);
  CHECK(std::isinf(missing.value));
  CHECK(missing.array == "0 and 1 arrays");
}

}  // namespace

}  // namespace difference_test
