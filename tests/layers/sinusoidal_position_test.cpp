#include "support/bits.hpp"
#include "support/catch.hpp"
#include "support/gradients.hpp"

#include <mat/layers/sinusoidal_position.hpp>

#include <cmath>

namespace sinusoidal_position_test {

using namespace mat;
using namespace mat::test;

namespace {

double wave(Index position, Index j, Index features) {
  const double angle = static_cast<double>(position) *
                       std::pow(10000.0, -2.0 * std::floor(static_cast<double>(j) / 2) / static_cast<double>(features));
  return j % 2 == 0 ? std::sin(angle) : std::cos(angle);
}

}  // namespace

TEST_CASE("SinusoidalPosition adds the paper's waves by the position in the sequence", "[layers]") {
  const Sequences sequences({3, 0, 70, 1});
  const Vector<Index> first({4}, {0, 5, 2, 300});
  const auto check = [&](auto zero, double tolerance) {
    using T = decltype(zero);
    for (const Index d : {1, 2, 7, 16}) {
      CAPTURE(d);
      const SinusoidalPosition<T> layer({d});
      const auto x = random_tensor<T, 2>({sequences.rows(), d}, 1);
      typename SinusoidalPosition<T>::Cache cache;
      const auto y = layer.forward(x, sequences, first, cache);
      double worst = 0;
      for (Index b = 0; b < sequences.count(); ++b) {
        for (Index i = 0; i < sequences.length(b); ++i) {
          const Index t = sequences.begin(b) + i;
          for (Index j = 0; j < d; ++j) {
            const double expected = static_cast<double>(x(t, j)) + wave(first(b) + i, j, d);
            worst = std::max(worst, std::abs(static_cast<double>(y(t, j)) - expected));
          }
        }
      }
      CHECK(worst < tolerance);
    }
  };
  check(0.0, 1e-15);
  check(0.0F, 5e-7);
}

TEST_CASE("without first positions every sequence begins at 0, and rows outside of them are copied", "[layers]") {
  const SinusoidalPosition<double> layer({4});
  SinusoidalPosition<double>::Cache cache;
  const auto x = random_tensor<double, 2>({6, 4}, 1);
  const auto y = layer.forward(x, Sequences::with_capacity({1, 2}, 3), cache);
  CHECK(y(0, 1) == x(0, 1) + 1);
  CHECK(y(1, 1) == x(1, 1));
  CHECK(y(3, 0) == x(3, 0));
  CHECK(y(4, 0) == x(4, 0) + std::sin(1.0));
}

TEST_CASE("SinusoidalPosition hands its gradient on", "[layers]") {
  const SinusoidalPosition<double> layer({5});
  SinusoidalPosition<double>::Cache cache;
  SinusoidalPosition<double>::Parameters grads;
  const auto x = random_tensor<double, 2>({3, 5}, 1), dy = random_tensor<double, 2>({3, 5}, 2);
  layer.forward(x, Sequences::single(3), cache);
  CHECK(same_bits<double>(layer.backward(dy, cache, grads), dy.view()));
  CHECK(parameter_count(layer.parameters()) == 0);
}

TEST_CASE("SinusoidalPosition gives a sequence the same bits alone and in any batch, whatever its table holds",
          "[layers]") {
  const SinusoidalPosition<float> layer({7});
  const Sequences sequences({3, 200, 2});
  const auto x = random_tensor<float, 2>({205, 7}, 1);
  SinusoidalPosition<float>::Cache cache;
  const auto y = layer.forward(x, sequences, cache);
  for (Index b = 0; b < 3; ++b) {
    const Matrix<float> alone(x.view().middle_rows(sequences.begin(b), sequences.length(b)));
    SinusoidalPosition<float>::Cache fresh;
    CHECK(same_bits<float>(layer.forward(alone, Sequences::single(sequences.length(b)), fresh),
                           y.middle_rows(sequences.begin(b), sequences.length(b))));
  }
}

TEST_CASE("a batch without tokens is fine", "[layers]") {
  const SinusoidalPosition<double> layer({3});
  SinusoidalPosition<double>::Cache cache;
  const Matrix<double> none({0, 3});
  CHECK(layer.forward(none, Sequences({0, 0}), cache).rows() == 0);
}

TEST_CASE("SinusoidalPosition refuses what does not fit", "[layers]") {
  CHECK_THROWS_WITH(SinusoidalPosition<double>({0}), "SinusoidalPosition: features is 0, expected at least 1");
  SinusoidalPosition<double>::Config config;
  config.features = 4;
  config.base = 0;
  CHECK_THROWS_WITH(SinusoidalPosition<double>(config), "SinusoidalPosition: base is 0, expected above 0");
  const SinusoidalPosition<double> layer({4});
  SinusoidalPosition<double>::Cache cache;
  SinusoidalPosition<double>::Parameters grads;
  const Matrix<double> x({3, 4}), wrong({3, 5});
  const Vector<Index> negative({1}, {-1});
  CHECK_THROWS_WITH(layer.forward(wrong, Sequences::single(3), cache),
                    "SinusoidalPosition::forward: x is [3, 5], expected [*, 4]");
  CHECK_THROWS_WITH(layer.forward(x, Sequences::single(2), cache),
                    "SinusoidalPosition::forward: x is 3 tokens, expected 2, the rows of its sequences");
  CHECK_THROWS_WITH(layer.forward(x, Sequences::single(3), negative, cache),
                    "SinusoidalPosition::forward: first[0] is -1, expected at least 0");
  layer.forward(x, Sequences::single(3), cache);
  CHECK_THROWS_WITH(layer.backward(wrong, cache, grads), "SinusoidalPosition::backward: dy is [3, 5], expected [3, 4]");
}

}  // namespace sinusoidal_position_test
