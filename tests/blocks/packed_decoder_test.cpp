#include "support/allocations.hpp"
#include "support/bits.hpp"
#include "support/catch.hpp"
#include "support/gradients.hpp"

#include <mat/blocks/packed_decoder.hpp>

namespace packed_decoder_test {

using namespace mat;
using mat::test::random_tensor;
using mat::test::same_bits;

namespace {

template <class T>
typename TransformerDecoder<T>::Config config_of() {
  typename TransformerDecoder<T>::Config config;
  config.layer.d_model = 24;
  config.layer.nhead = 4;
  config.layer.dim_feedforward = 50;
  config.num_layers = 3;
  return config;
}

/// Decoders of every kind that packs: (name, config).
template <class T>
std::vector<std::pair<std::string, typename TransformerDecoder<T>::Config>> kinds() {
  auto plain = config_of<T>(), first = config_of<T>(), rotary = config_of<T>(), shared = config_of<T>();
  first.layer.norm_first = first.final_norm = true;
  rotary.layer.attention.rotary.emplace();
  rotary.layer.gated = true;
  rotary.layer.bias = false;
  shared.layer.attention.kv_heads = 2;
  shared.layer.attention.alibi = true;
  shared.layer.attention.softcap = 5;
  return {{"norms last", plain}, {"norms first", first}, {"rotary, gated", rotary}, {"shared heads, ALiBi", shared}};
}

}  // namespace

TEMPLATE_TEST_CASE("a packed decoder that reads piece by piece has the bits of the decoder", "[blocks]", float,
                   double) {
  using T = TestType;
  const auto x = random_tensor<T, 2>({2 * 30, 24}, 2), keys = random_tensor<T, 2>({13, 24}, 3),
             values = random_tensor<T, 2>({13, 24}, 4);
  const auto key_bias = random_tensor<T, 1>({13}, 5);
  const Sequences all({30, 30}), memory_sequences({12, 1});
  for (const auto& [name, config] : kinds<T>()) {
    INFO(name);
    const TransformerDecoder<T> decoder(config, Random(1));
    const PackedDecoder<T> packed(decoder);
    typename TransformerDecoder<T>::Cache whole_cache;
    typename PackedDecoder<T>::Cache cache;
    const auto whole =
        decoder.infer({x, keys, &all, &memory_sequences, values.view()},
                      {AttentionMask<T>::causal(), AttentionMask<T>::none().and_key_bias(key_bias), {}}, whole_cache);
    const auto memory = packed.remember(keys, values, memory_sequences, key_bias);
    KeyValueCache<T> earlier = packed.key_value_cache(2, 32);
    Index done[2] = {0, 0};
    for (const auto& lengths : std::vector<std::vector<Index>>{{1, 7}, {1, 0}, {10, 1}, {0, 1}, {18, 21}}) {
      const Sequences added(lengths);
      Matrix<T> piece({added.rows(), 24});
      for (Index b = 0, row = 0; b < 2; ++b) {
        for (Index i = 0; i < added.length(b); ++i) {
          std::copy_n(x.view().row(30 * b + done[b] + i), 24, piece.view().row(row++));
        }
      }
      const auto y = packed.extend({piece, added, added}, memory, earlier, cache);
      for (Index b = 0; b < 2; ++b) {
        CHECK(same_bits<T>(y.middle_rows(added.begin(b), added.length(b)),
                           whole.middle_rows(30 * b + done[b], added.length(b))));
        done[b] += added.length(b);
      }
    }
    CHECK(done[0] + done[1] == 60);
  }
}

TEST_CASE("a decoder's steps allocate nothing after the first", "[blocks]") {
  if (!mat::test::allocations_are_counted()) {
    WARN("skipped: under a sanitizer allocations are not counted");
    return;
  }
  const PackedDecoder<float> packed(TransformerDecoder<float>(config_of<float>(), Random(1)), WeightStorage::int8);
  const auto keys = random_tensor<float, 2>({9, 24}, 3), x = random_tensor<float, 2>({3, 24}, 2);
  const Sequences source = Sequences::single(9), three({1, 1, 1}), together = Sequences::single(3);
  PackedDecoder<float>::Cache cache;
  const auto memory = packed.remember(keys, keys, source);
  auto earlier = packed.key_value_cache(3, 40);
  (void)packed.extend({x, three, together}, memory, earlier, cache);
  const long before = mat::test::allocations();
  for (int i = 0; i < 30; ++i) {
    (void)packed.extend({x, three, together}, memory, earlier, cache);
    earlier.fork(0, 2);
  }
  CHECK(mat::test::allocations() == before);
}

TEST_CASE("a packed decoder says what is wrong", "[blocks]") {
  const PackedDecoder<float> packed(TransformerDecoder<float>(config_of<float>(), Random(1)));
  PackedDecoder<float>::Cache cache;
  const auto x = random_tensor<float, 2>({4, 24}, 2);
  const Sequences four = Sequences::single(4), three = Sequences::single(3);
  CHECK_THROWS_WITH(packed.remember(x, x, three),
                    "PackedCrossAttention::remember: key is 4 tokens, expected 3, the rows of its sequences");
  const Vector<float> bias({3});
  CHECK_THROWS_WITH(packed.remember(x, x, four, bias), "PackedDecoder::remember: key_bias is [3], expected [4]");
  auto memory = packed.remember(x, x, four);
  auto earlier = packed.key_value_cache(1, 6);
  (void)packed.extend({x, four, four}, memory, earlier, cache);
  CHECK_THROWS_WITH(packed.extend({x, four, four}, memory, earlier, cache),
                    "KeyValueCache: tokens of a sequence is 8, expected at most its capacity of 6");
  CHECK_THROWS_WITH(packed.extend({x, four, three}, memory, earlier, cache),
                    "PackedDecoder::extend: x is 4 tokens, expected 3, the rows of its sequences");
  KeyValueCache<float> small({2, 4, 6, 1, 6});
  CHECK_THROWS_WITH(packed.extend({x, four, four}, memory, small, cache),
                    "PackedDecoder::extend: cache's layers is 2, expected those of the decoder, 3");
  memory.layers.pop_back();
  CHECK_THROWS_WITH(packed.extend({x, four, four}, memory, earlier, cache),
                    "PackedDecoder::extend: memory's layers is 2, expected those of the decoder, 3");
}

}  // namespace packed_decoder_test
