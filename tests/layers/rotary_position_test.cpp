#include "support/bits.hpp"
#include "support/catch.hpp"
#include "support/gradients.hpp"

#include <mat/layers/rotary_position.hpp>

#include <cmath>

namespace rotary_position_test {

using namespace mat;
using namespace mat::test;

namespace {

template <class T>
RotaryPosition<T> make(Index head_dim, Index rotary_dim, RotaryPairs pairs) {
  typename RotaryPosition<T>::Config config;
  config.head_dim = head_dim;
  config.rotary_dim = rotary_dim;
  config.pairs = pairs;
  return RotaryPosition<T>(config);
}

}  // namespace

TEST_CASE("RotaryPosition rotates each pair by its position in the sequence", "[layers]") {
  const auto pairs = GENERATE(RotaryPairs::half_split, RotaryPairs::interleaved);
  const auto layer = make<double>(6, 4, pairs);
  const Sequences sequences({2, 0, 3});
  const Vector<Index> first({3}, {100, 0, 2});
  const Vector<Index> positions({5}, {100, 101, 2, 3, 4});
  const auto x = random_tensor<double, 2>({5, 12}, 1);
  Matrix<double> y(x.shape());
  RotaryPosition<double>::Cache cache;
  layer.prepare(sequences, first, cache);
  layer.forward(x, y, cache);
  double worst = 0;
  for (Index t = 0; t < 5; ++t) {
    for (Index h = 0; h < 12; h += 6) {
      for (Index i = 0; i < 2; ++i) {
        const Index a = pairs == RotaryPairs::interleaved ? h + 2 * i : h + i;
        const Index b = pairs == RotaryPairs::interleaved ? a + 1 : a + 2;
        const double angle = static_cast<double>(positions(t)) * std::pow(10000.0, -static_cast<double>(i) / 2);
        worst = std::max(worst, std::abs(y(t, a) - (x(t, a) * std::cos(angle) - x(t, b) * std::sin(angle))));
        worst = std::max(worst, std::abs(y(t, b) - (x(t, a) * std::sin(angle) + x(t, b) * std::cos(angle))));
      }
      for (Index j = h + 4; j < h + 6; ++j) worst = std::max(worst, std::abs(y(t, j) - x(t, j)));
    }
  }
  CHECK(worst < 1e-14);
}

TEST_CASE("without a rotary_dim whole heads are rotated", "[layers]") {
  CHECK(make<double>(8, 0, RotaryPairs::half_split).config().rotary_dim == 8);
}

TEST_CASE("the gradient of RotaryPosition agrees with central differences", "[layers]") {
  const auto pairs = GENERATE(RotaryPairs::half_split, RotaryPairs::interleaved);
  const auto layer = make<double>(5, 4, pairs);
  for (const std::vector<Index>& lengths : {std::vector<Index>{1}, std::vector<Index>{3, 2}, std::vector<Index>{}}) {
    const Sequences sequences(lengths);
    auto x = random_tensor<double, 2>({sequences.rows(), 10}, 1);
    const auto dy = random_tensor<double, 2>(x.shape(), 2);
    Matrix<double> y(x.shape()), dx(x.shape());
    RotaryPosition<double>::Cache cache;
    layer.prepare(sequences, cache);
    layer.backward(dy, dx, cache);
    const auto loss = [&] {
      layer.forward(x, y, cache);
      return inner_product<double, 2>(y, dy);
    };
    CHECK(gradient_error(loss, x, dx) < 1e-6);
  }
}

TEST_CASE("RotaryPosition gives a sequence the same bits alone and in any batch, whatever its table holds",
          "[layers]") {
  const auto layer = make<float>(14, 14, RotaryPairs::half_split);
  const Sequences sequences({3, 100, 2});
  const auto x = random_tensor<float, 2>({105, 14}, 1);
  Matrix<float> y(x.shape());
  RotaryPosition<float>::Cache cache;
  layer.prepare(sequences, cache);
  layer.forward(x, y, cache);
  for (Index b = 0; b < 3; ++b) {
    Matrix<float> alone(x.view().middle_rows(sequences.begin(b), sequences.length(b)));
    RotaryPosition<float>::Cache fresh;
    layer.prepare(Sequences::single(sequences.length(b)), fresh);
    layer.forward(alone, alone, fresh);
    CHECK(same_bits<float>(alone.view(), y.view().middle_rows(sequences.begin(b), sequences.length(b))));
  }
}

TEST_CASE("RotaryPosition refuses sizes that do not fit", "[layers]") {
  CHECK_THROWS_WITH(make<double>(0, 0, RotaryPairs::half_split), "RotaryPosition: head_dim is 0, expected at least 1");
  CHECK_THROWS_WITH(make<double>(5, 0, RotaryPairs::half_split),
                    "RotaryPosition: rotary_dim is 5, expected even and in [2, 5]");
  CHECK_THROWS_WITH(make<double>(4, 6, RotaryPairs::half_split),
                    "RotaryPosition: rotary_dim is 6, expected even and in [2, 4]");
  RotaryPosition<double>::Config config;
  config.head_dim = 4;
  config.base = -1;
  CHECK_THROWS_WITH(RotaryPosition<double>(config), "RotaryPosition: base is -1, expected above 0");

  const auto layer = make<double>(4, 4, RotaryPairs::half_split);
  RotaryPosition<double>::Cache cache;
  const Vector<Index> first({1}, {-2});
  CHECK_THROWS_WITH(layer.prepare(Sequences({3}), first, cache),
                    "RotaryPosition::prepare: first[0] is -2, expected at least 0");
  layer.prepare(Sequences({3}), cache);
  const Matrix<double> x({2, 8}), narrow({3, 6});
  Matrix<double> y({3, 8});
  CHECK_THROWS_WITH(layer.forward(x, y, cache), "rotary_forward: positions is [3], expected [2]");
  CHECK_THROWS_WITH(layer.backward(narrow, y, cache), "rotary_backward: head_dim is 4, expected a divisor of 6");
}

}  // namespace rotary_position_test
