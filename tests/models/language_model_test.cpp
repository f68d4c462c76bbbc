#include "support/catch.hpp"

#include <mat/memory/memory_tokens.hpp>
#include <mat/memory/segment_cache.hpp>
#include <mat/models/language_model.hpp>

namespace language_model_test {

using namespace mat;

TEMPLATE_TEST_CASE(
    "LanguageModel: after a backward dx is the gradient of the embedded tokens, with and without dropout", "[models]",
    MemoryTokens<double>, SegmentCache<double>) {
  using Model = LanguageModel<double, TestType>;
  typename Model::Config config;
  config.vocabulary = 7;
  config.decoder.encoder.layer.d_model = 8;
  config.decoder.encoder.layer.nhead = 2;
  config.decoder.encoder.layer.dim_feedforward = 16;
  config.decoder.encoder.num_layers = 1;
  const Model model(config, Random(3));
  const std::vector<Index> tokens{1, 5, 1, 0};
  const std::vector<Index> lengths{3, 1};
  const Sequences sequences(lengths);
  typename Model::State state;
  model.initial(2, state);
  for (const double rate : {0.0, 0.5}) {
    typename Model::Cache cache;
    const auto logits = model.forward({{tokens, {4}}, &sequences}, state, nullptr, Dropout{rate, Random(9)}, cache);
    Matrix<double> dlogits(logits.shape());
    for (Index i = 0; i < dlogits.size(); ++i) dlogits.data()[i] = Random(4).normal(static_cast<std::uint64_t>(i));
    typename Model::State dstate;
    zero_state_like(state, dstate);
    auto grads = zeros_like(model.parameters());
    model.backward(dlogits, nullptr, state, cache, dstate, grads);
    REQUIRE(cache.dx.rows() == 4);
    Matrix<double> expected({7, 8});
    expected.fill(0);
    for (Index t = 0; t < 4; ++t) {
      for (Index j = 0; j < 8; ++j) expected(tokens[static_cast<std::size_t>(t)], j) += cache.dx(t, j);
    }
    const auto& weight = grads.embedding.parameters().weight;
    for (Index i = 0; i < weight.size(); ++i) CHECK(weight.data()[i] == Approx(expected.data()[i]).margin(1e-12));
  }
}

}  // namespace language_model_test
