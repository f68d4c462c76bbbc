#include "support/catch.hpp"
#include "support/gradients.hpp"

#include <mat/ops/unit_length.hpp>

namespace unit_length_test {

using namespace mat;
using mat::test::gradient_error;
using mat::test::inner_product;
using mat::test::random_tensor;

TEMPLATE_TEST_CASE("every head's part gets length 1, and zeros stay zeros", "[ops]", float, double) {
  using T = TestType;
  auto x = random_tensor<T, 2>({4, 3 * 21}, 1);
  std::fill_n(x.view().row(2) + 21, 21, T(0));
  Matrix<T> y(x.shape());
  unit_length_forward<T>(x, 3, y);
  for (Index t = 0; t < 4; ++t) {
    for (Index h = 0; h < 3; ++h) {
      double squares = 0, along = 0, length = 0;
      for (Index i = h * 21; i < (h + 1) * 21; ++i) {
        squares += double(y(t, i)) * y(t, i);
        along += double(x(t, i)) * y(t, i);
        length += double(x(t, i)) * x(t, i);
      }
      CHECK(std::abs(squares - (t == 2 && h == 1 ? 0 : 1)) < 1e-6);
      CHECK(std::abs(along - std::sqrt(length)) < 1e-5);
    }
  }
}

TEST_CASE("the gradient of unit length agrees with central differences, also in place", "[ops]") {
  for (const Index heads : {1, 2}) {
    auto x = random_tensor<double, 2>({3, 10}, 1);
    const auto dy = random_tensor<double, 2>(x.shape(), 2);
    Matrix<double> y(x.shape()), dx = dy;
    unit_length_backward<double>(x, dx, heads, dx);
    const auto loss = [&] {
      unit_length_forward<double>(x, heads, y);
      return inner_product(ConstMatrixView<double>(y), dy);
    };
    CHECK(gradient_error(loss, x, dx) < 1e-6);
  }
}

TEST_CASE("numbers whose squares overflow or vanish get unit length too, and a NaN stays", "[ops]") {
  for (const float size : {1e19f, 1e-24f, 1e-36f}) {
    const Matrix<float> x({1, 2}, {3 * size, 4 * size});
    Matrix<float> y({1, 2});
    unit_length_forward<float>(x, 1, y);
    CHECK(std::abs(y(0, 0) / y(0, 1) - x(0, 0) / x(0, 1)) < 1e-3);
    CHECK(std::abs(y(0, 0) * y(0, 0) + y(0, 1) * y(0, 1) - 1) < 1e-3);
  }
  const Matrix<float> x({1, 2}, {NAN, 4});
  Matrix<float> y({1, 2});
  unit_length_forward<float>(x, 1, y);
  CHECK(std::isnan(y(0, 0)));
  CHECK(std::isnan(y(0, 1)));
}

TEST_CASE("unit length has gradient 0 at 0, and says what does not fit", "[ops]") {
  const Matrix<double> zeros({1, 4});
  Matrix<double> dx({1, 4}), y({2, 4});
  dx.fill(1);
  unit_length_backward<double>(zeros, dx, 1, dx);
  CHECK(dx == zeros);
  CHECK_THROWS_WITH(unit_length_forward<double>(zeros, 3, dx),
                    "unit_length_forward: x's columns is 4, expected a multiple of 3");
  CHECK_THROWS_WITH(unit_length_forward<double>(zeros, 2, y), "unit_length_forward: y is [2, 4], expected [1, 4]");
}

}  // namespace unit_length_test
