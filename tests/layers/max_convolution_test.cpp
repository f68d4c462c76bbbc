#include "support/catch.hpp"
#include "support/gradients.hpp"

#include <mat/layers/max_convolution.hpp>

#include <algorithm>

namespace max_convolution_test {

using namespace mat;
using namespace mat::test;

namespace {

template <class T>
MaxConvolution<T> make(Index width = 3) {
  typename MaxConvolution<T>::Config config;
  config.features = 4;
  config.filters = 7;
  config.width = width;
  return MaxConvolution<T>(config, Random(1));
}

const Sequences& three_sequences() {
  static const Sequences value({5, 0, 2});
  return value;
}

/// What filter j answers at token t, by plain loops.
double answer(const MaxConvolution<double>& layer, const Matrix<double>& x, Index b, Index t, Index j) {
  const auto& filters = layer.parameters().filters.parameters();
  const Index width = layer.config().width, d = x.cols();
  double sum = filters.bias(j);
  for (Index k = 0; k < width; ++k) {
    const Index s = t - (width - 1) / 2 + k;
    if (s < three_sequences().begin(b) || s >= three_sequences().end(b)) continue;
    for (Index i = 0; i < d; ++i) sum += filters.weight(j, k * d + i) * x(s, i);
  }
  return sum;
}

}  // namespace

TEST_CASE("MaxConvolution equals plain loops", "[layers]") {
  const auto layer = make<double>(GENERATE(1, 2, 3, 4));
  const auto x = random_tensor<double, 2>({7, 4}, 2);
  MaxConvolution<double>::Cache cache;
  const auto y = layer.forward(x, three_sequences(), cache);
  for (Index b = 0; b < 3; ++b) {
    for (Index j = 0; j < 7; ++j) {
      double expected = 0;
      for (Index t = three_sequences().begin(b); t < three_sequences().end(b); ++t) {
        expected = std::max(expected, answer(layer, x, b, t, j));
      }
      CHECK(std::abs(y(b, j) - expected) < 1e-14);
    }
  }
}

TEST_CASE("every gradient of MaxConvolution agrees with central differences", "[layers]") {
  auto layer = make<double>(GENERATE(1, 2, 3));
  auto x = random_tensor<double, 2>({7, 4}, 2);
  const auto dy = random_tensor<double, 2>({3, 7}, 3);
  MaxConvolution<double>::Cache cache;
  const auto loss = [&] { return inner_product(layer.forward(x, three_sequences(), cache), dy); };
  auto grads = zeros_like(layer.parameters());
  layer.forward(x, three_sequences(), cache);
  const Matrix<double> dx(layer.backward(dy, cache, grads));
  CHECK(gradient_error(loss, x, dx) < 1e-6);
  std::string worst;
  const double error = parameter_gradient_error(loss, layer.parameters(), grads, worst);
  INFO("worst: " << worst);
  CHECK(error < 1e-6);
}

TEST_CASE("a second backward of MaxConvolution adds the same gradient again", "[layers]") {
  const auto layer = make<double>();
  const auto x = random_tensor<double, 2>({7, 4}, 2), dy = random_tensor<double, 2>({3, 7}, 3);
  MaxConvolution<double>::Cache cache;
  auto once = zeros_like(layer.parameters()), twice = once;
  layer.forward(x, three_sequences(), cache);
  layer.backward(dy, cache, once);
  for (int i = 0; i < 2; ++i) {
    layer.forward(x, three_sequences(), cache);
    layer.backward(dy, cache, twice);
  }
  const auto& a = once.filters.parameters().weight;
  const auto& b = twice.filters.parameters().weight;
  for (Index i = 0; i < a.size(); ++i) CHECK(std::abs(2 * a.data()[i] - b.data()[i]) < 1e-12);
}

TEST_CASE("a pattern is found wherever it is, and a sequence has the same bits alone and in any batch", "[layers]") {
  const auto layer = make<float>();
  const auto x = random_tensor<float, 2>({7, 4}, 2);
  MaxConvolution<float>::Cache cache;
  const Matrix<float> together(layer.forward(x, three_sequences(), cache));
  const Matrix<float> last(layer.forward(x.view().middle_rows(5, 2), Sequences::single(2), cache));
  CHECK(last == Matrix<float>(together.view().middle_rows(2, 1)));
  Matrix<float> padded({9, 4});  // the same two tokens between tokens of zeros
  for (Index i = 0; i < 8; ++i) padded.data()[12 + i] = x.data()[20 + i];
  const Matrix<float> inside(layer.forward(padded, Sequences::single(9), cache));
  for (Index j = 0; j < 7; ++j) CHECK(inside(0, j) >= last(0, j));
}

TEST_CASE("MaxConvolution refuses what does not fit", "[layers]") {
  const auto layer = make<float>();
  const Matrix<float> x({7, 4}), wide({7, 5}), few({6, 4}), dy({3, 6});
  MaxConvolution<float>::Cache cache;
  CHECK_THROWS_WITH(layer.forward(wide, three_sequences(), cache),
                    "MaxConvolution::forward: x is [7, 5], expected [*, 4]");
  CHECK_THROWS_WITH(layer.forward(few, three_sequences(), cache),
                    "MaxConvolution::forward: x is 6 tokens, expected 7, the rows of its sequences");
  auto grads = zeros_like(layer.parameters());
  layer.forward(x, three_sequences(), cache);
  CHECK_THROWS_WITH(layer.backward(dy, cache, grads), "MaxConvolution::backward: dy is [3, 6], expected [3, 7]");
  using Config = MaxConvolution<float>::Config;
  CHECK_THROWS_WITH(MaxConvolution<float>(Config{0, 7, 3}, Random()),
                    "MaxConvolution: features is 0, expected at least 1");
  CHECK_THROWS_WITH(MaxConvolution<float>(Config{4, 0, 3}, Random()),
                    "MaxConvolution: filters is 0, expected at least 1");
  CHECK_THROWS_WITH(MaxConvolution<float>(Config{4, 7, 0}, Random()),
                    "MaxConvolution: width is 0, expected at least 1");
}

}  // namespace max_convolution_test
