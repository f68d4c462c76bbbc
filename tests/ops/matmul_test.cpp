#include "support/catch.hpp"
#include "support/gradients.hpp"

#include <mat/ops/matmul.hpp>

namespace matmul_test {

using namespace mat;
using mat::test::largest_difference;
using mat::test::random_tensor;

namespace {

/// start + a b by three plain loops in double; an operand may be stored transposed.
template <class T>
Matrix<T> reference(const Matrix<T>& a, bool a_transposed, const Matrix<T>& b, bool b_transposed, Matrix<T> start) {
  const Index depth = a_transposed ? a.rows() : a.cols();
  for (Index i = 0; i < start.rows(); ++i) {
    for (Index j = 0; j < start.cols(); ++j) {
      double sum = start(i, j);
      for (Index k = 0; k < depth; ++k) {
        sum += double(a_transposed ? a(k, i) : a(i, k)) * double(b_transposed ? b(j, k) : b(k, j));
      }
      start(i, j) = static_cast<T>(sum);
    }
  }
  return start;
}

}  // namespace

TEMPLATE_TEST_CASE("matmul equals plain loops for every shape and order", "[ops]", float, double) {
  using T = TestType;
  const double tolerance = sizeof(T) == 4 ? 2e-4 : 3e-13;
  for (const Index m : {0, 1, 2, 5, 13, 40}) {
    for (const Index n : {0, 1, 3, 4, 8, 16, 24, 33, 70, 140}) {
      for (const Index k : {0, 1, 7, 16, 300}) {
        for (const int order : {0, 1, 2, 3}) {
          const bool ta = order % 2 == 1, tb = order / 2 == 1;
          const auto a = random_tensor<T, 2>(ta ? Shape<2>{k, m} : Shape<2>{m, k}, 1);
          const auto b = random_tensor<T, 2>(tb ? Shape<2>{n, k} : Shape<2>{k, n}, 2);
          const auto bias = random_tensor<T, 1>({n}, 3);
          const MatmulOperand<T> left = ta ? transposed<T>(a) : MatmulOperand<T>(a);
          const MatmulOperand<T> right = tb ? transposed<T>(b) : MatmulOperand<T>(b);
          Matrix<T> c({m, n}), biased({m, n});
          for (Index i = 0; i < m; ++i) std::copy_n(bias.data(), n, biased.view().row(i));
          c.fill(NAN);
          matmul<T>(left, right, c);
          REQUIRE(largest_difference(c, reference(a, ta, b, tb, Matrix<T>({m, n}))) < tolerance);
          matmul<T>(left, right, c, bias);
          const Matrix<T> expected = reference(a, ta, b, tb, biased);
          REQUIRE(largest_difference(c, expected) < tolerance);
          matmul_add<T>(left, right, c);
          REQUIRE(largest_difference(c, reference(a, ta, b, tb, expected)) < 2 * tolerance);
          Matrix<T> half = biased;
          for (Index i = 0; i < half.size(); ++i) half.data()[i] /= 2;
          matmul_add<T>(left, right, T(0.5), biased, c);
          REQUIRE(largest_difference(c, reference(a, ta, b, tb, half)) < tolerance);
          matmul_add<T>(left, right, T(0.5), biased, biased);
          REQUIRE(biased == c);
        }
      }
    }
  }
}

TEST_CASE("matmul writes to a block of a larger matrix and nowhere else", "[ops]") {
  const auto a = random_tensor<float, 2>({5, 9}, 1), b = random_tensor<float, 2>({9, 20}, 2);
  Matrix<float> c({7, 30}), whole({5, 20});
  c.fill(3);
  matmul<float>(a, b, whole);
  matmul<float>(a, b, c.view().middle_rows(1, 5).middle_cols(4, 20));
  for (Index i = 0; i < 7; ++i) {
    for (Index j = 0; j < 30; ++j) {
      const bool inside = i >= 1 && i < 6 && j >= 4 && j < 24;
      REQUIRE(c(i, j) == (inside ? whole(i - 1, j - 4) : 3.0f));
    }
  }
}

TEMPLATE_TEST_CASE("a row of a product has the same bits alone and among others", "[ops]", float, double) {
  using T = TestType;
  const auto w = random_tensor<T, 2>({45, 300}, 1), x = random_tensor<T, 2>({101, 300}, 2);
  Matrix<T> all({101, 45}), one({1, 45});
  matmul<T>(x, transposed<T>(w), all);
  for (Index i = 0; i < 101; ++i) {
    matmul<T>(x.view().middle_rows(i, 1), transposed<T>(w), one);
    REQUIRE(largest_difference<T, 2>(one, all.view().middle_rows(i, 1)) == 0);
  }
}

TEST_CASE("the sums of columns are added", "[ops]") {
  const Matrix<double> x({2, 3}, {1, 2, 3, 4, 5, 6});
  Vector<double> sums({3}, {1, 1, 1});
  add_column_sums<double>(x, sums);
  CHECK(sums == Vector<double>({3}, {6, 8, 10}));
}

TEST_CASE("matmul says what does not fit", "[ops]") {
  const Matrix<float> a({2, 3}), b({4, 5});
  Matrix<float> c({2, 5});
  CHECK_THROWS_WITH(matmul<float>(a, b, c), "matmul: b is [4, 5], expected [3, *]");
  CHECK_THROWS_WITH(matmul_add<float>(transposed<float>(b), b, c), "matmul_add: c is [2, 5], expected [5, 5]");
  const Matrix<float> right({3, 5});
  const Vector<float> bias({4});
  CHECK_THROWS_WITH(matmul<float>(a, right, c, bias), "matmul: bias is [4], expected [5]");
  CHECK_THROWS_WITH(matmul_add<float>(a, right, 1, b, c), "matmul_add: before is [4, 5], expected [2, 5]");
}

}  // namespace matmul_test
