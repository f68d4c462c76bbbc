#include "support/bits.hpp"
#include "support/catch.hpp"
#include "support/gradients.hpp"

#include <mat/layers/layer_norm.hpp>

#include <cmath>

namespace layer_norm_test {

using namespace mat;
using namespace mat::test;

namespace {

template <class T>
LayerNorm<T> make(Index features, bool affine = true, bool bias = true) {
  typename LayerNorm<T>::Config config;
  config.features = features;
  config.elementwise_affine = affine;
  config.bias = bias;
  LayerNorm<T> layer(config);
  auto& p = layer.parameters();
  if (!p.weight.empty()) p.weight = random_tensor<T, 1>({features}, 11);
  if (!p.bias.empty()) p.bias = random_tensor<T, 1>({features}, 12);
  return layer;
}

template <class T>
double worst_error(const LayerNorm<T>& layer, Index tokens) {
  const Index d = layer.config().features;
  const auto x = random_tensor<T, 2>({tokens, d}, 1, 2);
  typename LayerNorm<T>::Cache cache;
  const auto y = layer.forward(x, cache);
  double worst = 0;
  for (Index t = 0; t < tokens; ++t) {
    double mean = 0, variance = 0;
    for (Index j = 0; j < d; ++j) mean += static_cast<double>(x(t, j)) / static_cast<double>(d);
    for (Index j = 0; j < d; ++j) {
      variance += std::pow(static_cast<double>(x(t, j)) - mean, 2) / static_cast<double>(d);
    }
    for (Index j = 0; j < d; ++j) {
      double expected = (static_cast<double>(x(t, j)) - mean) / std::sqrt(variance + layer.config().epsilon);
      if (!layer.parameters().weight.empty()) expected *= static_cast<double>(layer.parameters().weight(j));
      if (!layer.parameters().bias.empty()) expected += static_cast<double>(layer.parameters().bias(j));
      worst = std::max(worst, std::abs(static_cast<double>(y(t, j)) - expected));
    }
  }
  return worst;
}

}  // namespace

TEST_CASE("LayerNorm equals a plain loop, with and without weight and bias", "[layers]") {
  for (const Index d : {1, 5, 16, 33}) {
    CAPTURE(d);
    CHECK(worst_error(make<double>(d), 4) < 1e-14);
    CHECK(worst_error(make<double>(d, true, false), 4) < 1e-14);
    CHECK(worst_error(make<double>(d, false), 4) < 1e-14);
    CHECK(worst_error(make<float>(d), 4) < 3e-6);
  }
}

TEST_CASE("a new LayerNorm only normalises", "[layers]") {
  const LayerNorm<double> layer({3});
  CHECK(layer.config().epsilon == 1e-5);
  CHECK(layer.parameters().weight == Vector<double>({3}, {1, 1, 1}));
  CHECK(layer.parameters().bias == Vector<double>({3}));
  CHECK(parameter_names(layer.parameters()) == std::vector<std::string>{"weight", "bias"});
  CHECK(parameter_names(make<double>(3, true, false).parameters()) == std::vector<std::string>{"weight"});
  CHECK(parameter_count(make<double>(3, false).parameters()) == 0);
}

TEST_CASE("the gradients of LayerNorm agree with central differences and add", "[layers]") {
  const auto affine = GENERATE(true, false);
  for (const Shape<2> shape : {Shape<2>{1, 1}, Shape<2>{3, 1}, Shape<2>{1, 6}, Shape<2>{5, 17}, Shape<2>{0, 4}}) {
    CAPTURE(affine, shape[0], shape[1]);
    LayerNorm<double> layer = make<double>(shape[1], affine);
    auto x = random_tensor<double, 2>(shape, 1);
    const auto dy = random_tensor<double, 2>(shape, 2);
    LayerNorm<double>::Cache cache, scratch;
    auto grads = zeros_like(layer.parameters());
    layer.forward(x, cache);
    const Matrix<double> dx(layer.backward(dy, cache, grads));
    const auto loss = [&] { return inner_product<double, 2>(layer.forward(x, scratch), dy); };
    std::string name;
    CHECK(gradient_error(loss, x, dx) < 1e-6);
    CHECK(parameter_gradient_error(loss, layer.parameters(), grads, name) < 1e-6);

    const auto once = grads;
    layer.backward(dy, cache, grads);
    for_each_parameter(
        [](const ParameterName&, const auto& twice, const auto& first) {
          for (Index j = 0; j < first.size(); ++j) CHECK(std::abs(twice(j) - 2 * first(j)) < 1e-14);
        },
        grads, once);
  }
}

TEST_CASE("LayerNorm gives a token the same bits alone and in any batch", "[layers]") {
  CHECK(rows_are_independent<float>([](auto x, auto y) {
    LayerNorm<float>::Cache cache;
    y.matrix() = make<float>(x.cols()).forward(x, cache).matrix();
  }));
  CHECK(rows_are_independent<float>([](auto x, auto dx) {
    const auto layer = make<float>(x.cols());
    LayerNorm<float>::Cache cache;
    auto grads = zeros_like(layer.parameters());
    layer.forward(x, cache);
    dx.matrix() = layer.backward(x, cache, grads).matrix();
  }));
}

TEST_CASE("LayerNorm refuses sizes and tensors that do not fit", "[layers]") {
  LayerNorm<double>::Config config;
  CHECK_THROWS_WITH(LayerNorm<double>(config), "LayerNorm: features is 0, expected at least 1");
  config.features = 5;
  config.epsilon = -1;
  CHECK_THROWS_WITH(LayerNorm<double>(config), "LayerNorm: epsilon is -1, expected at least 0");
  const LayerNorm<double> layer({5});
  LayerNorm<double>::Cache cache;
  auto grads = zeros_like(layer.parameters());
  const Matrix<double> x({4, 5}), wrong({4, 7});
  CHECK_THROWS_WITH(layer.forward(wrong, cache), "LayerNorm::forward: x is [4, 7], expected [*, 5]");
  layer.forward(x, cache);
  CHECK_THROWS_WITH(layer.backward(wrong, cache, grads), "LayerNorm::backward: dy is [4, 7], expected [4, 5]");
}

}  // namespace layer_norm_test
