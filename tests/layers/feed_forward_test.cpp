#include "support/bits.hpp"
#include "support/catch.hpp"
#include "support/gradients.hpp"

#include <mat/layers/feed_forward.hpp>

#include <cmath>

namespace feed_forward_test {

using namespace mat;
using namespace mat::test;

namespace {

template <class T>
FeedForward<T> make(Index features, Index hidden, Activation activation, bool gated, bool bias = true) {
  typename FeedForward<T>::Config config;
  config.features = features;
  config.hidden = hidden;
  config.activation = activation;
  config.gated = gated;
  config.bias = bias;
  return FeedForward<T>(config, Random(21));
}

template <class T>
double linear(const Linear<T>& layer, Index j, const std::vector<double>& x) {
  double sum = layer.parameters().bias.empty() ? 0 : static_cast<double>(layer.parameters().bias(j));
  for (std::size_t i = 0; i < x.size(); ++i) {
    sum += static_cast<double>(layer.parameters().weight(j, static_cast<Index>(i))) * x[i];
  }
  return sum;
}

double apply(Activation kind, double x) {
  const Matrix<double> in({1, 1}, {x});
  Matrix<double> out({1, 1});
  activation_forward<double>(kind, in, out);
  return out(0, 0);
}

/// The largest error against plain loops over one token after the other.
template <class T>
double worst_error(const FeedForward<T>& layer, Index tokens, const Dropout& dropout) {
  const auto& p = layer.parameters();
  const Index d = layer.config().features, hidden = layer.config().hidden, stride = dropout_stride(hidden);
  const auto x = random_tensor<T, 2>({tokens, d}, 1);
  typename FeedForward<T>::Cache cache;
  const auto y = layer.forward(x, dropout, cache);
  double worst = 0;
  for (Index t = 0; t < tokens; ++t) {
    const std::vector<double> token(x.view().row(t), x.view().row(t) + d);
    std::vector<double> inner;
    for (Index j = 0; j < hidden; ++j) {
      double value = apply(layer.config().activation, linear(p.linear1, j, token));
      if (layer.config().gated) value *= linear(*p.linear3, j, token);
      inner.push_back(value * dropout_scale(dropout, static_cast<std::uint64_t>(t * stride + j)));
    }
    for (Index j = 0; j < d; ++j) {
      worst = std::max(worst, std::abs(static_cast<double>(y(t, j)) - linear(p.linear2, j, inner)));
    }
  }
  return worst;
}

}  // namespace

TEST_CASE("FeedForward equals plain loops: plain, gated, with and without biases and dropout", "[layers]") {
  const auto gated = GENERATE(false, true);
  const Dropout dropout{0.3, Random(8)};
  for (const Activation kind : {Activation::relu, Activation::gelu, Activation::silu, Activation::elu}) {
    CAPTURE(gated, name_of(kind));
    CHECK(worst_error(make<double>(5, 9, kind, gated), 4, {}) < 1e-14);
    CHECK(worst_error(make<double>(5, 9, kind, gated, false), 4, dropout) < 1e-14);
    CHECK(worst_error(make<float>(33, 70, kind, gated), 3, dropout) < 2e-6);
  }
}

TEST_CASE("the gradients of FeedForward agree with central differences and add", "[layers]") {
  const auto gated = GENERATE(false, true);
  const auto kind = GENERATE(Activation::gelu, Activation::gelu_tanh, Activation::silu, Activation::tanh,
                             Activation::sigmoid, Activation::identity);
  const auto rate = GENERATE(0.0, 0.4);
  const Dropout dropout{rate, Random(3)};
  for (const Shape<3> shape : {Shape<3>{1, 1, 1}, Shape<3>{3, 4, 7}, Shape<3>{0, 3, 2}}) {
    CAPTURE(gated, name_of(kind), rate, shape[0]);
    FeedForward<double> layer = make<double>(shape[1], shape[2], kind, gated);
    auto x = random_tensor<double, 2>({shape[0], shape[1]}, 1);
    const auto dy = random_tensor<double, 2>(x.shape(), 2);
    FeedForward<double>::Cache cache, scratch;
    auto grads = zeros_like(layer.parameters());
    layer.forward(x, dropout, cache);
    const Matrix<double> dx(layer.backward(dy, cache, grads));
    const auto loss = [&] { return inner_product<double, 2>(layer.forward(x, dropout, scratch), dy); };
    std::string name;
    CHECK(gradient_error(loss, x, dx) < 1e-6);
    CHECK(parameter_gradient_error(loss, layer.parameters(), grads, name) < 1e-6);

    const auto once = grads;
    layer.forward(x, dropout, cache);
    layer.backward(dy, cache, grads);
    double worst = 0;
    for_each_parameter(
        [&](const ParameterName&, const auto& twice, const auto& first) {
          for (Index i = 0; i < first.size(); ++i) {
            worst = std::max(worst, std::abs(twice.data()[i] - 2 * first.data()[i]));
          }
        },
        grads, once);
    CHECK(worst < 1e-14);
  }
}

TEST_CASE("the gradients of FeedForward are right on both sides of a corner", "[layers]") {
  const auto gated = GENERATE(false, true);
  const auto kind = GENERATE(Activation::relu, Activation::elu);
  const Dropout dropout{0.25, Random(3)};
  FeedForward<double> layer = make<double>(3, 6, kind, gated);
  auto x = random_tensor<double, 2>({4, 3}, 6);
  const auto dy = random_tensor<double, 2>(x.shape(), 2);
  FeedForward<double>::Cache cache, scratch;
  auto grads = zeros_like(layer.parameters());
  layer.forward(x, dropout, cache);
  // Differences across the corner would mean nothing.
  for (Index i = 0; i < cache.linear1.y.size(); ++i) REQUIRE(std::abs(cache.linear1.y.data()[i]) > 0.01);
  const Matrix<double> dx(layer.backward(dy, cache, grads));
  const auto loss = [&] { return inner_product<double, 2>(layer.forward(x, dropout, scratch), dy); };
  std::string name;
  CHECK(gradient_error(loss, x, dx) < 1e-6);
  CHECK(parameter_gradient_error(loss, layer.parameters(), grads, name) < 1e-6);
}

TEST_CASE("FeedForward names its parameters as nn.TransformerEncoderLayer does", "[layers]") {
  CHECK(parameter_names(make<double>(2, 3, Activation::relu, false).parameters()) ==
        std::vector<std::string>{"linear1.weight", "linear1.bias", "linear2.weight", "linear2.bias"});
  CHECK(parameter_names(make<double>(2, 3, Activation::silu, true, false).parameters()) ==
        std::vector<std::string>{"linear1.weight", "linear2.weight", "linear3.weight"});
}

TEST_CASE("FeedForward gives a token the same bits alone and in any batch", "[layers]") {
  const auto gated = GENERATE(false, true);
  CHECK(rows_are_independent<float>([gated](auto x, auto y) {
    FeedForward<float>::Cache cache;
    y.matrix() = make<float>(x.cols(), 19, Activation::gelu, gated).forward(x, {}, cache).matrix();
  }));
  CHECK(rows_are_independent<float>([gated](auto x, auto dx) {
    const auto layer = make<float>(x.cols(), 19, Activation::gelu, gated);
    FeedForward<float>::Cache cache;
    auto grads = zeros_like(layer.parameters());
    layer.forward(x, {}, cache);
    dx.matrix() = layer.backward(x, cache, grads).matrix();
  }));
}

TEST_CASE("a copied FeedForward computes the same and does not share its weights", "[layers]") {
  const auto layer = make<double>(3, 5, Activation::silu, true);
  FeedForward<double> copy = layer;
  const auto x = random_tensor<double, 2>({2, 3}, 1);
  FeedForward<double>::Cache cache, other;
  const auto y = layer.forward(x, {}, cache);
  CHECK(same_bits<double>(copy.forward(x, {}, other), y));
  set_zero(copy.parameters());
  CHECK(!same_bits<double>(copy.forward(x, {}, other), y));
  CHECK(same_bits<double>(layer.forward(x, {}, other), y));
}

TEST_CASE("FeedForward refuses sizes, rates and tensors that do not fit", "[layers]") {
  CHECK_THROWS_WITH(make<double>(0, 3, Activation::relu, false), "FeedForward: features is 0, expected at least 1");
  CHECK_THROWS_WITH(make<double>(3, 0, Activation::relu, false), "FeedForward: hidden is 0, expected at least 1");
  const auto layer = make<double>(3, 5, Activation::relu, false);
  FeedForward<double>::Cache cache;
  auto grads = zeros_like(layer.parameters());
  const Matrix<double> x({4, 3}), wrong({4, 5});
  CHECK_THROWS_WITH(layer.forward(wrong, {}, cache), "FeedForward::forward: x is [4, 5], expected [*, 3]");
  CHECK_THROWS_WITH(layer.forward(x, {1.5, Random()}, cache),
                    "FeedForward::forward: dropout rate is 1.5, expected in [0, 1)");
  layer.forward(x, {}, cache);
  CHECK_THROWS_WITH(layer.backward(wrong, cache, grads), "FeedForward::backward: dy is [4, 5], expected [4, 3]");
}

}  // namespace feed_forward_test
