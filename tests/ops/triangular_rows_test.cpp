#include "support/catch.hpp"
#include "support/gradients.hpp"

#include <mat/ops/triangular_rows.hpp>

#include <algorithm>
#include <cmath>
#include <limits>

namespace triangular_rows_test {

using namespace mat;
using mat::test::random_tensor;

namespace {

/// What a block of rows is solved from, in the order in which the rows are solved.
template <class T>
struct Block {
  Matrix<T> weights, start, product;  // [rows, before + rows], [rows, cols], [rows, cols]
  Vector<T> factor, scale, part;      // [rows]
  Matrix<T> known;                    // [before, cols]

  Block(Index rows, Index before, Index cols)
      : weights(random_tensor<T, 2>({rows, before + rows}, 1)),
        start(random_tensor<T, 2>({rows, cols}, 2)),
        product(random_tensor<T, 2>({rows, cols}, 3)),
        factor(random_tensor<T, 1>({rows}, 4)),
        scale(random_tensor<T, 1>({rows}, 5)),
        part(random_tensor<T, 1>({rows}, 6)),
        known(random_tensor<T, 2>({before, cols}, 7)) {}
  [[nodiscard]] Index rows() const { return start.rows(); }
  [[nodiscard]] Index before() const { return known.rows(); }
  [[nodiscard]] Index cols() const { return start.cols(); }
};

template <class T>
struct Solved {
  Matrix<T> x, y, z;
};

/// The equations, number by number in double.
template <class T>
Solved<double> plain_solve(const Block<T>& b, bool with_start) {
  const Shape<2> shape{b.rows(), b.cols()};
  Solved<double> to{Matrix<double>(shape), Matrix<double>(shape), Matrix<double>(shape)};
  for (Index t = 0; t < b.rows(); ++t) {
    for (Index c = 0; c < b.cols(); ++c) {
      double x = double(b.factor(t)) * double(b.product(t, c)) + (with_start ? double(b.start(t, c)) : 0);
      for (Index i = 0; i < b.before(); ++i) x += double(b.weights(t, i)) * double(b.known(i, c));
      for (Index i = 0; i < t; ++i) x += double(b.weights(t, b.before() + i)) * to.y(i, c);
      to.x(t, c) = x;
      to.y(t, c) = double(b.scale(t)) * x;
      to.z(t, c) = double(b.part(t)) * to.y(t, c);
    }
  }
  return to;
}

/// `m` with its rows in the other order.
template <class T>
Matrix<T> reversed(const Matrix<T>& m) {
  Matrix<T> to(m.shape());
  to.matrix() = m.matrix().colwise().reverse();
  return to;
}

/// Solves forward or from the last row to the first, with x or y in the place of the products, and compares.
template <class T, Index kRows>
void check_solve(Index before, Index cols, bool backward, bool forward_form) {
  CAPTURE(kRows, before, cols, backward, forward_form);
  const Block<T> b(kRows, before, cols);
  const Index rows = before + kRows, first = backward ? kRows - 1 : before, step = backward ? -1 : 1;
  const auto in_order = [&](Matrix<T> m) { return backward ? reversed(m) : m; };
  // Of a backward solve the weight of row i in row t is the number at (i, t), and the rows that are known come last.
  Matrix<T> weights({rows, rows}), y({rows, cols});
  for (Index t = 0; t < kRows; ++t) {
    for (Index i = 0; i < rows; ++i) {
      const Index row = before + t, last = rows - 1;
      (backward ? weights(last - i, last - row) : weights(row, i)) = b.weights(t, i);
    }
  }
  for (Index i = 0; i < before; ++i) {
    std::copy_n(b.known.view().row(i), cols, y.view().row(backward ? rows - 1 - i : i));
  }
  const Matrix<T> start = in_order(b.start);
  Vector<T> factor = b.factor, scale = b.scale;
  if (backward) {
    std::reverse(factor.data(), factor.data() + kRows);
    std::reverse(scale.data(), scale.data() + kRows);
  }
  Matrix<T> x = in_order(b.product), z({kRows, cols});
  if (forward_form) {
    for (Index t = 0; t < kRows; ++t) std::copy_n(b.product.view().row(t), cols, y.view().row(first + step * t));
    x.fill(NAN);
  }
  const Index top = backward ? kRows - 1 : 0;
  detail::TriangularRows<T> p;
  p.before = before;
  p.weights = &weights(first, first);
  p.weights_row = step * (backward ? 1 : rows), p.weights_col = step * (backward ? rows : 1);
  if (forward_form) p.start = {start.view().row(top), step * cols};
  p.product = {forward_form ? y.view().row(first) : x.view().row(top), step * cols};
  p.factor = {&factor(top), step}, p.scale = {&scale(top), step}, p.part = {b.part.data(), 1};
  p.x = {x.view().row(top), step * cols};
  p.y = {y.view().row(first), step * cols};
  if (forward_form) p.z = {z.view().row(top), step * cols};
  detail::solve_rows<T, kRows>(cols, p);

  const Solved<double> expected = plain_solve(b, forward_form);
  Matrix<T> solved({kRows, cols});
  for (Index t = 0; t < kRows; ++t) std::copy_n(y.view().row(first + step * t), cols, solved.view().row(t));
  const auto check_near = [](const Matrix<T>& actual, const Matrix<double>& wanted) {
    const double size = wanted.matrix().cwiseAbs().maxCoeff();
    const double difference = (actual.matrix().template cast<double>() - wanted.matrix()).cwiseAbs().maxCoeff();
    CHECK(difference <= 16 * std::numeric_limits<T>::epsilon() * size);
  };
  check_near(in_order(x), expected.x);
  check_near(solved, expected.y);
  if (forward_form) check_near(in_order(z), expected.z);
}

}  // namespace

TEMPLATE_TEST_CASE("triangular rows are solved as one by one, from either end, after any rows that are known", "[ops]",
                   float, double) {
  for (const Index cols : {1, 3, 4, 7, 8, 16, 17, 24, 32, 49}) {
    for (const Index before : {0, 1, 8, 11}) {
      for (const bool backward : {false, true}) {
        for (const bool forward_form : {false, true}) {
          check_solve<TestType, 8>(before, cols, backward, forward_form);
          check_solve<TestType, 1>(before, cols, backward, forward_form);
        }
      }
    }
  }
}

}  // namespace triangular_rows_test
