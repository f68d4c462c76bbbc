#include "support/catch.hpp"

#include <mat/training/loss_sum.hpp>

namespace loss_sum_test {

using namespace mat;

TEST_CASE("LossSum of parts has the mean of the whole, not the mean of the means", "[training]") {
  LossSum sum{6.0, 2.0};
  sum += {2.0, 6.0};
  CHECK(sum == LossSum{8.0, 8.0});
  CHECK(sum.mean() == 1.0);
  CHECK(LossSum{6.0, 2.0} + LossSum{2.0, 6.0} == sum);
  CHECK(std::isnan(LossSum().mean()));
}

TEST_CASE("Perplexity of a uniform guess is the number of choices", "[training]") {
  CHECK(std::abs(perplexity({3.0 * std::log(50.0), 3.0}) - 50.0) < 1e-12);
  CHECK(perplexity({0.0, 7.0}) == 1.0);
}

}  // namespace loss_sum_test
