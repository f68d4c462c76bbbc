#include "support/catch.hpp"
#include "support/gradients.hpp"
#include "support/threads.hpp"

#include <mat/models/decoding.hpp>

namespace translator_threads_test {

using namespace mat;
using mat::test::random_tensor;

namespace {

struct Outcome {
  Matrix<float> logits;
  Translator<float>::Parameters grads;
  Hypotheses found;
};

/// Logits, gradients and translations of sources long enough to be shared among threads.
Outcome outcome_of(int threads) {
  const test::Threads set(threads);
  Translator<float>::Config config;
  config.source_vocabulary = config.target_vocabulary = 600;
  config.layer.d_model = 48;
  config.layer.nhead = 4;
  config.layer.dim_feedforward = 96;
  config.num_encoder_layers = config.num_decoder_layers = 2;
  config.kind = TranslatorKind::mat_prior;
  Translator<float> model(config, Random(1));
  initialize_normal<float>(
      model.parameters().source_memory.parameters().self_attention->parameters().fc2.parameters().weight, 0.5,
      Random(2));
  const Sequences sequences({300, 1, 0, 130, 77});
  std::vector<Index> ids;
  for (Index t = 0; t < sequences.rows(); ++t) ids.push_back(Random(3).below(static_cast<std::uint64_t>(t), 600));
  const ConstVectorView<Index> view(ids, {sequences.rows()});
  Translator<float>::Cache cache;
  Outcome outcome{{}, zeros_like(model.parameters()), {}};
  outcome.logits.assign(model.forward({view, view, &sequences, &sequences}, {0.1, Random(4)}, cache));
  const auto dlogits = random_tensor<float, 2>(outcome.logits.shape(), 5);
  model.backward(dlogits, cache, outcome.grads);
  // So many hypotheses that their scores alone, 600 for each, are shared: 96 * 4 * 600 * 16 multiplications.
  std::vector<std::vector<Index>> sources;
  for (Index b = 0; b < 96; ++b) sources.emplace_back(ids.begin() + b, ids.begin() + 2 * b);
  static_assert(96 * 4 * 600 * 16 > kParallelGrain);
  DecodingConfig decoding;
  decoding.end_token = 1;
  decoding.max_length = 12;
  outcome.found = translate(PackedTranslator<float>(model), sources, decoding);
  return outcome;
}

}  // namespace

TEST_CASE("any number of threads gives the same logits, gradients and translations", "[models]") {
  const Outcome one = outcome_of(1), three = outcome_of(3);
  CHECK(one.logits == three.logits);
  for_each_parameter([](const ParameterName&, const auto& a, const auto& b) { CHECK(a == b); }, one.grads, three.grads);
  REQUIRE(one.found.size() == three.found.size());
  for (std::size_t b = 0; b < one.found.size(); ++b) {
    CHECK(one.found[b].front().tokens == three.found[b].front().tokens);
    CHECK(one.found[b].front().score == three.found[b].front().score);
  }
}

}  // namespace translator_threads_test
