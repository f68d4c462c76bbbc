#include "support/catch.hpp"
#include "support/gradients.hpp"

#include <mat/models/token_input.hpp>

namespace token_input_test {

using namespace mat;
using mat::test::gradient_error;
using mat::test::inner_product;
using mat::test::random_tensor;

namespace {

ConstVectorView<Index> view(const std::vector<Index>& ids) { return {ids, {static_cast<Index>(ids.size())}}; }

}  // namespace

TEST_CASE("tokens are embeddings times the root of their size, and waves for their positions", "[models]") {
  const Embedding<double> embedding({5, 4, {}, false}, Random(1));
  const TokenInput<double> input(4);
  const std::vector<Index> ids{3, 0, 3, 4};
  const Sequences sequences({1, 0, 3});
  const Vector<Index> first({3}, {7, 1, 0});
  TokenInput<double>::Cache cache, again;
  const auto x = input.forward(embedding, view(ids), sequences, first, cache);
  const double positions[] = {7, 0, 1, 2};
  for (Index t = 0; t < 4; ++t) {
    const double p = positions[t], waves[] = {std::sin(p), std::cos(p), std::sin(p / 100), std::cos(p / 100)};
    for (Index j = 0; j < 4; ++j) {
      const double expected = 2 * embedding.parameters().weight(ids[static_cast<std::size_t>(t)], j) + waves[j];
      CHECK(std::abs(x(t, j) - expected) < 1e-14);
    }
  }
  const auto from_0 = input.forward(embedding, view(ids), sequences, Dropout(), again);
  CHECK(from_0(0, 1) != x(0, 1));
  CHECK(from_0(2, 1) == x(2, 1));
}

TEST_CASE("the gradient of an embedding agrees with central differences", "[models]") {
  Embedding<double> embedding({5, 4, {}, false}, Random(1));
  const TokenInput<double> input(4);
  const std::vector<Index> ids{3, 0, 3, 4};
  const Sequences sequences({1, 0, 3});
  const auto dx = random_tensor<double, 2>({4, 4}, 2);
  for (const double rate : {0.0, 0.3}) {
    const Dropout dropout{rate, Random(3)};
    TokenInput<double>::Cache cache, scratch;
    auto grads = zeros_like(embedding.parameters());
    (void)input.forward(embedding, view(ids), sequences, dropout, cache);
    input.backward(embedding, dx, cache, grads);
    const auto loss = [&] {
      return inner_product(input.forward(embedding, view(ids), sequences, dropout, scratch), dx);
    };
    CHECK(gradient_error(loss, embedding.parameters().weight, grads.weight) < 1e-6);
  }
}

TEST_CASE("token input says what does not fit", "[models]") {
  const Embedding<float> embedding({5, 4, {}, false}, Random(1));
  const TokenInput<float> input(4);
  const std::vector<Index> ids{3, 5};
  TokenInput<float>::Cache cache;
  CHECK_THROWS_WITH(input.forward(embedding, view(ids), Sequences({3}), Dropout(), cache),
                    "TokenInput::forward: ids is 2 tokens, expected 3, the rows of its sequences");
  CHECK_THROWS_WITH(input.forward(embedding, view(ids), Sequences({2}), Dropout(), cache),
                    "Embedding::forward: ids[1] is 5, expected in [0, 5)");
}

}  // namespace token_input_test
