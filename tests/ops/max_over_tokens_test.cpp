#include "support/catch.hpp"
#include "support/gradients.hpp"

#include <mat/ops/max_over_tokens.hpp>

#include <cmath>
#include <limits>

namespace max_over_tokens_test {

using namespace mat;
using namespace mat::test;

TEST_CASE("the maximum over tokens is that of each column and sequence, the first of equal ones", "[ops]") {
  const Matrix<float> x({5, 2}, {-3, 7, -1, 7, 4, -5, 2, -4, 6, -6});
  Matrix<float> y({3, 2});
  Matrix<Index> largest({3, 2});
  y.fill(9);
  max_over_tokens_forward<float>(x, Sequences({2, 0, 3}), y, largest);
  CHECK(y == Matrix<float>({3, 2}, {-1, 7, 0, 0, 6, -4}));
  CHECK(largest == Matrix<Index>({3, 2}, {1, 0, -1, -1, 4, 3}));
}

TEST_CASE("NaN is the largest number of a column", "[ops]") {
  const Index place = GENERATE(0, 1, 2);
  Matrix<float> x({3, 1}, {1, 2, 3}), y({1, 1});
  Matrix<Index> largest({1, 1});
  x(place, 0) = std::numeric_limits<float>::quiet_NaN();
  max_over_tokens_forward<float>(x, Sequences::single(3), y, largest);
  CHECK(std::isnan(y(0, 0)));
  CHECK(largest(0, 0) == place);
}

TEST_CASE("max_over_tokens_backward is the gradient of max_over_tokens_forward", "[ops]") {
  const Sequences sequences({2, 0, 5, 1});
  auto x = random_tensor<double, 2>({8, 6}, 1);
  const auto dy = random_tensor<double, 2>({4, 6}, 2);
  Matrix<double> y(dy.shape()), dx(x.shape());
  Matrix<Index> largest(dy.shape());
  const auto loss = [&] {
    max_over_tokens_forward<double>(x, sequences, y, largest);
    return inner_product<double, 2>(y, dy);
  };
  loss();
  dx.fill(9);
  max_over_tokens_backward<double>(dy, largest, dx);
  CHECK(gradient_error(loss, x, dx) < 1e-6);
}

TEST_CASE("a running maximum keeps the larger of both, the state's of equal ones", "[ops]") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const Matrix<float> state({2, 3}, {1, 2, -1, nan, 0, 4}), y({2, 3}, {2, 2, -2, 5, nan, 4});
  Matrix<float> next({2, 3}), dnext({2, 3}), dstate({2, 3}), dy({2, 3});
  dnext.fill(1);
  dstate.fill(10);
  running_max_forward<float>(state, y, next);
  CHECK(Matrix<float>(next.view().middle_rows(0, 1)) == Matrix<float>({1, 3}, {2, 2, -1}));
  CHECK(std::isnan(next(1, 0)));
  CHECK(std::isnan(next(1, 1)));
  CHECK(next(1, 2) == 4);
  running_max_backward<float>(dnext, state, y, dstate, dy);
  CHECK(dy == Matrix<float>({2, 3}, {1, 0, 0, 0, 1, 0}));
  CHECK(dstate == Matrix<float>({2, 3}, {10, 11, 11, 11, 10, 11}));
  Matrix<float> narrow({2, 2});
  CHECK_THROWS_WITH(running_max_forward<float>(state, narrow, next),
                    "running_max_forward: y is [2, 2], expected [2, 3]");
  CHECK_THROWS_WITH(running_max_backward<float>(dnext, state, y, narrow, dy),
                    "running_max_backward: dstate is [2, 2], expected [2, 3]");
}

TEST_CASE("a maximum over tokens that does not fit is refused", "[ops]") {
  const Matrix<float> x({5, 2});
  Matrix<float> y({3, 2}), narrow({3, 1}), dx({5, 3});
  Matrix<Index> largest({3, 2}), short_one({2, 2});
  const Sequences sequences({2, 0, 3});
  CHECK_THROWS_WITH(max_over_tokens_forward<float>(x, Sequences::single(4), y, largest),
                    "max_over_tokens_forward: x is 5 tokens, expected 4, the rows of its sequences");
  CHECK_THROWS_WITH(max_over_tokens_forward<float>(x, sequences, narrow, largest),
                    "max_over_tokens_forward: y is [3, 1], expected [3, 2]");
  CHECK_THROWS_WITH(max_over_tokens_forward<float>(x, sequences, y, short_one),
                    "max_over_tokens_forward: largest is [2, 2], expected [3, 2]");
  CHECK_THROWS_WITH(max_over_tokens_backward<float>(y, short_one, dx),
                    "max_over_tokens_backward: largest is [2, 2], expected [3, 2]");
  CHECK_THROWS_WITH(max_over_tokens_backward<float>(y, largest, dx),
                    "max_over_tokens_backward: dx is [5, 3], expected [*, 2]");
  Matrix<float> short_dx({2, 2});
  largest.fill(2);
  CHECK_THROWS_WITH(max_over_tokens_backward<float>(y, largest, short_dx),
                    "max_over_tokens_backward: largest is 2, expected below the number of tokens, 2");
}

}  // namespace max_over_tokens_test
