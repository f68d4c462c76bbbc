#include "support/catch.hpp"
#include "support/gradients.hpp"

#include <mat/models/transformer.hpp>

namespace transformer_test {

using namespace mat;
using mat::test::gradient_error;
using mat::test::inner_product;
using mat::test::largest_difference;
using mat::test::parameter_gradient_error;
using mat::test::random_tensor;

namespace {

Transformer<double>::Config config_of(bool norm_first) {
  Transformer<double>::Config config;
  config.layer.d_model = 4;
  config.layer.nhead = 2;
  config.layer.dim_feedforward = 6;
  config.layer.activation = Activation::gelu;
  config.layer.norm_first = norm_first;
  config.num_encoder_layers = 2;
  config.num_decoder_layers = 1;
  return config;
}

}  // namespace

TEST_CASE("a Transformer's gradients agree with central differences", "[models]") {
  const Sequences src_sequences({3, 0, 1, 4}), tgt_sequences({2, 1, 0, 3});
  for (const bool norm_first : {false, true}) {
    Transformer<double> model(config_of(norm_first), Random(1));
    auto src = random_tensor<double, 2>({8, 4}, 2), tgt = random_tensor<double, 2>({6, 4}, 3);
    const auto dy = random_tensor<double, 2>({6, 4}, 4);
    for (const double rate : {0.0, 0.2}) {
      Transformer<double>::Call call;
      call.tgt_mask = AttentionMask<double>::causal();
      call.dropout = {rate, Random(5)};
      Transformer<double>::Cache cache, scratch;
      const auto forward = [&](auto& in) {
        return model.forward({src, tgt, &src_sequences, &tgt_sequences}, call, in);
      };
      auto grads = zeros_like(model.parameters());
      (void)forward(cache);
      const auto d = model.backward(dy, cache, grads);
      const auto loss = [&] { return inner_product(forward(scratch), dy); };
      std::string name;
      CHECK(gradient_error(loss, src, Matrix<double>(d.dsrc)) < 1e-6);
      CHECK(gradient_error(loss, tgt, Matrix<double>(d.dtgt)) < 1e-6);
      CHECK(parameter_gradient_error(loss, model.parameters(), grads, name) < 1e-6);
    }
  }
}

TEST_CASE("a Transformer is its encoder and its decoder, each with a norm at its end", "[models]") {
  const Transformer<double> model(config_of(false), Random(1));
  const auto& p = model.parameters();
  const auto names = parameter_names(p);
  CHECK(names.front() == "encoder.layers.0.self_attn.in_proj_weight");
  CHECK(std::count(names.begin(), names.end(), "encoder.norm.weight") == 1);
  CHECK(std::count(names.begin(), names.end(), "decoder.layers.0.multihead_attn.in_proj_weight") == 1);
  CHECK(names.back() == "decoder.norm.bias");

  const Sequences src_sequences({3, 2}), tgt_sequences({1, 4});
  const auto src = random_tensor<double, 2>({5, 4}, 2), tgt = random_tensor<double, 2>({5, 4}, 3);
  Transformer<double>::Cache cache;
  TransformerEncoder<double>::Cache encoder;
  TransformerDecoder<double>::Cache decoder;
  const auto y = model.forward({src, tgt, &src_sequences, &tgt_sequences}, {}, cache);
  const auto memory = p.encoder.forward(src, src_sequences, {}, encoder);
  CHECK(largest_difference<double, 2>(
            y, p.decoder.forward({tgt, memory, &tgt_sequences, &src_sequences, {}}, {}, decoder)) == 0);
}

}  // namespace transformer_test
