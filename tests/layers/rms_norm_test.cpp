#include "support/bits.hpp"
#include "support/catch.hpp"
#include "support/gradients.hpp"

#include <mat/layers/rms_norm.hpp>

#include <cmath>
#include <limits>

namespace rms_norm_test {

using namespace mat;
using namespace mat::test;

namespace {

template <class T>
RMSNorm<T> make(Index features, bool affine = true) {
  typename RMSNorm<T>::Config config;
  config.features = features;
  config.elementwise_affine = affine;
  RMSNorm<T> layer(config);
  if (affine) layer.parameters().weight = random_tensor<T, 1>({features}, 11);
  return layer;
}

template <class T>
double worst_error(const RMSNorm<T>& layer, Index tokens) {
  const Index d = layer.config().features;
  const auto x = random_tensor<T, 2>({tokens, d}, 1, 2);
  typename RMSNorm<T>::Cache cache;
  const auto y = layer.forward(x, cache);
  double worst = 0;
  for (Index t = 0; t < tokens; ++t) {
    double square = 0;
    for (Index j = 0; j < d; ++j) square += std::pow(static_cast<double>(x(t, j)), 2) / static_cast<double>(d);
    for (Index j = 0; j < d; ++j) {
      double expected = static_cast<double>(x(t, j)) / std::sqrt(square + layer.epsilon());
      if (!layer.parameters().weight.empty()) expected *= static_cast<double>(layer.parameters().weight(j));
      worst = std::max(worst, std::abs(static_cast<double>(y(t, j)) - expected));
    }
  }
  return worst;
}

}  // namespace

TEST_CASE("RMSNorm equals a plain loop, with and without a weight", "[layers]") {
  for (const Index d : {1, 5, 16, 33}) {
    CAPTURE(d);
    CHECK(worst_error(make<double>(d), 4) < 1e-14);
    CHECK(worst_error(make<double>(d, false), 4) < 1e-14);
    CHECK(worst_error(make<float>(d), 4) < 3e-6);
  }
}

TEST_CASE("without an epsilon RMSNorm uses the machine epsilon of its scalar", "[layers]") {
  RMSNorm<float>::Config config;
  config.features = 2;
  CHECK(RMSNorm<float>(config).epsilon() == static_cast<double>(std::numeric_limits<float>::epsilon()));
  CHECK(make<double>(2).epsilon() == std::numeric_limits<double>::epsilon());
  config.epsilon = 0.25;
  CHECK(RMSNorm<float>(config).epsilon() == 0.25);
}

TEST_CASE("a new RMSNorm only normalises", "[layers]") {
  RMSNorm<double>::Config config;
  config.features = 2;
  CHECK(RMSNorm<double>(config).parameters().weight == Vector<double>({2}, {1, 1}));
  CHECK(parameter_names(RMSNorm<double>(config).parameters()) == std::vector<std::string>{"weight"});
  CHECK(parameter_count(make<double>(2, false).parameters()) == 0);
}

TEST_CASE("the gradients of RMSNorm agree with central differences and add", "[layers]") {
  const auto affine = GENERATE(true, false);
  for (const Shape<2> shape : {Shape<2>{1, 1}, Shape<2>{3, 1}, Shape<2>{1, 6}, Shape<2>{5, 17}, Shape<2>{0, 4}}) {
    CAPTURE(affine, shape[0], shape[1]);
    RMSNorm<double> layer = make<double>(shape[1], affine);
    auto x = random_tensor<double, 2>(shape, 1);
    const auto dy = random_tensor<double, 2>(shape, 2);
    RMSNorm<double>::Cache cache, scratch;
    auto grads = zeros_like(layer.parameters());
    layer.forward(x, cache);
    const Matrix<double> dx(layer.backward(dy, cache, grads));
    const auto loss = [&] { return inner_product<double, 2>(layer.forward(x, scratch), dy); };
    std::string name;
    CHECK(gradient_error(loss, x, dx) < 1e-6);
    CHECK(parameter_gradient_error(loss, layer.parameters(), grads, name) < 1e-6);

    const auto once = grads.weight;
    layer.backward(dy, cache, grads);
    for (Index j = 0; j < once.size(); ++j) CHECK(std::abs(grads.weight(j) - 2 * once(j)) < 1e-14);
  }
}

TEST_CASE("RMSNorm gives a token the same bits alone and in any batch", "[layers]") {
  CHECK(rows_are_independent<float>([](auto x, auto y) {
    RMSNorm<float>::Cache cache;
    y.matrix() = make<float>(x.cols()).forward(x, cache).matrix();
  }));
  CHECK(rows_are_independent<float>([](auto x, auto dx) {
    const auto layer = make<float>(x.cols());
    RMSNorm<float>::Cache cache;
    auto grads = zeros_like(layer.parameters());
    layer.forward(x, cache);
    dx.matrix() = layer.backward(x, cache, grads).matrix();
  }));
}

TEST_CASE("RMSNorm refuses sizes and tensors that do not fit", "[layers]") {
  RMSNorm<double>::Config config;
  CHECK_THROWS_WITH(RMSNorm<double>(config), "RMSNorm: features is 0, expected at least 1");
  config.features = 5;
  config.epsilon = -1;
  CHECK_THROWS_WITH(RMSNorm<double>(config), "RMSNorm: epsilon is -1, expected at least 0");
  const auto layer = make<double>(5);
  RMSNorm<double>::Cache cache;
  auto grads = zeros_like(layer.parameters());
  const Matrix<double> x({4, 5}), wrong({4, 7});
  CHECK_THROWS_WITH(layer.forward(wrong, cache), "RMSNorm::forward: x is [4, 7], expected [*, 5]");
  layer.forward(x, cache);
  CHECK_THROWS_WITH(layer.backward(wrong, cache, grads), "RMSNorm::backward: dy is [4, 7], expected [4, 5]");
}

}  // namespace rms_norm_test
