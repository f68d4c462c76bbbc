#include "support/catch.hpp"
#include "support/gradients.hpp"

#include <mat/layers/multi_head_attention.hpp>

namespace multi_head_attention_test {

using namespace mat;
using mat::test::gradient_error;
using mat::test::inner_product;
using mat::test::largest_difference;
using mat::test::parameter_gradient_error;
using mat::test::random_tensor;

namespace {

using Attention = MultiHeadAttention<double>;

Attention::Config config_of(Index embed_dim, Index heads) {
  Attention::Config config;
  config.embed_dim = embed_dim;
  config.num_heads = heads;
  return config;
}

/// The worst relative error of the gradient of x and of every parameter, in self-attention over ragged sequences.
double worst_self_gradient(const Attention::Config& config, const std::vector<Index>& lengths,
                           const AttentionCall<double>& call) {
  Attention attention(config, Random(1));
  const Sequences sequences(lengths);
  auto x = random_tensor<double, 2>({sequences.rows(), config.embed_dim}, 2);
  const auto dy = random_tensor<double, 2>(x.shape(), 3);
  Attention::Cache cache, scratch;
  auto grads = zeros_like(attention.parameters());
  (void)attention.forward(x, sequences, call, cache);
  const Matrix<double> dx(attention.backward(dy, cache, grads));
  const auto loss = [&] { return inner_product(attention.forward(x, sequences, call, scratch), dy); };
  std::string name;
  const double worst = gradient_error(loss, x, dx);
  return std::max(worst, parameter_gradient_error(loss, attention.parameters(), grads, name));
}

}  // namespace

TEST_CASE("self-attention's gradients agree with central differences", "[layers]") {
  AttentionCall<double> call;
  Attention::Config config = config_of(6, 2);
  SECTION("as in PyTorch") { CHECK(worst_self_gradient(config, {3, 0, 1, 4}, call) < 1e-6); }
  SECTION("with one head and one token") { CHECK(worst_self_gradient(config_of(3, 1), {1}, call) < 1e-6); }
  SECTION("without biases") {
    config.bias = false;
    CHECK(worst_self_gradient(config, {3, 2}, call) < 1e-6);
  }
  SECTION("with added keys") {
    config.add_bias_kv = config.add_zero_attn = true;
    call.mask = AttentionMask<double>::causal();
    CHECK(worst_self_gradient(config, {3, 2}, call) < 1e-6);
  }
  SECTION("with shared key/value heads, a softcap, ALiBi and dropout") {
    config = config_of(8, 4);
    config.kv_heads = 2;
    config.softcap = 1;
    config.alibi = true;
    call.mask = AttentionMask<double>::causal();
    call.dropout = {0.3, Random(5)};
    CHECK(worst_self_gradient(config, {3, 5}, call) < 1e-6);
  }
  SECTION("with rotary positions") {
    config = config_of(8, 2);
    config.rotary.emplace();
    CHECK(worst_self_gradient(config, {3, 5}, call) < 1e-6);
  }
}

TEST_CASE("attention to other tokens has gradients for query, key and value", "[layers]") {
  Attention::Config config = config_of(6, 3);
  config.kdim = 4;
  config.vdim = 5;
  Attention attention(config, Random(1));
  const Sequences queries({2, 3}), keys({4, 1});
  auto query = random_tensor<double, 2>({5, 6}, 2), key = random_tensor<double, 2>({5, 4}, 3),
       value = random_tensor<double, 2>({5, 5}, 4);
  const auto dy = random_tensor<double, 2>({5, 6}, 5);
  const Attention::Inputs inputs{query, key, value, &queries, &keys};
  Attention::Cache cache, scratch;
  auto grads = zeros_like(attention.parameters());
  (void)attention.forward(inputs, {}, cache);
  const auto d = attention.backward_inputs(dy, cache, grads);
  const auto loss = [&] { return inner_product(attention.forward(inputs, {}, scratch), dy); };
  std::string name;
  CHECK(gradient_error(loss, query, Matrix<double>(d.dquery)) < 1e-6);
  CHECK(gradient_error(loss, key, Matrix<double>(d.dkey)) < 1e-6);
  CHECK(gradient_error(loss, value, Matrix<double>(d.dvalue)) < 1e-6);
  CHECK(parameter_gradient_error(loss, attention.parameters(), grads, name) < 1e-6);
  CHECK(parameter_names(grads) == std::vector<std::string>{"q_proj_weight", "k_proj_weight", "v_proj_weight",
                                                           "in_proj_bias", "out_proj.weight", "out_proj.bias"});
}

TEST_CASE("a loss may read the weights and learn the bias", "[layers]") {
  Attention attention(config_of(4, 2), Random(1));
  const Sequences sequences({3, 2});
  auto x = random_tensor<double, 2>({5, 4}, 2);
  auto bias = random_tensor<double, 4>({1, 2, 3, 3}, 3);
  const auto dy = random_tensor<double, 2>({5, 4}, 4);
  const std::vector<Tensor<double, 3>> dweights{random_tensor<double, 3>({2, 3, 3}, 5),
                                                random_tensor<double, 3>({2, 2, 2}, 6)};
  const AttentionCall<double> call{AttentionMask<double>::bias(TensorView<const double, 4>(bias)), {}};
  const auto loss = [&] {
    Attention::Cache cache;
    double sum = inner_product(attention.forward(x, sequences, call, cache), dy);
    for (Index b = 0; b < 2; ++b) {
      const Tensor<double, 3> weights = attention.weights(cache, b);
      sum += inner_product<double, 3>(weights, dweights[static_cast<std::size_t>(b)]);
    }
    return sum;
  };
  Attention::Cache cache;
  auto grads = zeros_like(attention.parameters());
  (void)attention.forward(x, sequences, call, cache);
  Attention::ExtraGradients extra;
  extra.dweights = &dweights;
  const Matrix<double> dx(attention.backward(dy, cache, grads, extra));
  std::string name;
  CHECK(gradient_error(loss, x, dx) < 1e-6);
  CHECK(parameter_gradient_error(loss, attention.parameters(), grads, name) < 1e-6);
}

TEST_CASE("the weights of a sequence are distributions over its keys", "[layers]") {
  Attention attention(config_of(4, 2), Random(1));
  const Sequences sequences({3, 5});
  const auto x = random_tensor<double, 2>({8, 4}, 2);
  Attention::Cache cache;
  (void)attention.forward(x, sequences, {AttentionMask<double>::causal(), {}}, cache);
  const Tensor<double, 3> weights = attention.weights(cache, 1);
  CHECK(weights.shape() == Shape<3>{2, 5, 5});
  for (Index h = 0; h < 2; ++h) {
    for (Index i = 0; i < 5; ++i) {
      double sum = 0;
      for (Index j = 0; j < 5; ++j) sum += weights(h, i, j);
      CHECK(std::abs(sum - 1) < 1e-12);
      for (Index j = i + 1; j < 5; ++j) CHECK(weights(h, i, j) == 0);
    }
  }
}

TEST_CASE("rotary positions make attention a matter of distance", "[layers]") {
  Attention::Config config = config_of(8, 2);
  config.rotary.emplace();
  const Attention attention(config, Random(1));
  const auto x = random_tensor<double, 2>({6, 8}, 2);
  Attention::Cache whole, last;
  const Sequences six({6}), two({2});
  const AttentionCall<double> causal{AttentionMask<double>::causal(), {}};
  const auto y = attention.forward(x, six, causal, whole);
  // The last two tokens as queries to all six: by default they stand at the end.
  const Matrix<double> tail(x.view().middle_rows(4, 2));
  const auto y_tail = attention.forward({tail, x, x, &two, &six}, causal, last);
  CHECK(largest_difference<double, 2>(y_tail, y.middle_rows(4, 2)) == 0);
}

TEST_CASE("multi-head attention starts like PyTorch's", "[layers]") {
  Attention::Config config = config_of(64, 4);
  config.add_bias_kv = true;
  const Attention attention(config, Random(1));
  const auto& p = attention.parameters();
  double largest = 0;
  for (Index i = 0; i < p.in_proj_weight.size(); ++i) largest = std::max(largest, std::abs(p.in_proj_weight.data()[i]));
  CHECK(largest < std::sqrt(6.0 / (4 * 64)));
  CHECK(largest > 0.99 * std::sqrt(6.0 / (4 * 64)));
  CHECK(p.in_proj_bias == Vector<double>({192}));
  CHECK(p.out_proj.parameters().bias == Vector<double>({64}));
  CHECK(p.bias_k.shape() == Shape<3>{1, 1, 64});
}

TEST_CASE("multi-head attention says what does not fit", "[layers]") {
  CHECK_THROWS_WITH(Attention(config_of(6, 4), Random(1)),
                    "MultiHeadAttention: num_heads is 4, expected a divisor of embed_dim 6");
  Attention::Config config = config_of(8, 4);
  config.kv_heads = 3;
  CHECK_THROWS_WITH(Attention(config, Random(1)),
                    "MultiHeadAttention: kv_heads is 3, expected a divisor of num_heads 4");
  config.kv_heads = 0;
  config.rotary.emplace();
  config.add_zero_attn = true;
  CHECK_THROWS_WITH(Attention(config, Random(1)),
                    "MultiHeadAttention: added keys with rotary positions is 1, expected 0: they have no position");
  const Attention attention(config_of(6, 2), Random(1));
  Attention::Cache cache;
  const Matrix<double> x({4, 5}), y({4, 6});
  CHECK_THROWS_WITH(attention.forward(x, Sequences({4}), {}, cache),
                    "MultiHeadAttention::forward: query is [4, 5], expected [*, 6]");
  CHECK_THROWS_WITH(attention.forward(y, Sequences({3}), {}, cache),
                    "MultiHeadAttention::forward: query is 4 tokens, expected 3, the rows of its sequences");
}

}  // namespace multi_head_attention_test
