#include "support/catch.hpp"
#include "support/gradients.hpp"

#include <mat/ops/triangular_rows.hpp>

namespace triangular_rows_test {

using namespace mat;
using mat::test::random_tensor;

namespace {

/// The equations, row by row: x and y in the order in which the rows are solved.
template <class T>
void plain_solve(const Matrix<T>& w, const Vector<T>& scale, Matrix<T>& x, Matrix<T>& y) {
  for (Index t = 0; t < x.rows(); ++t) {
    for (Index c = 0; c < x.cols(); ++c) {
      y(t, c) = scale(t) * x(t, c);
      for (Index i = t + 1; i < x.rows(); ++i) x(i, c) += w(i, t) * y(t, c);
    }
  }
}

template <class T, Index kRows>
void check_solve(Index cols) {
  CAPTURE(kRows, cols);
  const auto w = random_tensor<T, 2>({kRows, kRows}, 1);
  const auto scale = random_tensor<T, 1>({kRows}, 2);
  const auto start = random_tensor<T, 2>({kRows, cols}, 3);
  Matrix<T> x = start, y({kRows, cols}), expected_x = start, expected_y({kRows, cols});
  detail::solve_rows<T, kRows>(cols, {w.data(), kRows, 1, scale.data(), 1, x.data(), cols, y.data(), cols});
  plain_solve(w, scale, expected_x, expected_y);
  const double tolerance = 16 * std::numeric_limits<T>::epsilon();
  CHECK((x.matrix() - expected_x.matrix()).cwiseAbs().maxCoeff() <=
        tolerance * expected_x.matrix().cwiseAbs().maxCoeff());
  CHECK((y.matrix() - expected_y.matrix()).cwiseAbs().maxCoeff() <=
        tolerance * expected_y.matrix().cwiseAbs().maxCoeff());
}

}  // namespace

TEMPLATE_TEST_CASE("triangular rows are solved as one by one, for any number of columns", "[ops]", float, double) {
  for (const Index cols : {1, 3, 4, 7, 8, 16, 17, 32, 33}) {
    check_solve<TestType, 8>(cols);
    check_solve<TestType, 1>(cols);
  }
}

TEST_CASE("triangular rows with strides below 0 are solved from the last to the first", "[ops]") {
  constexpr Index kRows = 8, kCols = 19;
  const auto w = random_tensor<double, 2>({kRows, kRows}, 1);
  const auto scale = random_tensor<double, 1>({kRows}, 2);
  const auto start = random_tensor<double, 2>({kRows, kCols}, 3);
  Matrix<double> x = start, y({kRows, kCols});
  // The weight of row t in row i < t is w(t, i).
  constexpr Index kLast = kRows - 1;
  detail::solve_rows<double, kRows>(
      kCols, {&w(kLast, kLast), -1, -kRows, &scale(kLast), -1, &x(kLast, 0), -kCols, &y(kLast, 0), -kCols});
  Matrix<double> reversed({kRows, kRows}), expected_x({kRows, kCols}), expected_y({kRows, kCols});
  Vector<double> reversed_scale({kRows});
  for (Index t = 0; t < kRows; ++t) {
    reversed_scale(t) = scale(kLast - t);
    for (Index i = 0; i < kRows; ++i) reversed(i, t) = w(kLast - t, kLast - i);
    for (Index c = 0; c < kCols; ++c) expected_x(t, c) = start(kLast - t, c);
  }
  plain_solve(reversed, reversed_scale, expected_x, expected_y);
  for (Index t = 0; t < kRows; ++t) {
    for (Index c = 0; c < kCols; ++c) {
      CHECK(x(t, c) == Approx(expected_x(kLast - t, c)).epsilon(1e-13));
      CHECK(y(t, c) == Approx(expected_y(kLast - t, c)).epsilon(1e-13));
    }
  }
}

}  // namespace triangular_rows_test
