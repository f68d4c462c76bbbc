#include "support/bits.hpp"
#include "support/catch.hpp"
#include "support/gradients.hpp"

#include <mat/ops/normalized_memory.hpp>

namespace normalized_memory_test {

using namespace mat;
using mat::test::gradient_error;
using mat::test::inner_product;
using mat::test::largest_difference;
using mat::test::random_tensor;
using mat::test::rows_are_independent;
using mat::test::same_bits;

namespace {

template <class T>
struct Problem {
  Sequences sequences;
  Index heads = 2, dk = 3, dv = 5;
  Matrix<T> q, k, v, start;

  explicit Problem(const std::vector<Index>& lengths) : sequences(lengths) {
    const Index n = sequences.rows();
    q = random_tensor<T, 2>({n, heads * dk}, 1);
    k = random_tensor<T, 2>({n, heads * dk}, 2);
    v = random_tensor<T, 2>({n, heads * dv}, 3);
    start = random_tensor<T, 2>({sequences.count() * heads * dk, dv + 1}, 4);
    for (Index i = 0; i < start.rows(); ++i) start(i, dv) = std::abs(start(i, dv));  // sums of positive numbers
  }
  [[nodiscard]] LinearMemoryInputs<T> inputs() const { return {q, k, v, heads, T(1e-3), sequences}; }

