#include "support/catch.hpp"

#include <mat/models/any_language_model.hpp>

namespace any_language_model_test {

using namespace mat;

TEST_CASE("a language model has the sizes and the memory of its settings", "[models]") {
  LanguageModelSettings settings;
  settings.memory = MemoryKind::tokens;
  settings.memory_rows = 3;
  settings.vocabulary = 7;
  settings.dim = 8;
  settings.hidden = 12;
  settings.heads = 2;
  settings.layers = 3;
  for (const bool tied : {false, true}) {
    settings.tied = tied;
    const auto model = make_language_model<float>(settings, Random(1));
    const auto& p = model.parameters();
    CHECK(p.embedding.parameters().weight.shape() == Matrix<float>({7, 8}).shape());
    CHECK(p.head.has_value() == !tied);
    const auto& decoder = p.decoder.parameters();
    REQUIRE(decoder.encoder.parameters().layers.size() == 3);
    CHECK(decoder.encoder.config().layer.dim_feedforward == 12);
    CHECK(decoder.encoder.config().layer.nhead == 2);
    REQUIRE(decoder.memories.size() == 1);
    CHECK(std::get<MemoryTokens<float>>(decoder.memories[0].parameters().memory).config().count == 3);
    CHECK(std::get<MemoryTokens<float>>(decoder.memories[0].parameters().memory).config().causal);
  }
  settings.memory = MemoryKind::delta;
  settings.memory_layer = 1;
  CHECK(make_language_model<float>(settings, Random(1)).parameters().decoder.parameters().memories.size() == 1);
  settings.memory_layer = -1;
  CHECK(make_language_model<float>(settings, Random(1)).parameters().decoder.parameters().memories.size() == 3);
}

}  // namespace any_language_model_test
