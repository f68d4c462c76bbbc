#include "support/bits.hpp"
#include "support/catch.hpp"
#include "support/gradients.hpp"

#include <mat/ops/token_shift.hpp>

namespace token_shift_test {

using namespace mat;
using mat::test::inner_product;
using mat::test::random_tensor;
using mat::test::same_bits;

TEST_CASE("shifted tokens are those before, across segments", "[ops]") {
  const Sequences sequences({2, 0, 1});
  const Matrix<double> x({3, 2}, {1, 2, 3, 4, 5, 6}), last({3, 2}, {10, 20, 30, 40, 50, 60});
  Matrix<double> y({3, 2}), next({3, 2});
  shift_tokens_forward<double>(x, sequences, last, y, next);
  CHECK(y == Matrix<double>({3, 2}, {10, 20, 1, 2, 50, 60}));
  CHECK(next == Matrix<double>({3, 2}, {3, 4, 30, 40, 5, 6}));
}

TEST_CASE("rows between sequences are shifted nowhere", "[ops]") {
  const Sequences sequences = Sequences::with_capacity({1, 2}, 2);
  const Matrix<double> x({4, 1}, {1, 2, 3, 4}), last({2, 1}, {10, 20});
  Matrix<double> y({4, 1}), next({2, 1});
  y.fill(7);
  shift_tokens_forward<double>(x, sequences, last, y, next);
  CHECK(y == Matrix<double>({4, 1}, {10, 0, 20, 3}));
  CHECK(next == Matrix<double>({2, 1}, {1, 4}));
}

TEST_CASE("the backward of a shift is its transpose, and adds", "[ops]") {
  const Sequences sequences({3, 0, 1, 2});
  const auto x = random_tensor<double, 2>({6, 3}, 1), last = random_tensor<double, 2>({4, 3}, 2),
             dy = random_tensor<double, 2>({6, 3}, 3), dnext = random_tensor<double, 2>({4, 3}, 4);
  Matrix<double> y({6, 3}), next({4, 3}), dx({6, 3}), dlast({4, 3});
  shift_tokens_forward<double>(x, sequences, last, y, next);
  shift_tokens_backward<double>(dy, dnext, sequences, dx, dlast);
  const auto product = [](const Matrix<double>& a, const Matrix<double>& b) {
    return inner_product(ConstMatrixView<double>(a), b);
  };
  CHECK(std::abs(product(y, dy) + product(next, dnext) - product(x, dx) - product(last, dlast)) < 1e-13);
  const Matrix<double> once = dx;
  shift_tokens_backward<double>(dy, dnext, sequences, dx, dlast);
  for (Index i = 0; i < dx.size(); ++i) CHECK(dx.data()[i] == 2 * once.data()[i]);
}

TEST_CASE("a shift says what does not fit", "[ops]") {
  const Matrix<float> x({3, 2});
  Matrix<float> y({3, 2}), last({2, 2}), next({1, 2});
  CHECK_THROWS_WITH(shift_tokens_forward<float>(x, Sequences({2}), last, y, next),
                    "shift_tokens_forward: x is 3 tokens, expected 2, the rows of its sequences");
  CHECK_THROWS_WITH(shift_tokens_forward<float>(x, Sequences({3}), last, y, next),
                    "shift_tokens_forward: last is [2, 2], expected [1, 2]");
  CHECK_THROWS_WITH(shift_tokens_forward<float>(x, Sequences({2, 1}), last, y, next),
                    "shift_tokens_forward: next_last is [1, 2], expected [2, 2]");
}

}  // namespace token_shift_test
