#include "support/catch.hpp"
#include "support/gradients.hpp"

#include <mat/memory/self_attention.hpp>

namespace self_attention_test {

using namespace mat;
using mat::test::gradient_error;
using mat::test::inner_product;
using mat::test::largest_difference;
using mat::test::parameter_gradient_error;
using mat::test::random_tensor;

TEST_CASE("the weights of each sequence add up to 1, and y is weight times memory", "[memory]") {
  const SelfAttention<double> attention({3, 5}, Random(1));
  const Sequences sequences({4, 0, 1, 3});
  const auto x = random_tensor<double, 2>({8, 3}, 2), memory = random_tensor<double, 2>({8, 3}, 3);
  SelfAttention<double>::Cache cache;
  const auto y = attention.forward(x, memory, sequences, cache);
  const auto pooled = attention.pool_forward(cache);
  CHECK(pooled.shape() == Shape<2>{4, 3});
  for (Index b = 0; b < 4; ++b) {
    double sum = 0;
    std::vector<double> total(3, 0.0);
    for (Index t = sequences.begin(b); t < sequences.end(b); ++t) {
      sum += cache.weights(t, 0);
      for (Index i = 0; i < 3; ++i) {
        CHECK(y(t, i) == cache.weights(t, 0) * memory(t, i));
        total[static_cast<std::size_t>(i)] += y(t, i);
      }
    }
    CHECK(std::abs(sum - (sequences.length(b) > 0 ? 1 : 0)) < 1e-14);
    for (Index i = 0; i < 3; ++i) CHECK(pooled(b, i) == total[static_cast<std::size_t>(i)]);
  }
}

TEST_CASE("the self-attention's gradients agree with central differences", "[memory]") {
  SelfAttention<double> attention({3, 4}, Random(1));
  const Sequences sequences({4, 0, 1, 3});
  auto x = random_tensor<double, 2>({8, 3}, 2), memory = random_tensor<double, 2>({8, 3}, 3);
  SelfAttention<double>::Cache cache, scratch;
  auto grads = zeros_like(attention.parameters());
  std::string name;
  SECTION("row by row") {
    const auto dy = random_tensor<double, 2>({8, 3}, 4);
    (void)attention.forward(x, memory, sequences, cache);
    const auto d = attention.backward(dy, cache, grads);
    const auto loss = [&] { return inner_product(attention.forward(x, memory, sequences, scratch), dy); };
    CHECK(gradient_error(loss, x, Matrix<double>(d.dx)) < 1e-6);
    CHECK(gradient_error(loss, memory, Matrix<double>(d.dmemory)) < 1e-6);
    CHECK(parameter_gradient_error(loss, attention.parameters(), grads, name) < 1e-6);
  }
  SECTION("pooled") {
    const auto dpooled = random_tensor<double, 2>({4, 3}, 4);
    (void)attention.forward(x, memory, sequences, cache);
    (void)attention.pool_forward(cache);
    const auto d = attention.backward(attention.pool_backward(dpooled, cache), cache, grads);
    const auto loss = [&] {
      (void)attention.forward(x, memory, sequences, scratch);
      return inner_product(attention.pool_forward(scratch), dpooled);
    };
    CHECK(gradient_error(loss, x, Matrix<double>(d.dx)) < 1e-6);
    CHECK(gradient_error(loss, memory, Matrix<double>(d.dmemory)) < 1e-6);
    CHECK(parameter_gradient_error(loss, attention.parameters(), grads, name) < 1e-6);
  }
}

TEST_CASE("the logarithm of the weights is a prior that is 0 where they are uniform", "[memory]") {
  SelfAttention<double> attention({3, 4}, Random(1));
  const Sequences sequences({4, 0, 1, 3});
  auto x = random_tensor<double, 2>({8, 3}, 2);
  SelfAttention<double>::Cache cache, scratch;
  const auto prior = attention.log_prior_forward(x, sequences, cache);
  for (Index b = 0; b < 4; ++b) {
    for (Index t = sequences.begin(b); t < sequences.end(b); ++t) {
      CHECK(std::abs(prior(t) - std::log(cache.weights(t, 0) * static_cast<double>(sequences.length(b)))) < 1e-14);
    }
  }
  SECTION("whose gradient agrees with central differences") {
    const auto dprior = random_tensor<double, 1>({8}, 4);
    auto grads = zeros_like(attention.parameters());
    const Matrix<double> dx(attention.log_prior_backward(dprior, cache, grads));
    const auto loss = [&] { return inner_product(attention.log_prior_forward(x, sequences, scratch), dprior); };
    std::string name;
    CHECK(gradient_error(loss, x, dx) < 1e-6);
    CHECK(parameter_gradient_error(loss, attention.parameters(), grads, name) < 1e-6);
  }
  SECTION("exactly") {
    attention.parameters().fc2.parameters().weight.fill(0);
    const auto uniform = attention.log_prior_forward(x, sequences, scratch);
    for (Index t = 0; t < 8; ++t) CHECK(std::abs(uniform(t)) < 1e-15);
  }
}

TEST_CASE("P8: the bias of the scores has no gradient", "[memory]") {
  const SelfAttention<double> attention({3, 4}, Random(1));
  const auto x = random_tensor<double, 2>({6, 3}, 2), memory = random_tensor<double, 2>({6, 3}, 3),
             dy = random_tensor<double, 2>({6, 3}, 4);
  SelfAttention<double>::Cache cache;
  auto grads = zeros_like(attention.parameters());
  (void)attention.forward(x, memory, Sequences({4, 2}), cache);
  (void)attention.backward(dy, cache, grads);
  CHECK(std::abs(grads.fc2.parameters().bias(0)) < 1e-15);
}

TEST_CASE("self-attention says what does not fit", "[memory]") {
  const SelfAttention<float> attention({3, 4}, Random(1));
  SelfAttention<float>::Cache cache;
  const Matrix<float> x({4, 3}), memory({5, 3});
  CHECK_THROWS_WITH(attention.forward(x, memory, Sequences({4}), cache),
                    "SelfAttention::forward: memory is [5, 3], expected [4, *]");
  CHECK_THROWS_WITH(attention.log_prior_forward(x, Sequences({3}), cache),
                    "SelfAttention::log_prior_forward: x is 4 tokens, expected 3, the rows of its sequences");
  CHECK_THROWS_WITH(attention.forward(x, x, Sequences({3}), cache),
                    "SelfAttention::forward: x is 4 tokens, expected 3, the rows of its sequences");
}

}  // namespace self_attention_test
