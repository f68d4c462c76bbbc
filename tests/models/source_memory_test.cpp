#include "support/bits.hpp"
#include "support/catch.hpp"
#include "support/gradients.hpp"

#include <mat/models/source_memory.hpp>

namespace source_memory_test {

using namespace mat;
using mat::test::random_tensor;
using mat::test::same_bits;

TEST_CASE("a vanilla memory is the encoder's output itself and learns nothing", "[models]") {
  const SourceMemory<float> memory({TranslatorKind::vanilla, 4, 6, true}, Random(1));
  const auto encoded = random_tensor<float, 2>({5, 4}, 2), d = random_tensor<float, 2>({5, 4}, 3);
  SourceMemory<float>::Cache cache;
  const auto seen = memory.forward(encoded, Sequences({3, 2}), cache);
  CHECK(seen.keys.data() == encoded.data());
  CHECK(!seen.values.has_value());
  CHECK(seen.prior.empty());
  auto grads = zeros_like(memory.parameters());
  CHECK(parameter_count(grads) == 0);
  CHECK(memory.backward({{}, d, {}}, {}, cache, grads).data() == d.data());
}

TEST_CASE("a prior begins with M = H and no prior, and without a residual with the article's M", "[models]") {
  const auto encoded = random_tensor<double, 2>({5, 4}, 2);
  const Sequences sequences({3, 2});
  for (const bool residual : {true, false}) {
    const SourceMemory<double> memory({TranslatorKind::mat_prior, 4, 6, residual}, Random(1));
    SourceMemory<double>::Cache cache;
    MemoryLayer<double>::Cache layer_cache;
    const auto seen = memory.forward(encoded, sequences, cache);
    CHECK(seen.keys.data() == encoded.data());
    const auto m = memory.parameters().memory_layer->forward(encoded, layer_cache);
    CHECK(same_bits<double>(*seen.values, residual ? encoded.view() : m));
    for (Index t = 0; t < 5; ++t) CHECK(std::abs(seen.prior(t)) < 1e-15);
  }
}

TEST_CASE("a memory's parameters have the article's names", "[models]") {
  const SourceMemory<float> memory({TranslatorKind::mat_literal, 4, 6, true}, Random(1));
  CHECK(parameter_names(memory.parameters()) ==
        std::vector<std::string>{"memory_layer.fc1.weight", "memory_layer.fc1.bias", "memory_layer.fc2.weight",
                                 "memory_layer.fc2.bias", "self_attention.fc1.weight", "self_attention.fc1.bias",
                                 "self_attention.fc2.weight", "self_attention.fc2.bias"});
}

}  // namespace source_memory_test
