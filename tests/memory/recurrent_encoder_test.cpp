#include "support/catch.hpp"
#include "support/gradients.hpp"

#include <mat/memory/delta_memory.hpp>
#include <mat/memory/memory_tokens.hpp>
#include <mat/memory/recurrent_encoder.hpp>

namespace recurrent_encoder_test {

using namespace mat;
using mat::test::random_tensor;

namespace {

using Encoder = RecurrentEncoder<double, DeltaMemory<double>>;

Encoder::Config small_config() {
  Encoder::Config config;
  config.encoder.layer.d_model = 4;
  config.encoder.layer.nhead = 2;
  config.encoder.layer.dim_feedforward = 6;
  config.encoder.layer.norm_first = true;
  config.encoder.num_layers = 2;
  config.memory.heads = 2;
  return config;
}

}  // namespace

TEST_CASE("the norms before a memory are like those of the layers", "[memory]") {
  for (const bool bias : {true, false}) {
    auto config = small_config();
    config.encoder.layer.bias = bias;
    Index norms = 0, with_bias = 0;
    for (const std::string& name : parameter_names(Encoder(config, Random(1)).parameters())) {
      if (name.find("_norms.") == std::string::npos) continue;
      norms += name.find(".weight") != std::string::npos ? 1 : 0;
      with_bias += name.find(".bias") != std::string::npos ? 1 : 0;
    }
    CHECK(norms == 4);
    CHECK(with_bias == (bias ? 4 : 0));
  }
}

TEST_CASE("the rows that memory tokens write have passed the encoder's last norm", "[memory]") {
  using Tokens = RecurrentEncoder<double, MemoryTokens<double>>;
  Tokens::Config config;
  config.encoder = small_config().encoder;
  config.encoder.final_norm = true;
  config.memory.count = 2;
  Tokens encoder(config, Random(1));
  auto& norm = encoder.parameters().encoder.parameters().norm->parameters();
  norm.weight.fill(0);
  norm.bias.fill(3);
  const auto x = random_tensor<double, 2>({5, 4}, 1);
  const Sequences sequences = Sequences::uniform(1, 5);
  Tokens::State state, next;
  Tokens::Cache cache;
  encoder.initial(1, state);
  const auto y = encoder.forward({x, &sequences}, state, &next, {}, cache);
  Matrix<double> threes({5, 4});
  threes.fill(3);
  CHECK(Matrix<double>(y) == threes);
  CHECK(next.memories[0].rows == Matrix<double>(threes.view().middle_rows(0, 2)));
}

TEST_CASE("RecurrentEncoder refuses a segment that does not fit", "[memory]") {
  const Encoder encoder(small_config(), Random(1));
  Encoder::State state, next;
  Encoder::Cache cache;
  encoder.initial(2, state);
  const auto x = random_tensor<double, 2>({3, 4}, 1);
  const Sequences two({1, 1});
  CHECK_THROWS_WITH(encoder.forward({x, &two}, state, &next, {}, cache),
                    "RecurrentEncoder::forward: x is 3 tokens, expected 2, the rows of its sequences");
  const auto y = random_tensor<double, 2>({2, 4}, 1);
  state.memories.pop_back();
  CHECK_THROWS_WITH(encoder.forward({y, &two}, state, &next, {}, cache),
                    "RecurrentEncoder::forward: the state's memories is 1, expected those of the encoder, 2");
  CHECK_THROWS_WITH(encoder.forward({x, nullptr}, state, &next, {}, cache),
                    "RecurrentEncoder::forward: x is without sequences, expected the Sequences that divide its tokens");
}

TEST_CASE("memory tokens need a layer to pass through", "[memory]") {
  using Encoder = RecurrentEncoder<float, MemoryTokens<float>>;
  Encoder::Config config;
  config.encoder.num_layers = 0;
  config.encoder.layer.d_model = 4;
  CHECK_THROWS_WITH(Encoder(config, Random(1)),
                    "RecurrentEncoder: num_layers is 0, expected at least 1 with memory tokens");
}

}  // namespace recurrent_encoder_test
