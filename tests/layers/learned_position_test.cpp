#include "support/bits.hpp"
#include "support/catch.hpp"
#include "support/gradients.hpp"

#include <mat/layers/learned_position.hpp>

#include <cmath>

namespace learned_position_test {

using namespace mat;
using namespace mat::test;

namespace {

template <class T>
LearnedPosition<T> make(Index max_length, Index features) {
  typename LearnedPosition<T>::Config config;
  config.max_length = max_length;
  config.features = features;
  return LearnedPosition<T>(config, Random(5));
}

}  // namespace

TEST_CASE("LearnedPosition adds the row of each token's position", "[layers]") {
  const auto check = [](auto zero) {
    using T = decltype(zero);
    for (const Index d : {1, 5, 33}) {
      const auto layer = make<T>(8, d);
      const Sequences sequences({3, 0, 4});
      const Vector<Index> first({3}, {5, 0, 1});
      const Vector<Index> expected({7}, {5, 6, 7, 1, 2, 3, 4});
      const auto x = random_tensor<T, 2>({7, d}, 1);
      typename LearnedPosition<T>::Cache cache;
      const auto y = layer.forward(x, sequences, first, cache);
      bool same = true;
      for (Index t = 0; t < 7; ++t) {
        for (Index j = 0; j < d; ++j) same = same && y(t, j) == x(t, j) + layer.parameters().weight(expected(t), j);
      }
      CHECK(same);
    }
  };
  check(0.0);
  check(0.0F);
}

TEST_CASE("rows outside of the sequences are copied", "[layers]") {
  const auto layer = make<double>(8, 2);
  LearnedPosition<double>::Cache cache;
  const auto x = random_tensor<double, 2>({4, 2}, 1);
  const auto y = layer.forward(x, Sequences::with_capacity({1, 2}, 2), cache);
  CHECK(y(1, 0) == x(1, 0));
  CHECK(y(3, 1) == x(3, 1) + layer.parameters().weight(1, 1));
}

TEST_CASE("the first values of LearnedPosition have the standard deviation asked for", "[layers]") {
  const auto layer = make<double>(100, 100);
  double squares = 0;
  for (Index i = 0; i < 10000; ++i) squares += std::pow(layer.parameters().weight.data()[i], 2);
  CHECK(std::abs(std::sqrt(squares / 10000) - 0.02) < 0.001);
  CHECK(parameter_names(layer.parameters()) == std::vector<std::string>{"weight"});
}

TEST_CASE("the gradients of LearnedPosition agree with central differences and add", "[layers]") {
  for (const std::vector<Index>& lengths :
       {std::vector<Index>{1}, std::vector<Index>{3, 0, 5, 1}, std::vector<Index>{}}) {
    const Sequences sequences(lengths);
    LearnedPosition<double> layer = make<double>(5, 7);
    auto x = random_tensor<double, 2>({sequences.rows(), 7}, 1);
    const auto dy = random_tensor<double, 2>(x.shape(), 2);
    LearnedPosition<double>::Cache cache, scratch;
    auto grads = zeros_like(layer.parameters());
    layer.forward(x, sequences, cache);
    const Matrix<double> dx(layer.backward(dy, cache, grads));
    const auto loss = [&] { return inner_product<double, 2>(layer.forward(x, sequences, scratch), dy); };
    std::string name;
    CHECK(gradient_error(loss, x, dx) < 1e-6);
    CHECK(parameter_gradient_error(loss, layer.parameters(), grads, name) < 1e-6);
    const auto once = grads.weight;
    layer.backward(dy, cache, grads);
    for (Index i = 0; i < once.size(); ++i) CHECK(std::abs(grads.weight.data()[i] - 2 * once.data()[i]) < 1e-14);
  }
}

TEST_CASE("LearnedPosition gives a sequence the same bits alone and in any batch", "[layers]") {
  const auto layer = make<float>(8, 7);
  const Sequences sequences({3, 8, 2});
  const auto x = random_tensor<float, 2>({13, 7}, 1);
  LearnedPosition<float>::Cache cache, other;
  const auto y = layer.forward(x, sequences, cache);
  for (Index b = 0; b < 3; ++b) {
    const Matrix<float> alone(x.view().middle_rows(sequences.begin(b), sequences.length(b)));
    CHECK(same_bits<float>(layer.forward(alone, Sequences::single(sequences.length(b)), other),
                           y.middle_rows(sequences.begin(b), sequences.length(b))));
  }
}

TEST_CASE("LearnedPosition refuses sequences that are too long and tensors that do not fit", "[layers]") {
  CHECK_THROWS_WITH(make<double>(0, 3), "LearnedPosition: max_length is 0, expected at least 1");
  CHECK_THROWS_WITH(make<double>(3, 0), "LearnedPosition: features is 0, expected at least 1");
  const auto layer = make<double>(8, 2);
  LearnedPosition<double>::Cache cache;
  auto grads = zeros_like(layer.parameters());
  const Matrix<double> x({11, 2}), wrong({11, 3});
  const Vector<Index> first({2}, {7, 0});
  CHECK_THROWS_WITH(layer.forward(x, Sequences({2, 9}), cache),
                    "LearnedPosition::forward: the end of sequence 1 is 9, expected at most max_length = 8");
  CHECK_THROWS_WITH(layer.forward(x, Sequences({3, 8}), first, cache),
                    "LearnedPosition::forward: the end of sequence 0 is 10, expected at most max_length = 8");
  CHECK_THROWS_WITH(layer.forward(wrong, Sequences({3, 8}), cache),
                    "LearnedPosition::forward: x is [11, 3], expected [*, 2]");
  CHECK_THROWS_WITH(layer.forward(x, Sequences({3, 7}), cache),
                    "LearnedPosition::forward: x is 11 tokens, expected 10, the rows of its sequences");
  layer.forward(x, Sequences({3, 8}), cache);
  CHECK_THROWS_WITH(layer.backward(wrong, cache, grads), "LearnedPosition::backward: dy is [11, 3], expected [11, 2]");
}

}  // namespace learned_position_test
