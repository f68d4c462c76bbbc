#include "support/catch.hpp"
#include "support/gradients.hpp"

#include <mat/ops/windows.hpp>

namespace windows_test {

using namespace mat;
using namespace mat::test;

namespace {

const Sequences& three_sequences() {
  static const Sequences value({2, 0, 3});
  return value;
}

}  // namespace

TEST_CASE("a window is a token between its neighbours, and 0 beyond the ends of the sequence", "[ops]") {
  const Matrix<float> x({5, 1}, {1, 2, 3, 4, 5});
  Matrix<float> y({5, 3});
  y.fill(9);
  windows_forward<float>(x, three_sequences(), 3, y);
  CHECK(y == Matrix<float>({5, 3}, {0, 1, 2, 1, 2, 0, 0, 3, 4, 3, 4, 5, 4, 5, 0}));
}

TEST_CASE("a window of even width has one token more after its own than before it", "[ops]") {
  const Matrix<float> x({2, 2}, {1, 2, 3, 4});
  Matrix<float> y({2, 4}), wide({2, 8});
  windows_forward<float>(x, Sequences::single(2), 2, y);
  CHECK(y == Matrix<float>({2, 4}, {1, 2, 3, 4, 3, 4, 0, 0}));
  windows_forward<float>(x, Sequences::single(2), 4, wide);
  CHECK(wide == Matrix<float>({2, 8}, {0, 0, 1, 2, 3, 4, 0, 0, 1, 2, 3, 4, 0, 0, 0, 0}));
}

TEST_CASE("windows_backward is the gradient of windows_forward, and adds", "[ops]") {
  const Index width = GENERATE(1, 2, 3, 4, 7);
  auto x = random_tensor<double, 2>({5, 3}, 1);
  const auto dy = random_tensor<double, 2>({5, width * 3}, 2);
  Matrix<double> y(dy.shape()), dx(x.shape());
  const auto loss = [&] {
    windows_forward<double>(x, three_sequences(), width, y);
    return inner_product<double, 2>(y, dy);
  };
  windows_backward<double>(dy, three_sequences(), width, dx);
  CHECK(gradient_error(loss, x, dx) < 1e-6);
  const Matrix<double> once = dx;
  windows_backward<double>(dy, three_sequences(), width, dx);
  CHECK(largest_difference(dx, once) > 0.1);
  for (Index i = 0; i < dx.size(); ++i) CHECK(std::abs(dx.data()[i] - 2 * once.data()[i]) < 1e-12);
}

TEST_CASE("windows that do not fit are refused", "[ops]") {
  const Matrix<float> x({5, 2});
  Matrix<float> y({5, 6}), dx({5, 2});
  CHECK_THROWS_WITH(windows_forward<float>(x, three_sequences(), 0, y),
                    "windows_forward: width is 0, expected at least 1");
  CHECK_THROWS_WITH(windows_forward<float>(x, three_sequences(), 2, y),
                    "windows_forward: y is [5, 6], expected [5, 4]");
  CHECK_THROWS_WITH(windows_forward<float>(x, Sequences::single(4), 3, y),
                    "windows_forward: x is 5 tokens, expected 4, the rows of its sequences");
  CHECK_THROWS_WITH(windows_backward<float>(y, three_sequences(), 0, dx),
                    "windows_backward: width is 0, expected at least 1");
  CHECK_THROWS_WITH(windows_backward<float>(y, three_sequences(), 4, dx),
                    "windows_backward: dy is [5, 6], expected [5, 8]");
  CHECK_THROWS_WITH(windows_backward<float>(y, Sequences::single(4), 3, dx),
                    "windows_backward: dx is 5 tokens, expected 4, the rows of its sequences");
}

TEST_CASE("rows between sequences have windows of zeros", "[ops]") {
  const auto x = random_tensor<float, 2>({6, 2}, 1);
  Matrix<float> y({6, 6});
  y.fill(NAN);
  windows_forward<float>(x, Sequences::with_capacity({2, 1}, 3), 3, y);
  for (const Index t : {2, 4, 5}) {
    for (Index j = 0; j < 6; ++j) CHECK(y(t, j) == 0);
  }
}

}  // namespace windows_test
