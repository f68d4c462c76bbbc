#include "support/catch.hpp"
#include "support/gradients.hpp"

#include <mat/memory/memory_layer.hpp>

namespace memory_layer_test {

using namespace mat;
using mat::test::gradient_error;
using mat::test::inner_product;
using mat::test::largest_difference;
using mat::test::parameter_gradient_error;
using mat::test::random_tensor;

TEST_CASE("the memory layer is fc2(relu(fc1(x)))", "[memory]") {
  const MemoryLayer<double> layer({3, 5}, Random(1));
  const auto x = random_tensor<double, 2>({4, 3}, 2);
  MemoryLayer<double>::Cache cache;
  const auto memory = layer.forward(x, cache);
  const auto& fc1 = layer.parameters().fc1.parameters();
  const auto& fc2 = layer.parameters().fc2.parameters();
  for (Index t = 0; t < 4; ++t) {
    for (Index i = 0; i < 3; ++i) {
      double expected = fc2.bias(i);
      for (Index j = 0; j < 5; ++j) {
        double hidden = fc1.bias(j);
        for (Index k = 0; k < 3; ++k) hidden += x(t, k) * fc1.weight(j, k);
        expected += std::max(hidden, 0.0) * fc2.weight(i, j);
      }
      CHECK(std::abs(memory(t, i) - expected) < 1e-14);
    }
  }
}

TEST_CASE("the memory layer's gradients agree with central differences", "[memory]") {
  for (const Index tokens : {0, 1, 6}) {
    MemoryLayer<double> layer({3, 4}, Random(1));
    auto x = random_tensor<double, 2>({tokens, 3}, 2);
    const auto dy = random_tensor<double, 2>({tokens, 3}, 3);
    MemoryLayer<double>::Cache cache, scratch;
    auto grads = zeros_like(layer.parameters());
    (void)layer.forward(x, cache);
    const Matrix<double> dx(layer.backward(dy, cache, grads));
    const auto loss = [&] { return inner_product(layer.forward(x, scratch), dy); };
    std::string name;
    CHECK(gradient_error(loss, x, dx) < 1e-6);
    CHECK(parameter_gradient_error(loss, layer.parameters(), grads, name) < 1e-6);
  }
}

TEST_CASE("the article's memory layer keeps nothing from one call to the next", "[memory]") {
  const MemoryLayer<float> layer({3, 5}, Random(1));
  const auto x = random_tensor<float, 2>({4, 3}, 2), other = random_tensor<float, 2>({7, 3}, 3);
  MemoryLayer<float>::Cache cache;
  const Matrix<float> first(layer.forward(x, cache));
  (void)layer.forward(other, cache);
  CHECK(Matrix<float>(layer.forward(x, cache)) == first);
}

}  // namespace memory_layer_test
