#include "support/catch.hpp"
#include "support/gradients.hpp"

#include <mat/layers/linear.hpp>

namespace linear_test {

using namespace mat;
using mat::test::gradient_error;
using mat::test::inner_product;
using mat::test::largest_difference;
using mat::test::parameter_gradient_error;
using mat::test::random_tensor;

TEST_CASE("linear is x W^T + b", "[layers]") {
  Linear<double> linear({2, 3}, Random(1));
  linear.parameters().weight = Matrix<double>({3, 2}, {1, 2, 3, 4, 5, 6});
  linear.parameters().bias = Vector<double>({3}, {10, 20, 30});
  const Matrix<double> x({2, 2}, {1, 1, 2, -1});
  Linear<double>::Cache cache;
  CHECK(Matrix<double>(linear.forward(x, cache)) == Matrix<double>({2, 3}, {13, 27, 41, 10, 22, 34}));
}

TEST_CASE("linear's gradients agree with central differences", "[layers]") {
  for (const Index rows : {0, 1, 5}) {
    for (const bool bias : {true, false}) {
      for (const auto& sizes : {Shape<2>{1, 1}, Shape<2>{3, 4}, Shape<2>{7, 2}}) {
        Linear<double> linear({sizes[0], sizes[1], bias}, Random(2));
        auto x = random_tensor<double, 2>({rows, sizes[0]}, 3);
        const auto dy = random_tensor<double, 2>({rows, sizes[1]}, 4);
        Linear<double>::Cache cache, scratch;
        auto grads = zeros_like(linear.parameters());
        (void)linear.forward(x, cache);
        const Matrix<double> dx(linear.backward(dy, cache, grads));
        const auto loss = [&] { return inner_product(linear.forward(x, scratch), dy); };
        std::string worst;
        CHECK(gradient_error(loss, x, dx) < 1e-6);
        CHECK(parameter_gradient_error(loss, linear.parameters(), grads, worst) < 1e-6);
      }
    }
  }
}

TEST_CASE("linear's gradients add", "[layers]") {
  const Linear<double> linear({3, 4}, Random(2));
  const auto x = random_tensor<double, 2>({5, 3}, 3), dy = random_tensor<double, 2>({5, 4}, 4);
  Linear<double>::Cache cache;
  auto once = zeros_like(linear.parameters()), twice = once;
  (void)linear.forward(x, cache);
  (void)linear.backward(dy, cache, once);
  (void)linear.backward(dy, cache, twice);
  (void)linear.backward(dy, cache, twice);
  for (Index i = 0; i < 12; ++i) CHECK(std::abs(twice.weight.data()[i] - 2 * once.weight.data()[i]) < 1e-14);
  for (Index i = 0; i < 4; ++i) CHECK(std::abs(twice.bias.data()[i] - 2 * once.bias.data()[i]) < 1e-14);
}

TEST_CASE("copying a layer copies its weights", "[layers]") {
  const Linear<float> a({3, 4}, Random(2));
  Linear<float> b = a;
  b.parameters().weight(0, 0) += 1;
  CHECK(a.parameters().weight != b.parameters().weight);
  CHECK(a.parameters().bias == b.parameters().bias);
}

TEST_CASE("linear says what does not fit", "[layers]") {
  CHECK_THROWS_WITH(Linear<float>({0, 4}, Random(1)), "Linear: in_features is 0, expected at least 1");
  CHECK_THROWS_WITH(Linear<float>({3, -4}, Random(1)), "Linear: out_features is -4, expected at least 1");
  const Linear<float> linear({5, 2}, Random(1));
  Linear<float>::Cache cache;
  auto grads = zeros_like(linear.parameters());
  const Matrix<float> wrong({12, 7}), x({12, 5}), dy({11, 2});
  CHECK_THROWS_WITH(linear.forward(wrong, cache), "Linear::forward: x is [12, 7], expected [*, 5]");
  (void)linear.forward(x, cache);
  CHECK_THROWS_WITH(linear.backward(dy, cache, grads), "Linear::backward: dy is [11, 2], expected [12, 2]");
}

}  // namespace linear_test
