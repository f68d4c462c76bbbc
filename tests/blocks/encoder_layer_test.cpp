#include "support/bits.hpp"
#include "support/catch.hpp"
#include "support/gradients.hpp"

#include <mat/blocks/encoder_layer.hpp>

namespace encoder_layer_test {

using namespace mat;
using mat::test::gradient_error;
using mat::test::inner_product;
using mat::test::largest_difference;
using mat::test::parameter_gradient_error;
using mat::test::random_tensor;
using mat::test::same_bits;

namespace {

template <class T>
typename EncoderLayer<T>::Config config_of(Index d_model, Index nhead) {
  typename EncoderLayer<T>::Config config;
  config.d_model = d_model;
  config.nhead = nhead;
  config.dim_feedforward = 7;
  config.activation = Activation::gelu;
  return config;
}

/// The worst relative error of the gradients of x, of the earlier tokens and of every parameter, over a ragged batch in
/// which both have gaps.
double worst_gradient(const EncoderLayer<double>::Config& config, const AttentionCall<double>& call) {
  EncoderLayer<double> layer(config, Random(1));
  const Sequences sequences = Sequences::with_capacity({3, 0, 1, 2}, 3),
                  before = Sequences::with_capacity({2, 1, 0, 4}, 4);
  auto x = random_tensor<double, 2>({sequences.rows(), config.d_model}, 2),
       rows = random_tensor<double, 2>({before.rows(), config.d_model}, 3);
  auto dy = random_tensor<double, 2>(x.shape(), 4);
  for (Index b = 0; b < sequences.count(); ++b) {  // what is not a token has no gradient
    for (Index t = sequences.end(b); t < 3 * (b + 1); ++t) std::fill_n(dy.view().row(t), dy.cols(), 0.0);
  }
  EncoderLayer<double>::Cache cache, scratch;
  auto grads = zeros_like(layer.parameters());
  (void)layer.forward(x, sequences, {rows, &before}, call, cache);
  const auto d = layer.backward_with_earlier(dy, cache, grads);
  const Matrix<double> dx(d.dx), drows(d.dearlier);
  const auto loss = [&] { return inner_product(layer.forward(x, sequences, {rows, &before}, call, scratch), dy); };
  std::string name;
  return std::max({gradient_error(loss, x, dx), gradient_error(loss, rows, drows),
                   parameter_gradient_error(loss, layer.parameters(), grads, name)});
}

}  // namespace

TEST_CASE("the gradients of earlier tokens agree with central differences", "[blocks]") {
  AttentionCall<double> call;
  call.mask = AttentionMask<double>::causal();
  auto config = config_of<double>(4, 2);
  for (const bool norm_first : {false, true}) {
    config.norm_first = norm_first;
    SECTION(norm_first ? "norms first" : "norms last") { CHECK(worst_gradient(config, call) < 1e-6); }
    SECTION(norm_first ? "norms first, dropout" : "norms last, dropout") {
      call.dropout = {0.2, Random(7)};
      CHECK(worst_gradient(config, call) < 1e-6);
    }
    SECTION(norm_first ? "norms first, rotary positions" : "norms last, rotary positions") {
      config.attention.rotary.emplace();
      CHECK(worst_gradient(config, call) < 1e-6);
    }
    SECTION(norm_first ? "norms first, relative positions" : "norms last, relative positions") {
      config.attention.relative.emplace();
      CHECK(worst_gradient(config, call) < 1e-6);
    }
    SECTION(norm_first ? "norms first, added keys" : "norms last, added keys") {
      config.attention.add_bias_kv = config.attention.add_zero_attn = true;
      CHECK(worst_gradient(config, {}) < 1e-6);
    }
  }
}

TEMPLATE_TEST_CASE("a causal layer that reads a sequence in two parts gives what it gives at once", "[blocks]", float,
                   double) {
  using T = TestType;
  for (const bool rotary : {false, true}) {
    for (const bool norm_first : {false, true}) {
      auto config = config_of<T>(8, 2);
      config.norm_first = norm_first;
      if (rotary) config.attention.rotary.emplace();
      const EncoderLayer<T> layer(config, Random(1));
      const AttentionCall<T> causal{AttentionMask<T>::causal(), {}};
      const auto x = random_tensor<T, 2>({11, 8}, 2);
      typename EncoderLayer<T>::Cache whole_cache, cache;
      const auto whole = layer.forward(x, Sequences({6, 5}), causal, whole_cache);
      Matrix<T> early({6, 8}), late({5, 8}), expected({5, 8});
      const auto copy = [](ConstMatrixView<T> from, Index first, Matrix<T>& to, Index at, Index count) {
        for (Index t = 0; t < count; ++t) std::copy_n(from.row(first + t), from.cols(), to.view().row(at + t));
      };
      copy(x, 0, early, 0, 4);
      copy(x, 4, late, 0, 2);
      copy(x, 6, early, 4, 2);
      copy(x, 8, late, 2, 3);
      copy(whole, 4, expected, 0, 2);
      copy(whole, 8, expected, 2, 3);
      const Sequences before({4, 2});
      const auto y = layer.forward(late, Sequences({2, 3}), {early, &before}, causal, cache);
      CHECK(largest_difference<T, 2>(y, expected) == 0);
    }
  }
}

TEST_CASE("sequences without earlier tokens have the bits of a layer that was given none", "[blocks]") {
  for (const bool norm_first : {false, true}) {
    auto config = config_of<float>(8, 2);
    config.norm_first = norm_first;
    const EncoderLayer<float> layer(config, Random(1));
    const AttentionCall<float> causal{AttentionMask<float>::causal(), {}};
    const Sequences sequences({3, 0, 4}), none({0, 0, 0});
    const auto x = random_tensor<float, 2>({7, 8}, 2), dy = random_tensor<float, 2>({7, 8}, 3);
    const Matrix<float> no_rows({0, 8});
    EncoderLayer<float>::Cache plain, cache;
    auto plain_grads = zeros_like(layer.parameters()), grads = plain_grads;
    CHECK(same_bits<float>(layer.forward(x, sequences, {no_rows, &none}, causal, cache),
                           layer.forward(x, sequences, causal, plain)));
    const auto d = layer.backward_with_earlier(dy, cache, grads);
    CHECK(same_bits<float>(d.dx, layer.backward(dy, plain, plain_grads)));
    CHECK(d.dearlier.rows() == 0);
    for_each_parameter([](const ParameterName& name, const auto& a,
                          const auto& b) { CHECK((name.str() + (a == b ? "" : " differs")) == name.str()); },
                       grads, plain_grads);
    // And the cache is as new: a later forward without earlier tokens is one without them.
    (void)layer.forward(x, sequences, causal, cache);
    CHECK(layer.backward_with_earlier(dy, cache, grads).dearlier.empty());
  }
}

TEST_CASE("what a sequence makes of its earlier tokens does not depend on the batch", "[blocks]") {
  auto config = config_of<float>(10, 2);
  config.norm_first = true;
  const EncoderLayer<float> layer(config, Random(1));
  const AttentionCall<float> causal{AttentionMask<float>::causal(), {}};
  const Sequences sequences({5, 1, 0, 12}), before = Sequences::with_capacity({3, 0, 7, 16}, 17);
  const auto x = random_tensor<float, 2>({18, 10}, 2), rows = random_tensor<float, 2>({before.rows(), 10}, 3),
             dy = random_tensor<float, 2>({18, 10}, 4);
  EncoderLayer<float>::Cache cache, alone_cache;
  auto grads = zeros_like(layer.parameters());
  const auto y = layer.forward(x, sequences, {rows, &before}, causal, cache);
  const auto d = layer.backward_with_earlier(dy, cache, grads);
  for (Index b = 0; b < 4; ++b) {
    const Sequences one = Sequences::single(sequences.length(b)), one_before = Sequences::single(before.length(b));
    const auto part = [&](const Matrix<float>& m, const Sequences& of) {
      return m.view().middle_rows(of.begin(b), of.length(b));
    };
    const auto y_alone = layer.forward(part(x, sequences), one, {part(rows, before), &one_before}, causal, alone_cache);
    CHECK(same_bits<float>(y_alone, y.middle_rows(sequences.begin(b), sequences.length(b))));
    const auto alone = layer.backward_with_earlier(part(dy, sequences), alone_cache, grads);
    CHECK(same_bits<float>(alone.dx, d.dx.middle_rows(sequences.begin(b), sequences.length(b))));
    CHECK(same_bits<float>(alone.dearlier, d.dearlier.middle_rows(before.begin(b), before.length(b))));
  }
}

TEST_CASE("a layer says which earlier tokens do not fit", "[blocks]") {
  const EncoderLayer<float> layer(config_of<float>(4, 2), Random(1));
  EncoderLayer<float>::Cache cache;
  const Matrix<float> x({3, 4}), narrow({2, 3}), rows({2, 4});
  const Sequences three({2, 1}), two({1, 1}), one({2}), four({4, 0});
  CHECK_THROWS_WITH(layer.forward(x, three, {narrow, &two}, {}, cache),
                    "MultiHeadAttention::forward: earlier is [2, 3], expected [*, 4]");
  CHECK_THROWS_WITH(layer.forward(x, three, {rows, &four}, {}, cache),
                    "MultiHeadAttention::forward: earlier is 2 tokens, expected 4, the rows of its sequences");
  CHECK_THROWS_WITH(layer.forward(x, three, {rows, &one}, {}, cache),
                    "MultiHeadAttention::forward: sequences of earlier is 1, expected as many as of x, 2");
}

}  // namespace encoder_layer_test