  /// The equations, number by number; `state` becomes the last one.
  [[nodiscard]] Matrix<T> reference(Matrix<T>& state) const {
    const auto f = [](T x) { return x > 0 ? double(x) + 1 : std::exp(double(x)); };
    Matrix<T> y({sequences.rows(), heads * dv});
    for (Index b = 0; b < sequences.count(); ++b) {
      for (Index h = 0; h < heads; ++h) {
        const auto at = [&](Index i, Index j) -> T& { return state((b * heads + h) * dk + i, j); };
        for (Index t = sequences.begin(b); t < sequences.end(b); ++t) {
          double sum = 1e-3;
          for (Index i = 0; i < dk; ++i) {
            for (Index j = 0; j <= dv; ++j) {
              at(i, j) += static_cast<T>(f(k(t, h * dk + i)) * (j == dv ? 1.0 : double(v(t, h * dv + j))));
            }
            sum += f(q(t, h * dk + i)) * at(i, dv);
          }
          for (Index j = 0; j < dv; ++j) {
            double read = 0;
            for (Index i = 0; i < dk; ++i) read += f(q(t, h * dk + i)) * at(i, j);
            y(t, h * dv + j) = static_cast<T>(read / sum);
          }
        }
      }
    }
    return y;
  }
};

}  // namespace

TEMPLATE_TEST_CASE("linear memory equals its equations, number by number", "[ops]", float, double) {
  using T = TestType;
  const Problem<T> p({5, 0, 1, 40});
  LinearMemoryCache<T> cache;
  Matrix<T> state = p.start, expected_state = p.start;
  const Matrix<T> expected = p.reference(expected_state);
  const double tolerance = sizeof(T) == 4 ? 3e-5 : 1e-13;
  CHECK(largest_difference(Matrix<T>(linear_memory_forward<T>(p.inputs(), state, cache)), expected) < tolerance);
  CHECK(largest_difference(state, expected_state) < tolerance);
}

TEST_CASE("gradients of linear memory agree with central differences", "[ops]") {
  Problem<double> p({4, 0, 1, 6});
  for (Matrix<double>* x : {&p.q, &p.k}) {  // away from 0, where the second derivative jumps
    for (Index i = 0; i < x->size(); ++i) x->data()[i] += x->data()[i] < 0 ? -0.02 : 0.02;
  }
  LinearMemoryCache<double> cache, scratch;
  Matrix<double> state = p.start, dstate = random_tensor<double, 2>(p.start.shape(), 5);
  const Matrix<double> dend = dstate;
  const auto dy = random_tensor<double, 2>(p.v.shape(), 6);
  (void)linear_memory_forward<double>(p.inputs(), state, cache);
  Matrix<double> dq(p.q.shape()), dk(p.k.shape()), dv(p.v.shape());
  linear_memory_backward<double>(dy, p.inputs(), cache, dq, dk, dv, dstate);
  const auto loss = [&] {
    Matrix<double> end = p.start;
    const double y = inner_product(linear_memory_forward<double>(p.inputs(), end, scratch), dy);
    return y + inner_product(ConstMatrixView<double>(end), dend);
  };
  CHECK(gradient_error(loss, p.q, dq) < 1e-6);
  CHECK(gradient_error(loss, p.k, dk) < 1e-6);
  CHECK(gradient_error(loss, p.v, dv) < 1e-6);
  CHECK(gradient_error(loss, p.start, dstate) < 1e-6);
}

TEST_CASE("an empty memory reads 0, and one value alone is read as it was written", "[ops]") {
  const Matrix<double> nothing({1, 4});
  Matrix<double> y({1, 3});
  Matrix<double> dnothing({1, 4});
  for (const double epsilon : {1e-6, 0.0}) {
    y.fill(1);
    divide_by_ones_forward<double>(nothing, 1, epsilon, y);
    CHECK(same_bits(y, Matrix<double>({1, 3})));
  }
  const auto dy = random_tensor<double, 2>({1, 3}, 1);
  divide_by_ones_backward<double>(nothing, y, dy, 1, 0, dnothing);
  CHECK(dnothing == nothing);

  Problem<double> p({1});
  p.start.fill(0);
  LinearMemoryInputs<double> in = p.inputs();
  in.epsilon = 1e-15;
  LinearMemoryCache<double> cache;
  CHECK(largest_difference(Matrix<double>(linear_memory_forward<double>(in, p.start, cache)), p.v) < 1e-13);
}

TEMPLATE_TEST_CASE("positive features are positive and continue into each other at 0", "[ops]", float, double) {
  using T = TestType;
  const Matrix<T> x({1, 7}, {T(-1000), T(-20), T(-1), T(0), T(1e-30), T(2), T(1e30)});
  Matrix<T> y({1, 7}), dx({1, 7}), ones({1, 7});
  ones.fill(1);
  positive_features_forward<T>(x, y);
  CHECK(y(0, 0) == 0);
  CHECK(std::abs(y(0, 1) / std::exp(T(-20)) - 1) < 1e-5);  // elu(x) + 1 itself would have lost its digits
  CHECK(std::abs(y(0, 2) - std::exp(T(-1))) < 1e-6);
  CHECK(y(0, 3) == 1);
  CHECK(y(0, 4) == 1);
  CHECK(y(0, 5) == 3);
  CHECK(y(0, 6) == T(1e30));
  positive_features_backward<T>(y, ones, dx);
  CHECK(dx(0, 1) == y(0, 1));
  for (Index i = 3; i < 7; ++i) CHECK(dx(0, i) == 1);
  CHECK(rows_are_independent<T>([](auto a, auto b) { positive_features_forward<T>(a, b); }));
}

TEST_CASE("a normalised memory says what does not fit", "[ops]") {
  const Matrix<float> x({4, 6});
  Matrix<float> y({4, 5}), z({4, 4});
  CHECK_THROWS_WITH(positive_features_forward<float>(x, y), "positive_features_forward: y is [4, 5], expected [4, 6]");
  CHECK_THROWS_WITH(append_ones<float>(x, 4, y), "append_ones: heads is 4, expected a divisor of v's columns, 6");
  CHECK_THROWS_WITH(append_ones<float>(x, 2, y), "append_ones: y is [4, 5], expected [4, 8]");
  CHECK_THROWS_WITH(divide_by_ones_forward<float>(x, 2, -1, z),
                    "divide_by_ones_forward: epsilon is -1, expected at least 0");
  CHECK_THROWS_WITH(divide_by_ones_forward<float>(x, 1, 1, z), "divide_by_ones_forward: x is [4, 6], expected [4, 5]");
  Problem<float> p({4});
  LinearMemoryCache<float> cache;
  CHECK_THROWS_WITH(linear_memory_forward<float>(p.inputs(), y, cache),
                    "linear_attention_forward: state is [4, 5], expected [6, 6]");
}

}  // namespace normalized_memory_test
