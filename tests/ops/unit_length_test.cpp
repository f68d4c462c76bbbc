#include "support/catch.hpp"
#include "support/gradients.hpp"

#include <mat/ops/unit_length.hpp>

#include <cstring>
#include <limits>

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

TEST_CASE("a head's parts get the length that it is given", "[ops]") {
  const auto x = random_tensor<double, 2>({5, 3 * 7}, 1);
  const Vector<double> lengths({3}, {0.5, 0, -2});
  Matrix<double> unit(x.shape()), y(x.shape());
  unit_length_forward<double>(x, 3, unit);
  unit_length_forward<double>(x, 3, y, lengths);
  for (Index t = 0; t < 5; ++t) {
    for (Index i = 0; i < 21; ++i) CHECK(std::abs(y(t, i) - lengths(i / 7) * unit(t, i)) < 1e-15);
  }
}

TEMPLATE_TEST_CASE("a row gets the same bits alone and among others, whatever those are", "[ops]", float, double) {
  using T = TestType;
  for (const Index d : {5, 32}) {
    auto x = random_tensor<T, 2>({37, 2 * d}, 1);
    x.view().row(3)[d] = NAN;
    std::fill_n(x.view().row(4), 2 * d, T(0));
    std::fill_n(x.view().row(12), 2 * d, std::numeric_limits<T>::max() / 4);
    Matrix<T> y(x.shape()), alone({1, 2 * d});
    unit_length_forward<T>(x, 2, y);
    Matrix<T> in_place = x;
    unit_length_forward<T>(in_place, 2, in_place);
    CHECK(std::memcmp(in_place.data(), y.data(), static_cast<std::size_t>(y.size()) * sizeof(T)) == 0);
    for (Index t = 0; t < x.rows(); ++t) {
      unit_length_forward<T>(x.view().middle_rows(t, 1), 2, alone);
      CHECK(std::memcmp(alone.data(), y.view().row(t), static_cast<std::size_t>(2 * d) * sizeof(T)) == 0);
    }
  }
}

TEST_CASE("the gradient of unit length agrees with central differences, also in place", "[ops]") {
  for (const Index heads : {1, 2}) {
    for (const bool given : {false, true}) {
      auto x = random_tensor<double, 2>({3, 10}, 1);
      const auto dy = random_tensor<double, 2>(x.shape(), 2);
      const auto lengths = given ? random_tensor<double, 1>({heads}, 3) : Vector<double>();
      Matrix<double> y(x.shape()), dx = dy;
      unit_length_backward<double>(x, dx, heads, dx, lengths);
      const auto loss = [&] {
        unit_length_forward<double>(x, heads, y, lengths);
        return inner_product(ConstMatrixView<double>(y), dy);
      };
      CHECK(gradient_error(loss, x, dx) < 1e-6);
    }
  }
}

TEST_CASE("a part of one number has gradient 0, whatever rounding would make of it", "[ops]") {
  const auto x = random_tensor<float, 2>({50, 3}, 1);
  Matrix<float> dx = random_tensor<float, 2>(x.shape(), 2);
  unit_length_backward<float>(x, dx, 3, dx);
  CHECK(dx == Matrix<float>(x.shape()));
}

TEST_CASE("numbers whose squares overflow or vanish get unit length too, and a NaN stays", "[ops]") {
  for (const float size : {1e19f, 1e-24f, 1e-36f}) {
    const Matrix<float> x({1, 2}, {3 * size, 4 * size});
    Matrix<float> y({1, 2});
    unit_length_forward<float>(x, 1, y);
    CHECK(std::abs(y(0, 0) / y(0, 1) - x(0, 0) / x(0, 1)) < 1e-3);
    CHECK(std::abs(y(0, 0) * y(0, 0) + y(0, 1) * y(0, 1) - 1) < 1e-3);
  }
  for (const float size : {6e37f, 3e-39f}) {
    for (const float length : {1e-7f, 20.0f}) {
      const Matrix<float> x({1, 2}, {3 * size, 4 * size});
      const Vector<float> lengths({1}, {length});
      Matrix<float> y({1, 2}), dx({1, 2}, {0, 1});
      unit_length_forward<float>(x, 1, y, lengths);
      CHECK(std::abs(y(0, 0) / length - 0.6f) < 1e-3);
      CHECK(std::abs(y(0, 1) / length - 0.8f) < 1e-3);
      unit_length_backward<float>(x, dx, 1, dx);  // (dy - y <y, dy>) / |x| with dy = (0, 1)
      CHECK(std::abs(dx(0, 0) * (5 * size) + 0.48f) < 1e-3);
      CHECK(std::abs(dx(0, 1) * (5 * size) - 0.36f) < 1e-3);
    }
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
  const Vector<double> lengths({3});
  CHECK_THROWS_WITH(unit_length_forward<double>(zeros, 2, dx, lengths),
                    "unit_length_forward: lengths is [3], expected [2]");
  CHECK_THROWS_WITH(unit_length_backward<double>(zeros, dx, 2, dx, lengths),
                    "unit_length_backward: lengths is [3], expected [2]");
}

}  // namespace unit_length_test
