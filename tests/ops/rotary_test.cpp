#include "support/bits.hpp"
#include "support/catch.hpp"
#include "support/gradients.hpp"

#include <mat/ops/rotary.hpp>

#include <cmath>

namespace rotary_test {

using namespace mat;
using namespace mat::test;

namespace {

template <class T>
struct Table {
  Matrix<T> cos, sin;

  Table(Index positions, Index pairs) : cos({positions, pairs}), sin({positions, pairs}) {
    fill_rotary_table<T>(10000, cos, sin);
  }
  [[nodiscard]] RotaryTable<T> view() const { return {cos, sin}; }
};

/// Positions of 5 tokens.
const Vector<Index>& positions() {
  static const Vector<Index> value({5}, {0, 1, 9, 3, 3});
  return value;
}

/// The largest error against a plain loop.
template <class T>
double worst_error(RotaryPairs kind, Index heads, Index head_dim, Index pairs) {
  const Table<T> table(10, pairs);
  const auto x = random_tensor<T, 2>({5, heads * head_dim}, 1);
  Matrix<T> y(x.shape());
  rotary_forward<T>(x, positions(), table.view(), {head_dim, kind}, y);
  Matrix<double> expected(x.shape());
  for (Index i = 0; i < x.size(); ++i) expected.data()[i] = static_cast<double>(x.data()[i]);
  for (Index t = 0; t < 5; ++t) {
    for (Index h = 0; h < heads; ++h) {
      for (Index i = 0; i < pairs; ++i) {
        const Index a = h * head_dim + (kind == RotaryPairs::interleaved ? 2 * i : i);
        const Index b = kind == RotaryPairs::interleaved ? a + 1 : a + pairs;
        const double angle = static_cast<double>(positions()(t)) *
                             std::pow(10000.0, -static_cast<double>(i) / static_cast<double>(pairs));
        const auto xa = static_cast<double>(x(t, a)), xb = static_cast<double>(x(t, b));
        expected(t, a) = xa * std::cos(angle) - xb * std::sin(angle);
        expected(t, b) = xa * std::sin(angle) + xb * std::cos(angle);
      }
    }
  }
  double worst = 0;
  for (Index i = 0; i < x.size(); ++i) {
    worst = std::max(worst, std::abs(static_cast<double>(y.data()[i]) - expected.data()[i]));
  }
  return worst;
}

}  // namespace

TEST_CASE("rotary positions equal a plain loop, for whole heads and for parts of them", "[ops]") {
  const auto kind = GENERATE(RotaryPairs::half_split, RotaryPairs::interleaved);
  for (const Shape<3> shape : {Shape<3>{1, 2, 1}, Shape<3>{3, 8, 4}, Shape<3>{2, 7, 2}, Shape<3>{2, 64, 32},
                               Shape<3>{1, 70, 33}, Shape<3>{2, 5, 0}}) {
    CAPTURE(shape[0], shape[1], shape[2]);
    CHECK(worst_error<double>(kind, shape[0], shape[1], shape[2]) < 1e-15);
    CHECK(worst_error<float>(kind, shape[0], shape[1], shape[2]) < 5e-7);
  }
}

TEST_CASE("the gradient of a rotation agrees with central differences", "[ops]") {
  const auto kind = GENERATE(RotaryPairs::half_split, RotaryPairs::interleaved);
  for (const Shape<3> shape : {Shape<3>{1, 2, 1}, Shape<3>{2, 7, 3}, Shape<3>{1, 20, 10}}) {
    const Table<double> table(10, shape[2]);
    auto x = random_tensor<double, 2>({5, shape[0] * shape[1]}, 1);
    const auto dy = random_tensor<double, 2>(x.shape(), 2);
    Matrix<double> y(x.shape()), dx(x.shape());
    rotary_backward<double>(dy, positions(), table.view(), {shape[1], kind}, dx);
    const auto loss = [&] {
      rotary_forward<double>(x, positions(), table.view(), {shape[1], kind}, y);
      return inner_product<double, 2>(y, dy);
    };
    CHECK(gradient_error(loss, x, dx) < 1e-6);
  }
}

TEST_CASE("products of rotated queries and keys depend on their distance alone", "[ops]") {
  const Table<double> table(100, 4);
  const auto q = random_tensor<double, 2>({1, 8}, 1), k = random_tensor<double, 2>({1, 8}, 2);
  const auto product = [&](Index query_position, Index key_position) {
    Matrix<double> rotated_q({1, 8}), rotated_k({1, 8});
    const Vector<Index> at_q({1}, {query_position}), at_k({1}, {key_position});
    rotary_forward<double>(q, at_q, table.view(), {8, RotaryPairs::half_split}, rotated_q);
    rotary_forward<double>(k, at_k, table.view(), {8, RotaryPairs::half_split}, rotated_k);
    return inner_product<double, 2>(rotated_q, rotated_k);
  };
  CHECK(std::abs(product(7, 3) - product(96, 92)) < 1e-13);
  CHECK(std::abs(product(7, 3) - product(7, 4)) > 1e-3);
}

TEST_CASE("rotation works in place and gives a row the same bits alone and in any batch", "[ops]") {
  const auto kind = GENERATE(RotaryPairs::half_split, RotaryPairs::interleaved);
  for (const Index head_dim : {6, 14, 66}) {
    const Table<float> table(10, head_dim / 2);
    const RotaryLayout layout{head_dim, kind};
    const auto x = random_tensor<float, 2>({5, 3 * head_dim}, 1);
    Matrix<float> y(x.shape()), in_place = x;
    rotary_forward<float>(x, positions(), table.view(), layout, y);
    rotary_forward<float>(in_place, positions(), table.view(), layout, in_place);
    CHECK(same_bits(in_place, y));
    for (Index t = 0; t < 5; ++t) {
      const Matrix<float> alone(x.view().middle_rows(t, 1));
      const Vector<Index> at({1}, {positions()(t)});
      Matrix<float> y_alone(alone.shape());
      rotary_forward<float>(alone, at, table.view(), layout, y_alone);
      CHECK(same_bits<float>(y_alone.view(), y.view().middle_rows(t, 1)));
    }
    rotary_backward<float>(y, positions(), table.view(), layout, in_place);
    CHECK(largest_difference(in_place, x) < 1e-6);
  }
}

TEST_CASE("rotary positions refuse what does not fit", "[ops]") {
  const Table<double> table(3, 2);
  const Matrix<double> x({5, 8}), narrow({5, 7}), other_sin({3, 1});
  Matrix<double> y({5, 8}), wrong({4, 8});
  const Vector<Index> four({4}), low({5}, {0, 0, 0, 0, -1});
  const RotaryLayout layout{4, RotaryPairs::half_split};
  CHECK_THROWS_WITH(rotary_forward<double>(narrow, low, table.view(), layout, y),
                    "rotary_forward: head_dim is 4, expected a divisor of 7");
  CHECK_THROWS_WITH(rotary_forward<double>(x, low, table.view(), {2, RotaryPairs::half_split}, y),
                    "rotary_forward: columns of cos is 2, expected at most head_dim / 2 = 1");
  CHECK_THROWS_WITH(rotary_forward<double>(x, four, table.view(), layout, y),
                    "rotary_forward: positions is [4], expected [5]");
  CHECK_THROWS_WITH(rotary_forward<double>(x, positions(), table.view(), layout, y),
                    "rotary_forward: positions[2] is 9, expected in [0, 3)");
  CHECK_THROWS_WITH(rotary_forward<double>(x, low, table.view(), layout, y),
                    "rotary_forward: positions[4] is -1, expected in [0, 3)");
  CHECK_THROWS_WITH(rotary_forward<double>(x, low, table.view(), layout, wrong),
                    "rotary_forward: y is [4, 8], expected [5, 8]");
  CHECK_THROWS_WITH(rotary_backward<double>(x, low, {table.cos, other_sin}, layout, y),
                    "rotary_backward: sin is [3, 1], expected [3, 2]");
  Matrix<double> cos({3, 2}), sin({3, 1});
  CHECK_THROWS_WITH(fill_rotary_table<double>(10000, cos, sin), "fill_rotary_table: sin is [3, 1], expected [3, 2]");
}

}  // namespace rotary_test
