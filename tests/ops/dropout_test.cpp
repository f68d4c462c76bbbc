#include "support/bits.hpp"
#include "support/catch.hpp"
#include "support/gradients.hpp"

#include <mat/ops/dropout.hpp>

#include <cmath>

namespace dropout_test {

using namespace mat;
using namespace mat::test;

TEST_CASE("dropout drops its rate of the numbers and scales the others", "[ops]") {
  for (const double rate : {0.1, 0.5, 0.9}) {
    CAPTURE(rate);
    const Dropout dropout{rate, Random(1)};
    const double kept_scale = 65536 / (65536 - std::round(65536 * rate));
    CHECK(kept_scale == Approx(1 / (1 - rate)).epsilon(1e-4));
    const std::uint64_t n = 100000;
    double dropped = 0, kept = 0, sum = 0;
    for (std::uint64_t i = 0; i < n; ++i) {
      const double scale = dropout_scale(dropout, i);
      if (scale == 0) dropped += 1;
      if (scale == kept_scale) kept += 1;
      sum += scale;
    }
    CHECK(dropped + kept == static_cast<double>(n));
    const double deviation = std::sqrt(rate * (1 - rate) / static_cast<double>(n));
    CHECK(std::abs(dropped / static_cast<double>(n) - rate) < 4 * deviation);
    CHECK(std::abs(sum / static_cast<double>(n) - 1) < 4 * deviation / (1 - rate));
  }
}

TEST_CASE("the mean of dropout's scales is 1 also at rates that 16 bits cannot tell from 1", "[ops]") {
  const std::uint64_t n = 1 << 21;  // of which 1 in 65536 is kept: 32, give or take 6
  double sum = 0;
  DropoutScales<double> scales(1 - 1e-7, Random(1));
  for (std::uint64_t i = 0; i < n; ++i) sum += scales(i);
  CHECK(std::abs(sum / static_cast<double>(n) - 1) < 0.7);
}

TEST_CASE("rate 0 keeps everything and the highest rates drop nearly everything", "[ops]") {
  bool all = true, none = true;
  for (std::uint64_t i = 0; i < 1000; ++i) {
    all = all && dropout_scale(Dropout{}, i) == 1.0;
    none = none && dropout_scale(Dropout{1 - 1e-12, Random(1)}, i) == 0.0;
  }
  CHECK(all);
  CHECK(none);
}

TEST_CASE("dropout of a matrix is a function of each element's place", "[ops]") {
  const Dropout dropout{0.4, Random(3)};
  for (const Index cols : {1, 4, 7, 64, 130}) {
    const auto x = random_tensor<double, 2>({9, cols}, 1);
    Matrix<double> y(x.shape());
    dropout_forward<double>(dropout, x, y);
    const Index stride = dropout_stride(cols);
    bool same = true;
    for (Index i = 0; i < 9; ++i) {
      for (Index j = 0; j < cols; ++j) {
        same = same && y(i, j) == x(i, j) * dropout_scale(dropout, static_cast<std::uint64_t>(i * stride + j));
      }
    }
    CHECK(same);

    Matrix<double> in_place = x;
    dropout_forward<double>(dropout, in_place, in_place);
    CHECK(same_bits(in_place, y));
    Matrix<double> first_rows({4, cols});
    dropout_forward<double>(dropout, x.view().middle_rows(0, 4), first_rows);
    CHECK(same_bits<double>(first_rows.view(), y.view().middle_rows(0, 4)));
  }
}

TEST_CASE("dropout_backward agrees with central differences", "[ops]") {
  const Dropout dropout{0.5, Random(3)};
  for (const Shape<2> shape : {Shape<2>{1, 1}, Shape<2>{3, 9}, Shape<2>{0, 4}}) {
    auto x = random_tensor<double, 2>(shape, 1);
    const auto dy = random_tensor<double, 2>(shape, 2);
    Matrix<double> y(shape), dx(shape);
    dropout_backward<double>(dropout, dy, dx);
    const auto loss = [&] {
      dropout_forward<double>(dropout, x, y);
      return inner_product<double, 2>(y, dy);
    };
    CHECK(gradient_error(loss, x, dx) < 1e-6);
  }
}

TEST_CASE("at rate 0 dropout copies, whatever the numbers", "[ops]") {
  Matrix<float> x({1, 3}, {1, -0.0F, std::numeric_limits<float>::infinity()}), y({1, 3});
  dropout_forward<float>(Dropout{}, x, y);
  CHECK(same_bits(x, y));
  dropout_forward<float>(Dropout{}, x, x);
  CHECK(same_bits(x, y));
}

TEST_CASE("splits of a dropout are independent of each other", "[ops]") {
  const Dropout dropout{0.5, Random(1)};
  const Dropout a = dropout.split(0), b = dropout.split(1);
  CHECK(a.rate == 0.5);
  CHECK(a.random == dropout.split(0).random);
  int equal = 0;
  for (std::uint64_t i = 0; i < 10000; ++i) equal += dropout_scale(a, i) == dropout_scale(b, i) ? 1 : 0;
  CHECK(std::abs(equal - 5000) < 200);
}

TEST_CASE("dropout has the same bits for any number of threads", "[ops]") {
  const int before = max_threads();
  const Dropout dropout{0.2, Random(1)};
  const auto x = random_tensor<float, 2>({300, 301}, 2);
  Matrix<float> one(x.shape()), several(x.shape());
  set_threads(1);
  dropout_forward<float>(dropout, x, one);
  set_threads(3);
  dropout_forward<float>(dropout, x, several);
  set_threads(before);
  CHECK(same_bits(several, one));
}

TEST_CASE("dropout refuses rates outside of [0, 1) and tensors that do not fit", "[ops]") {
  const Matrix<double> x({2, 3});
  Matrix<double> y({2, 3}), wrong({3, 2});
  CHECK_THROWS_WITH(dropout_forward<double>(Dropout{1, Random()}, x, y),
                    "dropout_forward: dropout rate is 1, expected in [0, 1)");
  CHECK_THROWS_WITH(dropout_backward<double>(Dropout{-0.5, Random()}, x, y),
                    "dropout_forward: dropout rate is -0.5, expected in [0, 1)");
  CHECK_THROWS_WITH(check_dropout("Layer::forward", Dropout{std::nan(""), Random()}),
                    "Layer::forward: dropout rate is nan, expected in [0, 1)");
  CHECK_THROWS_WITH(dropout_forward<double>(Dropout{0.5, Random()}, x, wrong),
                    "dropout_forward: y is [3, 2], expected [2, 3]");
}

}  // namespace dropout_test
