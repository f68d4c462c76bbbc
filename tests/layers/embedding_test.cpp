#include "support/bits.hpp"
#include "support/catch.hpp"
#include "support/gradients.hpp"

#include <mat/layers/embedding.hpp>

#include <cmath>

namespace embedding_test {

using namespace mat;
using namespace mat::test;

namespace {

Embedding<double>::Config config_of(Index num_embeddings, Index embedding_dim) {
  Embedding<double>::Config config;
  config.num_embeddings = num_embeddings;
  config.embedding_dim = embedding_dim;
  return config;
}

}  // namespace

TEST_CASE("Embedding looks up the row of each token", "[layers]") {
  const Embedding<double> layer(config_of(6, 5), Random(1));
  const std::vector<Index> ids{4, 0, 4};
  Embedding<double>::Cache cache;
  const auto y = layer.forward(ids, cache);
  REQUIRE(y.shape() == Shape<2>{3, 5});
  for (Index t = 0; t < 3; ++t) {
    for (Index j = 0; j < 5; ++j) CHECK(y(t, j) == layer.parameters().weight(ids[static_cast<std::size_t>(t)], j));
  }
}

TEST_CASE("Embedding starts from a standard normal with a zero padding row", "[layers]") {
  auto config = config_of(200, 50);
  config.padding_idx = -3;
  const Embedding<double> layer(config, Random(7));
  CHECK(layer.config().padding_idx == 197);
  const auto& weight = layer.parameters().weight;
  double sum = 0, squares = 0;
  for (Index i = 0; i < weight.size(); ++i) {
    sum += weight.data()[i];
    squares += weight.data()[i] * weight.data()[i];
  }
  CHECK(std::abs(sum / 9950) < 0.04);
  CHECK(std::abs(squares / 9950 - 1) < 0.06);
  for (Index j = 0; j < 50; ++j) CHECK(weight(197, j) == 0.0);
  CHECK(parameter_names(layer.parameters()) == std::vector<std::string>{"weight"});
}

TEST_CASE("the gradient of Embedding agrees with central differences and adds", "[layers]") {
  for (const std::vector<Index>& ids : {std::vector<Index>{1}, std::vector<Index>{2, 0, 2, 2}, std::vector<Index>{}}) {
    Embedding<double> layer(config_of(3, 7), Random(1));
    const auto tokens = static_cast<Index>(ids.size());
    const auto dy = random_tensor<double, 2>({tokens, 7}, 2);
    Embedding<double>::Cache cache, scratch;
    auto grads = zeros_like(layer.parameters());
    layer.forward(ids, cache);
    layer.backward(dy, cache, grads);
    const auto loss = [&] { return inner_product<double, 2>(layer.forward(ids, scratch), dy); };
    std::string name;
    CHECK(parameter_gradient_error(loss, layer.parameters(), grads, name) < 1e-6);
    const auto once = grads.weight;
    layer.backward(dy, cache, grads);
    for (Index i = 0; i < once.size(); ++i) CHECK(std::abs(grads.weight.data()[i] - 2 * once.data()[i]) < 1e-14);
  }
}

TEST_CASE("the padding row gets no gradient", "[layers]") {
  auto config = config_of(3, 2);
  config.padding_idx = 1;
  const Embedding<double> layer(config, Random(1));
  const std::vector<Index> ids{0, 1, 1, 2};
  Matrix<double> dy({4, 2});
  dy.fill(1);
  Embedding<double>::Cache cache;
  auto grads = zeros_like(layer.parameters());
  layer.forward(ids, cache);
  layer.backward(dy, cache, grads);
  CHECK(grads.weight == Matrix<double>({3, 2}, {1, 1, 0, 0, 1, 1}));
}

TEST_CASE("scale_grad_by_freq takes the mean over the occurrences of an id", "[layers]") {
  auto config = config_of(3, 1);
  config.scale_grad_by_freq = true;
  const Embedding<double> layer(config, Random(1));
  const std::vector<Index> ids{2, 0, 2, 2, 2};
  const Matrix<double> dy({5, 1}, {1, 7, 2, 3, 4});
  Embedding<double>::Cache cache;
  auto grads = zeros_like(layer.parameters());
  layer.forward(ids, cache);
  layer.backward(dy, cache, grads);
  CHECK(grads.weight == Matrix<double>({3, 1}, {7, 0, 2.5}));
}

TEST_CASE("Embedding refuses sizes, ids and tensors that do not fit", "[layers]") {
  CHECK_THROWS_WITH(Embedding<double>(config_of(0, 2), Random()),
                    "Embedding: num_embeddings is 0, expected at least 1");
  CHECK_THROWS_WITH(Embedding<double>(config_of(2, 0), Random()), "Embedding: embedding_dim is 0, expected at least 1");
  for (const Index padding : {3, -4}) {
    auto config = config_of(3, 2);
    config.padding_idx = padding;
    CHECK_THROWS_WITH(Embedding<double>(config, Random()),
                      "Embedding: padding_idx is " + std::to_string(padding) + ", expected in [-3, 3)");
  }
  const Embedding<double> layer(config_of(16, 2), Random());
  Embedding<double>::Cache cache;
  auto grads = zeros_like(layer.parameters());
  const std::vector<Index> ids{3, 15}, high{3, 16}, low{-1};
  CHECK_THROWS_WITH(layer.forward(high, cache), "Embedding::forward: ids[1] is 16, expected in [0, 16)");
  CHECK_THROWS_WITH(layer.forward(low, cache), "Embedding::forward: ids[0] is -1, expected in [0, 16)");
  layer.forward(ids, cache);
  const Matrix<double> dy({3, 2});
  CHECK_THROWS_WITH(layer.backward(dy, cache, grads), "Embedding::backward: dy is [3, 2], expected [2, 2]");
}

}  // namespace embedding_test
