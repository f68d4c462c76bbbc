#include "support/bits.hpp"
#include "support/catch.hpp"
#include "support/gradients.hpp"

#include <mat/layers/multi_head_attention.hpp>

namespace relative_position_test {

using namespace mat;
using mat::test::gradient_error;
using mat::test::inner_product;
using mat::test::largest_difference;
using mat::test::parameter_gradient_error;
using mat::test::random_tensor;
using mat::test::same_bits;

namespace {

template <class T>
RelativePosition<T> layer_of(Index heads, Index kv_heads, Index head_dim, Index features) {
  typename RelativePosition<T>::Config config;
  config.features = features;
  config.heads = heads;
  config.kv_heads = kv_heads;
  config.head_dim = head_dim;
  RelativePosition<T> layer(config, Random(1));
  layer.parameters().u = random_tensor<T, 2>({heads, head_dim}, 2);
  layer.parameters().v = random_tensor<T, 2>({heads, head_dim}, 3);
  return layer;
}

/// scale (q_i + v) . W R_n, from its definition.
double term(const RelativePosition<double>& layer, const Matrix<double>& q, Index row, Index h, Index distance,
            double scale) {
  const auto& p = layer.parameters();
  const auto& c = layer.config();
  const Index kv_head = h / (c.heads / c.kv_heads);
  double sum = 0;
  for (Index i = 0; i < c.head_dim; ++i) {
    double rho = 0;
    for (Index f = 0; f < c.features; ++f) {
      const Index half = c.features / 2, m = f % half;
      const double angle = static_cast<double>(distance) *
                           std::pow(c.base, -2.0 * static_cast<double>(m) / static_cast<double>(c.features));
      rho += p.weight(kv_head * c.head_dim + i, f) * (f < half ? std::sin(angle) : std::cos(angle));
    }
    sum += (q(row, h * c.head_dim + i) + p.v(h, i)) * rho;
  }
  return scale * sum;
}

using Attention = MultiHeadAttention<double>;

Attention::Config attention_config(Index embed_dim, Index heads) {
  Attention::Config config;
  config.embed_dim = embed_dim;
  config.num_heads = heads;
  config.relative.emplace();
  return config;
}

/// The worst relative error of the gradients of x, of earlier tokens and of every parameter, over a ragged batch.
double worst_gradient(const Attention::Config& config, const AttentionMask<double>& mask) {
  Attention attention(config, Random(1));
  auto& relative = attention.parameters().relative->parameters();
  relative.u = random_tensor<double, 2>(relative.u.shape(), 5);
  relative.v = random_tensor<double, 2>(relative.v.shape(), 6);
  const Sequences sequences({3, 0, 1, 2}), before({2, 1, 0, 3});
  auto x = random_tensor<double, 2>({6, config.embed_dim}, 2),
       rows = random_tensor<double, 2>({6, config.embed_dim}, 3);
  const auto dy = random_tensor<double, 2>({6, config.embed_dim}, 4);
  const AttentionCall<double> call{mask, {0.1, Random(9)}};
  Attention::Cache cache, scratch;
  auto grads = zeros_like(attention.parameters());
  (void)attention.forward(x, sequences, {rows, &before}, call, cache);
  const auto d = attention.backward_with_earlier(dy, cache, grads);
  const Matrix<double> dx(d.dx), drows(d.dearlier);
  const auto loss = [&] { return inner_product(attention.forward(x, sequences, {rows, &before}, call, scratch), dy); };
  std::string name;
  return std::max({gradient_error(loss, x, dx), gradient_error(loss, rows, drows),
                   parameter_gradient_error(loss, attention.parameters(), grads, name)});
}

}  // namespace

TEST_CASE("relative positions are what their definition says", "[layers]") {
  const auto layer = layer_of<double>(4, 2, 3, 6);
  const Sequences queries = Sequences::with_capacity({3, 0, 1}, 4), keys({5, 2, 4});
  const auto q = random_tensor<double, 2>({12, 12}, 4);
  const auto scale = 0.7;
  struct Case {
    AttentionMask<double> mask;
    Index left, right, first0, first2;
  };
  constexpr Index kFar = 100;
  for (const Case& c : {Case{{}, kFar, kFar, 2, 3}, Case{AttentionMask<double>::causal(), kFar, 0, 2, 3},
                        Case{AttentionMask<double>::causal_window(2), 1, 0, 2, 3},
                        Case{AttentionMask<double>::causal_from(7), kFar, 0, 7, 7},
                        Case{AttentionMask<double>::causal_from(-2), kFar, 0, -2, -2}}) {
    Matrix<double> qu = q;
    RelativePosition<double>::Cache cache;
    const auto bias = layer.forward(qu, {queries, keys, c.mask, scale}, cache);
    CHECK(bias.shape() == Shape<4>{3, 4, 3, 5});
    for (Index b : {0, 2}) {
      for (Index h = 0; h < 4; ++h) {
        for (Index i = 0; i < queries.length(b); ++i) {
          for (Index j = 0; j < keys.length(b); ++j) {
            const Index distance = (b == 0 ? c.first0 : c.first2) + i - j;
            if (distance > c.left || distance < -c.right) continue;
            CHECK(std::abs(bias(b, h, i, j) - term(layer, q, queries.begin(b) + i, h, distance, scale)) < 1e-12);
          }
        }
      }
    }
    for (Index t = 0; t < 12; ++t) {
      for (Index f = 0; f < 12; ++f) CHECK(qu(t, f) == q(t, f) + layer.parameters().u(f / 3, f % 3));
    }
  }
}

TEST_CASE("the gradients of relative positions agree with central differences", "[layers]") {
  Attention::Config config = attention_config(4, 2);
  SECTION("under a causal mask") { CHECK(worst_gradient(config, AttentionMask<double>::causal()) < 1e-6); }
  SECTION("without a mask, where keys lie on both sides") { CHECK(worst_gradient(config, {}) < 1e-6); }
  SECTION("in a window") { CHECK(worst_gradient(config, AttentionMask<double>::window(2, 1)) < 1e-6); }
  SECTION("with shared key/value heads, a softcap and a scale") {
    config = attention_config(8, 4);
    config.kv_heads = 2;
    config.softcap = 1;
    config.scale = 0.8;
    CHECK(worst_gradient(config, AttentionMask<double>::causal()) < 1e-6);
  }
  SECTION("with added keys") {
    config.add_bias_kv = config.add_zero_attn = true;
    CHECK(worst_gradient(config, AttentionMask<double>::causal()) < 1e-6);
  }
}

TEST_CASE("a loss may read the weights of attention with relative positions", "[layers]") {
  Attention attention(attention_config(4, 2), Random(1));
  const Sequences sequences({3, 2});
  auto x = random_tensor<double, 2>({5, 4}, 2);
  const auto dy = random_tensor<double, 2>({5, 4}, 4);
  const std::vector<Tensor<double, 3>> dweights{random_tensor<double, 3>({2, 3, 3}, 5),
                                                random_tensor<double, 3>({2, 2, 2}, 6)};
  const auto loss = [&] {
    Attention::Cache cache;
    double sum = inner_product(attention.forward(x, sequences, {}, cache), dy);
    for (Index b = 0; b < 2; ++b) {
      const Tensor<double, 3> weights = attention.weights(cache, b);
      sum += inner_product<double, 3>(weights, dweights[static_cast<std::size_t>(b)]);
    }
    return sum;
  };
  Attention::Cache cache;
  auto grads = zeros_like(attention.parameters());
  (void)attention.forward(x, sequences, {}, cache);
  Attention::ExtraGradients extra;
  extra.dweights = &dweights;
  const Matrix<double> dx(attention.backward(dy, cache, grads, extra));
  std::string name;
  CHECK(gradient_error(loss, x, dx) < 1e-6);
  CHECK(parameter_gradient_error(loss, attention.parameters(), grads, name) < 1e-6);
}

TEST_CASE("gradients of relative positions add", "[layers]") {
  const Attention attention(attention_config(4, 2), Random(1));
  const auto x = random_tensor<double, 2>({5, 4}, 2), dy = random_tensor<double, 2>({5, 4}, 3);
  Attention::Cache cache;
  auto once = zeros_like(attention.parameters()), twice = once;
  (void)attention.forward(x, Sequences({3, 2}), {}, cache);
  (void)attention.backward(dy, cache, once);
  (void)attention.backward(dy, cache, twice);
  (void)attention.backward(dy, cache, twice);
  CHECK(parameter_names(once.relative->parameters()) == std::vector<std::string>{"weight", "u", "v"});
  for_each_parameter(
      [](const ParameterName&, const auto& a, const auto& b) {
        for (Index i = 0; i < a.size(); ++i) CHECK(std::abs(b.data()[i] - 2 * a.data()[i]) < 1e-12);
      },
      once.relative->parameters(), twice.relative->parameters());
}

TEMPLATE_TEST_CASE("a sequence's relative positions have the same bits alone and in any batch", "[layers]", float,
                   double) {
  using T = TestType;
  typename MultiHeadAttention<T>::Config config;
  config.embed_dim = 10;
  config.num_heads = 2;
  config.relative.emplace();
  const MultiHeadAttention<T> attention(config, Random(1));
  const AttentionCall<T> causal{AttentionMask<T>::causal(), {}};
  const Sequences batch({5, 1, 33, 0, 12}), before({40, 3, 0, 7, 1});
  const auto x = random_tensor<T, 2>({batch.rows(), 10}, 2), rows = random_tensor<T, 2>({before.rows(), 10}, 3),
             dy = random_tensor<T, 2>({batch.rows(), 10}, 4);
  typename MultiHeadAttention<T>::Cache cache, alone_cache;
  auto grads = zeros_like(attention.parameters());
  const auto y = attention.forward(x, batch, {rows, &before}, causal, cache);
  const auto dx = attention.backward_with_earlier(dy, cache, grads).dx;
  for (Index b = 0; b < batch.count(); ++b) {
    const auto part = [b](const Matrix<T>& m, const Sequences& of) {
      return m.view().middle_rows(of.begin(b), of.length(b));
    };
    const Sequences one = Sequences::single(batch.length(b)), one_before = Sequences::single(before.length(b));
    const auto alone = attention.forward(part(x, batch), one, {part(rows, before), &one_before}, causal, alone_cache);
    CHECK(same_bits<T>(alone, y.middle_rows(batch.begin(b), batch.length(b))));
    const auto dalone = attention.backward_with_earlier(part(dy, batch), alone_cache, grads).dx;
    CHECK(same_bits<T>(dalone, dx.middle_rows(batch.begin(b), batch.length(b))));
  }
}

TEST_CASE("relative positions say what does not fit", "[layers]") {
  RelativePosition<float>::Config config{5, 2, 0, 3, 10000};
  CHECK_THROWS_WITH(RelativePosition<float>(config, Random(1)),
                    "RelativePosition: features is 5, expected even and at least 2");
  config.features = 6;
  config.kv_heads = 3;
  CHECK_THROWS_WITH(RelativePosition<float>(config, Random(1)),
                    "RelativePosition: kv_heads is 3, expected a divisor of heads, 2");
  config.kv_heads = 0;
  const RelativePosition<float> layer(config, Random(1));
  RelativePosition<float>::Cache cache;
  Matrix<float> narrow({4, 5}), q({4, 6});
  const Sequences four({4}), three({3}), two({2, 2});
  CHECK_THROWS_WITH(layer.forward(narrow, {four, four, {}, 1}, cache),
                    "RelativePosition::forward: q is [4, 5], expected [*, 6]");
  CHECK_THROWS_WITH(layer.forward(q, {three, four, {}, 1}, cache),
                    "RelativePosition::forward: q is 4 tokens, expected 3, the rows of its sequences");
  CHECK_THROWS_WITH(layer.forward(q, {four, two, {}, 1}, cache),
                    "RelativePosition::forward: the sequences of keys is 2, expected those of the queries, 1");

  auto attention = attention_config(6, 2);
  attention.rotary.emplace();
  CHECK_THROWS_WITH(Attention(attention, Random(1)),
                    "MultiHeadAttention: rotary with relative positions is 1, expected 0");
  attention.rotary.reset();
  const Attention with(attention, Random(1));
  Attention::Cache attention_cache;
  const Matrix<double> x({4, 6}), bias({4, 4});
  const AttentionCall<double> call{AttentionMask<double>::bias(bias.view()), {}};
  CHECK_THROWS_WITH(with.forward(x, four, call, attention_cache),
                    "MultiHeadAttention::forward: a bias with relative positions is 1, expected 0: they are one");
}

}  // namespace relative_position_test
