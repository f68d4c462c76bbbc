#include "support/catch.hpp"
#include "support/gradients.hpp"

#include <mat/blocks/transformer_encoder.hpp>

namespace transformer_encoder_test {

using namespace mat;
using mat::test::gradient_error;
using mat::test::inner_product;
using mat::test::largest_difference;
using mat::test::parameter_gradient_error;
using mat::test::random_tensor;

namespace {

template <class T>
typename TransformerEncoder<T>::Config config_of(Index d_model, Index nhead, Index num_layers) {
  typename TransformerEncoder<T>::Config config;
  config.layer.d_model = d_model;
  config.layer.nhead = nhead;
  config.layer.dim_feedforward = 7;
  config.num_layers = num_layers;
  return config;
}

double worst_gradient(const TransformerEncoder<double>::Config& config, const AttentionCall<double>& call) {
  TransformerEncoder<double> encoder(config, Random(1));
  const Sequences sequences({3, 0, 1, 4});
  auto x = random_tensor<double, 2>({8, config.layer.d_model}, 2);
  const auto dy = random_tensor<double, 2>(x.shape(), 3);
  TransformerEncoder<double>::Cache cache, scratch;
  auto grads = zeros_like(encoder.parameters());
  (void)encoder.forward(x, sequences, call, cache);
  const Matrix<double> dx(encoder.backward(dy, cache, grads));
  const auto loss = [&] { return inner_product(encoder.forward(x, sequences, call, scratch), dy); };
  std::string name;
  return std::max(gradient_error(loss, x, dx), parameter_gradient_error(loss, encoder.parameters(), grads, name));
}

}  // namespace

TEST_CASE("an encoder's gradients agree with central differences", "[blocks]") {
  AttentionCall<double> call;
  auto config = config_of<double>(4, 2, 2);
  config.layer.activation = Activation::gelu;
  SECTION("with the norms last") { CHECK(worst_gradient(config, call) < 1e-6); }
  SECTION("with the norms first, a final norm, a mask and dropout") {
    config.layer.norm_first = config.final_norm = true;
    call.mask = AttentionMask<double>::causal();
    call.dropout = {0.2, Random(7)};
    CHECK(worst_gradient(config, call) < 1e-6);
  }
  SECTION("with the norms last and dropout") {
    call.dropout = {0.2, Random(7)};
    CHECK(worst_gradient(config, call) < 1e-6);
  }
  SECTION("with a gated feed-forward, rotary positions and no biases") {
    config.layer.activation = Activation::silu;
    config.layer.gated = true;
    config.layer.bias = false;
    config.layer.attention.rotary.emplace();
    CHECK(worst_gradient(config, call) < 1e-6);
  }
}

TEST_CASE("an encoder's parameters have PyTorch's names", "[blocks]") {
  auto config = config_of<float>(4, 2, 1);
  config.final_norm = true;
  const TransformerEncoder<float> encoder(config, Random(1));
  CHECK(parameter_names(encoder.parameters()) ==
        std::vector<std::string>{"layers.0.self_attn.in_proj_weight", "layers.0.self_attn.in_proj_bias",
                                 "layers.0.self_attn.out_proj.weight", "layers.0.self_attn.out_proj.bias",
                                 "layers.0.linear1.weight", "layers.0.linear1.bias", "layers.0.linear2.weight",
                                 "layers.0.linear2.bias", "layers.0.norm1.weight", "layers.0.norm1.bias",
                                 "layers.0.norm2.weight", "layers.0.norm2.bias", "norm.weight", "norm.bias"});
}

TEST_CASE("the layers of an encoder start from different weights", "[blocks]") {
  const TransformerEncoder<float> encoder(config_of<float>(4, 2, 2), Random(1));
  const auto& layers = encoder.parameters().layers;
  CHECK(layers[0].parameters().self_attn.parameters().in_proj_weight !=
        layers[1].parameters().self_attn.parameters().in_proj_weight);
}

TEMPLATE_TEST_CASE("a sequence has the same bits alone and in any batch", "[blocks]", float, double) {
  using T = TestType;
  for (const bool norm_first : {false, true}) {
    auto config = config_of<T>(10, 2, 2);  // rows of 10 numbers begin at every alignment
    config.layer.norm_first = norm_first;
    config.layer.activation = Activation::gelu_tanh;
    const TransformerEncoder<T> encoder(config, Random(1));
    const Sequences batch({5, 1, 33, 0, 12});
    const auto x = random_tensor<T, 2>({batch.rows(), 10}, 2);
    typename TransformerEncoder<T>::Cache cache, alone_cache;
    const auto y = encoder.forward(x, batch, {}, cache);
    for (Index b = 0; b < batch.count(); ++b) {
      const Matrix<T> alone(x.view().middle_rows(batch.begin(b), batch.length(b)));
      const auto y_alone = encoder.forward(alone, Sequences::single(batch.length(b)), {}, alone_cache);
      CHECK(largest_difference<T, 2>(y_alone, y.middle_rows(batch.begin(b), batch.length(b))) == 0);
    }
  }
}

TEST_CASE("inference gives the bits of forward with the memory of two layers", "[blocks]") {
  const TransformerEncoder<float> encoder(config_of<float>(8, 2, 5), Random(1));
  const Sequences sequences({6, 3});
  const auto x = random_tensor<float, 2>({9, 8}, 2);
  TransformerEncoder<float>::Cache training, inference;
  const auto y = encoder.forward(x, sequences, {}, training);
  CHECK(largest_difference<float, 2>(encoder.infer(x, sequences, {}, inference), y) == 0);
  CHECK(training.layers.size() == 5);
  CHECK(inference.layers.size() == 2);
}

TEST_CASE("a causal encoder does not look ahead", "[blocks]") {
  const TransformerEncoder<float> encoder(config_of<float>(8, 2, 2), Random(1));
  const AttentionCall<float> causal{AttentionMask<float>::causal(), {}};
  auto x = random_tensor<float, 2>({40, 8}, 2);
  TransformerEncoder<float>::Cache before, after;
  const auto y = encoder.forward(x, Sequences::single(40), causal, before);
  x(30, 3) += 1;
  const auto y_changed = encoder.forward(x, Sequences::single(40), causal, after);
  CHECK(largest_difference<float, 2>(y.middle_rows(0, 30), y_changed.middle_rows(0, 30)) == 0);
  CHECK(largest_difference<float, 2>(y.middle_rows(30, 10), y_changed.middle_rows(30, 10)) > 0);
}

TEST_CASE("a NaN in one sequence leaves the others as they are", "[blocks]") {
  const TransformerEncoder<float> encoder(config_of<float>(8, 2, 2), Random(1));
  const Sequences sequences({4, 5, 3});
  auto x = random_tensor<float, 2>({12, 8}, 2);
  TransformerEncoder<float>::Cache clean, soiled;
  const auto y = encoder.forward(x, sequences, {}, clean);
  x(6, 0) = NAN;
  x(5, 1) = INFINITY;
  const auto y_soiled = encoder.forward(x, sequences, {}, soiled);
  CHECK(largest_difference<float, 2>(y.middle_rows(0, 4), y_soiled.middle_rows(0, 4)) == 0);
  CHECK(largest_difference<float, 2>(y.middle_rows(9, 3), y_soiled.middle_rows(9, 3)) == 0);
  CHECK(std::isnan(y_soiled(6, 0)));
}

}  // namespace transformer_encoder_test
