#include "support/bits.hpp"
#include "support/catch.hpp"
#include "support/gradients.hpp"

#include <mat/blocks/transformer_decoder.hpp>

namespace transformer_decoder_test {

using namespace mat;
using mat::test::gradient_error;
using mat::test::inner_product;
using mat::test::largest_difference;
using mat::test::parameter_gradient_error;
using mat::test::random_tensor;
using mat::test::same_bits;

namespace {

template <class T>
typename TransformerDecoder<T>::Config config_of(Index d_model, Index nhead, Index num_layers) {
  typename TransformerDecoder<T>::Config config;
  config.layer.d_model = d_model;
  config.layer.nhead = nhead;
  config.layer.dim_feedforward = 7;
  config.layer.activation = Activation::gelu;
  config.num_layers = num_layers;
  return config;
}

/// Three sentences and what they are translated from: one of the sources is empty, and one of the targets.
template <class T>
struct RaggedBatch {
  Sequences tgt_sequences{std::vector<Index>{3, 0, 2, 4}}, memory_sequences{std::vector<Index>{2, 3, 0, 5}};
  Matrix<T> tgt, memory, values, dy;
  Vector<T> key_bias;

  explicit RaggedBatch(Index d)
      : tgt(random_tensor<T, 2>({9, d}, 2)),
        memory(random_tensor<T, 2>({10, d}, 3)),
        values(random_tensor<T, 2>({10, d}, 4)),
        dy(random_tensor<T, 2>({9, d}, 5)),
        key_bias(random_tensor<T, 1>({10}, 6)) {}
  [[nodiscard]] DecoderInputs<T> inputs() const { return {tgt, memory, &tgt_sequences, &memory_sequences, {}}; }
};

double worst_gradient(const TransformerDecoder<double>::Config& config, DecoderCall<double> call, bool with_values) {
  TransformerDecoder<double> decoder(config, Random(1));
  RaggedBatch<double> batch(config.layer.d_model);
  if (with_values) call.memory_mask = call.memory_mask.and_key_bias(batch.key_bias);
  const auto inputs = [&] {
    auto all = batch.inputs();
    if (with_values) all.memory_values = batch.values.view();
    return all;
  };
  TransformerDecoder<double>::Cache cache, scratch;
  auto grads = zeros_like(decoder.parameters());
  Vector<double> dkey_bias({with_values ? Index{10} : Index{0}});
  (void)decoder.forward(inputs(), call, cache);
  const auto d = decoder.backward(batch.dy, cache, grads, dkey_bias);
  const auto loss = [&] { return inner_product(decoder.forward(inputs(), call, scratch), batch.dy); };
  std::string name;
  double worst = std::max({gradient_error(loss, batch.tgt, Matrix<double>(d.dtgt)),
                           gradient_error(loss, batch.memory, Matrix<double>(d.dmemory)),
                           parameter_gradient_error(loss, decoder.parameters(), grads, name)});
  if (with_values) {
    worst = std::max({worst, gradient_error(loss, batch.values, Matrix<double>(d.dmemory_values)),
                      gradient_error(loss, batch.key_bias, dkey_bias)});
  }
  return worst;
}

}  // namespace

TEST_CASE("a decoder's gradients agree with central differences", "[blocks]") {
  auto config = config_of<double>(4, 2, 2);
  DecoderCall<double> call;
  call.tgt_mask = AttentionMask<double>::causal();
  SECTION("with the norms last") {
    CHECK(worst_gradient(config, call, false) < 1e-6);
    call.dropout = {0.2, Random(7)};
    CHECK(worst_gradient(config, call, true) < 1e-6);
  }
  SECTION("with the norms first and a final norm") {
    config.layer.norm_first = config.final_norm = true;
    CHECK(worst_gradient(config, call, true) < 1e-6);
    call.dropout = {0.2, Random(7)};
    CHECK(worst_gradient(config, call, false) < 1e-6);
  }
  SECTION("with shared heads, a gated feed-forward, rotary positions and no biases") {
    config.layer.attention.kv_heads = 1;
    config.layer.gated = true;
    config.layer.bias = false;
    config.layer.attention.rotary.emplace();
    CHECK(worst_gradient(config, call, false) < 1e-6);
  }
}

TEST_CASE("a decoder's layers do what PyTorch's equation says", "[blocks]") {
  for (const bool norm_first : {false, true}) {
    auto config = config_of<double>(4, 2, 1);
    config.layer.norm_first = norm_first;
    const TransformerDecoder<double> decoder(config, Random(1));
    const RaggedBatch<double> batch(4);
    const auto causal = AttentionMask<double>::causal();
    TransformerDecoder<double>::Cache cache;
    const Matrix<double> y(decoder.forward(batch.inputs(), {causal, {}, {}}, cache));

    const auto& p = decoder.parameters().layers[0].parameters();
    MultiHeadAttention<double>::Cache self_cache, cross_cache;
    FeedForward<double>::Cache ff_cache;
    LayerNorm<double>::Cache n1, n2, n3;
    const auto self = [&](ConstMatrixView<double> x) {
      return p.self_attn.forward(x, batch.tgt_sequences, {causal, {}}, self_cache);
    };
    const auto cross = [&](ConstMatrixView<double> x) {
      return p.multihead_attn.forward({x, batch.memory, batch.memory, &batch.tgt_sequences, &batch.memory_sequences},
                                      {}, cross_cache);
    };
    const auto sum = [](ConstMatrixView<double> a, ConstMatrixView<double> b) {
      Matrix<double> s(a.shape());
      add<double>(a, b, s);
      return s;
    };
    Matrix<double> x;
    if (norm_first) {
      x = sum(batch.tgt, self(p.norm1.forward(batch.tgt, n1)));
      x = sum(x, cross(p.norm2.forward(x, n2)));
      x = sum(x, p.feed_forward.forward(p.norm3.forward(x, n3), {}, ff_cache));
    } else {
      x = sum(batch.tgt, self(batch.tgt));
      x = Matrix<double>(p.norm1.forward(x, n1));
      x = sum(x, cross(x));
      x = Matrix<double>(p.norm2.forward(x, n2));
      x = sum(x, p.feed_forward.forward(x, {}, ff_cache));
      x = Matrix<double>(p.norm3.forward(x, n3));
    }
    CHECK(same_bits(x, y));
  }
}

TEST_CASE("a decoder's parameters have PyTorch's names", "[blocks]") {
  auto config = config_of<float>(4, 2, 1);
  config.final_norm = true;
  const TransformerDecoder<float> decoder(config, Random(1));
  CHECK(parameter_names(decoder.parameters()) == std::vector<std::string>{"layers.0.self_attn.in_proj_weight",
                                                                          "layers.0.self_attn.in_proj_bias",
                                                                          "layers.0.self_attn.out_proj.weight",
                                                                          "layers.0.self_attn.out_proj.bias",
                                                                          "layers.0.multihead_attn.in_proj_weight",
                                                                          "layers.0.multihead_attn.in_proj_bias",
                                                                          "layers.0.multihead_attn.out_proj.weight",
                                                                          "layers.0.multihead_attn.out_proj.bias",
                                                                          "layers.0.linear1.weight",
                                                                          "layers.0.linear1.bias",
                                                                          "layers.0.linear2.weight",
                                                                          "layers.0.linear2.bias",
                                                                          "layers.0.norm1.weight",
                                                                          "layers.0.norm1.bias",
                                                                          "layers.0.norm2.weight",
                                                                          "layers.0.norm2.bias",
                                                                          "layers.0.norm3.weight",
                                                                          "layers.0.norm3.bias",
                                                                          "norm.weight",
                                                                          "norm.bias"});
}

TEST_CASE("backward of a decoder adds to the gradients", "[blocks]") {
  const TransformerDecoder<double> decoder(config_of<double>(4, 2, 2), Random(1));
  const RaggedBatch<double> batch(4);
  TransformerDecoder<double>::Cache cache;
  auto once = zeros_like(decoder.parameters()), twice = once;
  (void)decoder.forward(batch.inputs(), {}, cache);
  (void)decoder.backward(batch.dy, cache, once);
  (void)decoder.backward(batch.dy, cache, twice);
  (void)decoder.backward(batch.dy, cache, twice);
  double worst = 0;
  for_each_parameter(
      [&](const ParameterName&, const auto& one, const auto& two) {
        for (Index i = 0; i < one.size(); ++i) worst = std::max(worst, std::abs(two.data()[i] - 2 * one.data()[i]));
      },
      once, twice);
  CHECK(worst < 1e-12);
}

TEMPLATE_TEST_CASE("a sentence has the same bits alone and in any batch of a decoder", "[blocks]", float, double) {
  using T = TestType;
  for (const bool norm_first : {false, true}) {
    auto config = config_of<T>(10, 2, 2);
    config.layer.norm_first = norm_first;
    const TransformerDecoder<T> decoder(config, Random(1));
    const RaggedBatch<T> batch(10);
    const DecoderCall<T> call{AttentionMask<T>::causal(), {}, {}};
    typename TransformerDecoder<T>::Cache cache, alone_cache;
    const auto y = decoder.forward(batch.inputs(), call, cache);
    for (Index b = 0; b < 4; ++b) {
      const Sequences tgt_one = Sequences::single(batch.tgt_sequences.length(b)),
                      memory_one = Sequences::single(batch.memory_sequences.length(b));
      const Matrix<T> tgt(batch.tgt.view().middle_rows(batch.tgt_sequences.begin(b), tgt_one.rows())),
          memory(batch.memory.view().middle_rows(batch.memory_sequences.begin(b), memory_one.rows()));
      const auto alone = decoder.forward({tgt, memory, &tgt_one, &memory_one, {}}, call, alone_cache);
      CHECK(largest_difference<T, 2>(alone, y.middle_rows(batch.tgt_sequences.begin(b), tgt_one.rows())) == 0);
    }
  }
}

TEST_CASE("a decoder's inference gives the bits of forward with the memory of two layers", "[blocks]") {
  const TransformerDecoder<float> decoder(config_of<float>(8, 2, 5), Random(1));
  const RaggedBatch<float> batch(8);
  TransformerDecoder<float>::Cache training, inference;
  const auto y = decoder.forward(batch.inputs(), {}, training);
  CHECK(largest_difference<float, 2>(decoder.infer(batch.inputs(), {}, inference), y) == 0);
  CHECK(training.layers.size() == 5);
  CHECK(inference.layers.size() == 2);
}

TEST_CASE("values that are the memory itself change nothing", "[blocks]") {
  const TransformerDecoder<double> decoder(config_of<double>(4, 2, 2), Random(1));
  const RaggedBatch<double> batch(4);
  auto inputs = batch.inputs();
  TransformerDecoder<double>::Cache one, two;
  auto grads = zeros_like(decoder.parameters());
  const Matrix<double> y(decoder.forward(inputs, {}, one)), dmemory(decoder.backward(batch.dy, one, grads).dmemory);
  inputs.memory_values = batch.memory.view();
  CHECK(same_bits<double>(decoder.forward(inputs, {}, two), y));
  const auto d = decoder.backward(batch.dy, two, grads);
  Matrix<double> sum(dmemory.shape());
  add<double>(d.dmemory, d.dmemory_values, sum);
  CHECK(largest_difference(sum, dmemory) < 1e-14);
}

TEST_CASE("a decoder says what does not fit", "[blocks]") {
  auto config = config_of<float>(4, 2, 1);
  config.num_layers = -1;
  CHECK_THROWS_WITH(TransformerDecoder<float>(config, Random(1)),
                    "TransformerDecoder: num_layers is -1, expected at least 0");
  const TransformerDecoder<float> decoder(config_of<float>(4, 2, 1), Random(1));
  TransformerDecoder<float>::Cache cache;
  const Matrix<float> tgt({3, 4}), memory({2, 4}), wide({2, 5});
  const Sequences three = Sequences::single(3), two = Sequences::single(2), pair({1, 1});
  CHECK_THROWS_WITH(decoder.forward({tgt, wide, &three, &two, {}}, {}, cache),
                    "MultiHeadAttention::forward: key is [2, 5], expected [*, 4]");
  CHECK_THROWS_WITH(decoder.forward({tgt, memory, &three, &pair, {}}, {}, cache),
                    "attention_forward: the number of key sequences is 2, expected that of the queries, 1");
}

}  // namespace transformer_decoder_test
