#include "support/allocations.hpp"
#include "support/bits.hpp"
#include "support/catch.hpp"
#include "support/gradients.hpp"

#include <mat/blocks/packed_encoder.hpp>

namespace packed_encoder_test {

using namespace mat;
using mat::test::largest_difference;
using mat::test::random_tensor;
using mat::test::same_bits;

namespace {

template <class T>
typename TransformerEncoder<T>::Config config_of() {
  typename TransformerEncoder<T>::Config config;
  config.layer.d_model = 24;
  config.layer.nhead = 4;
  config.layer.dim_feedforward = 50;
  config.layer.activation = Activation::gelu;
  config.num_layers = 3;
  return config;
}

/// Encoders of every kind that packs: (name, config).
template <class T>
std::vector<std::pair<std::string, typename TransformerEncoder<T>::Config>> kinds() {
  auto plain = config_of<T>(), first = config_of<T>(), rotary = config_of<T>(), shared = config_of<T>();
  first.layer.norm_first = first.final_norm = true;
  rotary.layer.attention.rotary.emplace();
  rotary.layer.gated = true;
  rotary.layer.activation = Activation::silu;
  rotary.layer.bias = false;
  shared.layer.attention.kv_heads = 2;
  shared.layer.attention.alibi = true;
  shared.layer.attention.softcap = 5;
  return {{"norms last", plain}, {"norms first", first}, {"rotary, gated", rotary}, {"shared heads, ALiBi", shared}};
}

}  // namespace

TEMPLATE_TEST_CASE("a packed encoder has the bits of the encoder", "[blocks]", float, double) {
  using T = TestType;
  for (const auto& [name, config] : kinds<T>()) {
    INFO(name);
    const TransformerEncoder<T> encoder(config, Random(1));
    const PackedEncoder<T> packed(encoder);
    typename TransformerEncoder<T>::Cache cache;
    typename PackedEncoder<T>::Cache packed_cache;
    const auto x = random_tensor<T, 2>({49, 24}, 2);
    const Sequences sequences({3, 0, 1, 45});
    for (const auto& mask :
         {AttentionMask<T>::none(), AttentionMask<T>::causal(), AttentionMask<T>::causal_window(4)}) {
      const auto expected = encoder.infer(x, sequences, {mask, {}}, cache);
      CHECK(same_bits<T>(packed.forward(x, sequences, mask, packed_cache), expected));
    }
  }
}

TEMPLATE_TEST_CASE("tokens read piece by piece give what one forward gives", "[blocks]", float, double) {
  using T = TestType;
  for (const auto& [name, config] : kinds<T>()) {
    INFO(name);
    const PackedEncoder<T> packed(TransformerEncoder<T>(config, Random(1)));
    typename PackedEncoder<T>::Cache cache, whole_cache;
    const auto x = random_tensor<T, 2>({2 * 30, 24}, 2);
    const auto mask = AttentionMask<T>::causal_window(17);
    const auto whole = packed.forward(x, Sequences({30, 30}), mask, whole_cache);
    KeyValueCache<T> earlier = packed.key_value_cache(2, 32);
    Index done[2] = {0, 0};
    double difference = 0;
    // Lengths that differ between the two sequences, 0 among them.
    for (const auto& lengths : std::vector<std::vector<Index>>{{1, 7}, {1, 0}, {10, 1}, {0, 1}, {18, 21}}) {
      Matrix<T> piece({lengths[0] + lengths[1], 24});
      for (Index b = 0, row = 0; b < 2; ++b) {
        for (Index i = 0; i < lengths[b]; ++i)
          std::copy_n(x.view().row(30 * b + done[b] + i), 24, piece.view().row(row++));
      }
      const auto y = packed.extend(piece, Sequences(lengths), mask, earlier, cache);
      for (Index b = 0, row = 0; b < 2; ++b) {
        for (Index i = 0; i < lengths[b]; ++i, ++row) {
          for (Index j = 0; j < 24; ++j) {
            difference = std::max<double>(difference, std::abs(y(row, j) - whole(30 * b + done[b] + i, j)));
          }
        }
        done[b] += lengths[b];
        CHECK(earlier.length(b) == done[b]);
      }
    }
    CHECK(done[0] == 30);
    CHECK(done[1] == 30);
    CHECK(difference == 0);
  }
}

TEST_CASE("a copied key/value cache continues on its own, and a truncated one begins where it was cut", "[blocks]") {
  const PackedEncoder<float> packed(TransformerEncoder<float>(config_of<float>(), Random(1)));
  PackedEncoder<float>::Cache cache;
  const auto x = random_tensor<float, 2>({10, 24}, 2), other = random_tensor<float, 2>({3, 24}, 3);
  const auto mask = AttentionMask<float>::causal();
  auto earlier = packed.key_value_cache(1, 10);
  (void)packed.extend(x.view().middle_rows(0, 7), Sequences::single(7), mask, earlier, cache);
  auto fork = earlier;
  const Matrix<float> expected(packed.extend(x.view().middle_rows(7, 3), Sequences::single(3), mask, earlier, cache));
  (void)packed.extend(other, Sequences::single(3), mask, fork, cache);
  fork.truncate(0, 7);
  CHECK(same_bits<float>(packed.extend(x.view().middle_rows(7, 3), Sequences::single(3), mask, fork, cache), expected));
}

TEST_CASE("decoding allocates nothing after the first token", "[blocks]") {
  if (!mat::test::allocations_are_counted()) {
    WARN("skipped: under a sanitizer allocations are not counted");
    return;
  }
  const PackedEncoder<float> packed(TransformerEncoder<float>(config_of<float>(), Random(1)), WeightStorage::int8);
  PackedEncoder<float>::Cache cache;
  auto earlier = packed.key_value_cache(1, 40);
  const auto x = random_tensor<float, 2>({1, 24}, 2);
  const Sequences one = Sequences::single(1);
  const auto mask = AttentionMask<float>::causal();
  (void)packed.extend(x, one, mask, earlier, cache);
  const long before = mat::test::allocations();
  for (int i = 0; i < 30; ++i) (void)packed.extend(x, one, mask, earlier, cache);
  CHECK(mat::test::allocations() == before);
}

TEST_CASE("weights of fewer bytes lose little", "[blocks]") {
  auto config = config_of<float>();
  config.layer.norm_first = config.final_norm = true;
  const TransformerEncoder<float> encoder(config, Random(1));
  PackedEncoder<float>::Cache cache, exact_cache;
  const auto x = random_tensor<float, 2>({20, 24}, 2);
  const PackedEncoder<float> full(encoder);
  const Matrix<float> exact(full.forward(x, Sequences::single(20), {}, exact_cache));
  const auto error = [&](WeightStorage storage) {
    const PackedEncoder<float> packed(encoder, storage);
    CHECK(packed.bytes() < full.bytes());
    return largest_difference(Matrix<float>(packed.forward(x, Sequences::single(20), {}, cache)), exact);
  };
  // Outputs are normalised: of size 1.
  CHECK(error(WeightStorage::float16) < 2e-3);
  CHECK(error(WeightStorage::bfloat16) < 2e-2);
  CHECK(error(WeightStorage::int8) < 4e-2);
}

TEST_CASE("a packed encoder and its cache say what is wrong", "[blocks]") {
  auto config = config_of<float>();
  const PackedEncoder<float> packed(TransformerEncoder<float>(config, Random(1)));
  PackedEncoder<float>::Cache cache;
  const auto x = random_tensor<float, 2>({4, 24}, 2);
  const auto mask = AttentionMask<float>::causal();
  auto earlier = packed.key_value_cache(1, 6);
  (void)packed.extend(x, Sequences::single(4), mask, earlier, cache);
  CHECK_THROWS_WITH(packed.extend(x, Sequences::single(4), mask, earlier, cache),
                    "KeyValueCache: tokens of a sequence is 8, expected at most its capacity of 6");
  CHECK(earlier.length(0) == 4);
  CHECK_THROWS_WITH(packed.extend(x, Sequences({2, 2}), mask, earlier, cache),
                    "KeyValueCache: sequences is 2, expected its batch of 1");
  KeyValueCache<float> small({2, 4, 6, 1, 6});
  CHECK_THROWS_WITH(packed.extend(x, Sequences::single(4), mask, small, cache),
                    "PackedEncoder::extend: cache's layers is 2, expected those of the encoder, 3");
  KeyValueCache<float> narrow({3, 4, 5, 1, 6}), few_heads({3, 1, 6, 1, 6});
  CHECK_THROWS_WITH(packed.extend(x, Sequences::single(4), mask, narrow, cache),
                    "PackedEncoder::extend: cache's head_dim is 5, expected that of the encoder, 6");
  CHECK_THROWS_WITH(packed.extend(x, Sequences::single(4), mask, few_heads, cache),
                    "PackedEncoder::extend: cache's kv_heads is 1, expected those of the encoder, 4");
  CHECK_THROWS_WITH(earlier.truncate(0, 5), "KeyValueCache::truncate: length is 5, expected at most the present 4");
  CHECK_THROWS_WITH(earlier.assign({5, 4, 0, 1, 6}), "PackedKeys: head_dim is 0, expected at least 1");
  CHECK_THROWS_WITH(KeyValueCache<float>({0, 4, 6, 1, 0}), "PackedKeys: capacity is 0, expected at least 1");
  CHECK(earlier.length(0) == 4);
  CHECK(earlier.config().layers == 3);
  CHECK(earlier.bytes() == packed.key_value_cache(1, 6).bytes());
  config.layer.attention.add_zero_attn = true;
  CHECK_THROWS_WITH(PackedEncoder<float>(TransformerEncoder<float>(config, Random(1))),
                    "PackedSelfAttention: keys that the layer adds is 1, expected 0");
  config.layer.attention.add_zero_attn = false;
  config.layer.attention.rotary.reset();
  config.layer.attention.relative.emplace();
  CHECK_THROWS_WITH(PackedEncoder<float>(TransformerEncoder<float>(config, Random(1))),
                    "PackedSelfAttention: relative positions is 1, expected 0");
}

}  // namespace packed_encoder_test
