#include "support/bits.hpp"
#include "support/catch.hpp"
#include "support/gradients.hpp"

#include <mat/models/packed_translator.hpp>

namespace packed_translator_test {

using namespace mat;
using mat::test::largest_difference;
using mat::test::random_tensor;
using mat::test::same_bits;

namespace {

template <class T>
typename Translator<T>::Config config_of(TranslatorKind kind) {
  typename Translator<T>::Config config;
  config.source_vocabulary = config.target_vocabulary = 40;
  config.layer.d_model = 24;
  config.layer.nhead = 4;
  config.layer.dim_feedforward = 50;
  config.num_encoder_layers = 2;
  config.num_decoder_layers = 3;
  config.kind = kind;
  return config;
}

/// With an output bias and a memory that are not 0.
template <class T>
Translator<T> model_of(const typename Translator<T>::Config& config) {
  Translator<T> model(config, Random(1));
  std::uint64_t seed = 100;
  for_each_parameter(
      [&](const ParameterName&, auto& tensor) {
        using Values = std::decay_t<decltype(tensor)>;
        const auto noise = random_tensor<T, Values::kRank>(tensor.shape(), ++seed, 0.1);
        for (Index i = 0; i < tensor.size(); ++i) tensor.data()[i] += noise.data()[i];
      },
      model.parameters());
  return model;
}

std::vector<Index> random_ids(Index count, std::uint64_t seed) {
  std::vector<Index> ids;
  for (Index i = 0; i < count; ++i) ids.push_back(Random(seed).below(static_cast<std::uint64_t>(i), 40));
  return ids;
}
ConstVectorView<Index> view(const std::vector<Index>& ids, Index begin, Index count) {
  return {ids.data() + begin, {count}};
}

}  // namespace

TEMPLATE_TEST_CASE("cached decoding has the bits of recomputation from scratch", "[models]", float, double) {
  using T = TestType;
  for (const auto kind : {TranslatorKind::vanilla, TranslatorKind::mat_prior, TranslatorKind::mat_literal}) {
    for (const bool plain : {true, false}) {
      auto config = config_of<T>(kind);
      if (!plain) {
        config.share_embeddings = config.tie_output = config.layer.norm_first = config.memory_residual = false;
        config.layer.attention.kv_heads = 2;
        config.layer.attention.softcap = 5;
      }
      const auto model = model_of<T>(config);
      const PackedTranslator<T> packed(model);
      const std::vector<Index> source = random_ids(16, 2), target = random_ids(36, 3);
      // Three sources, the second empty; two translations of the first, none of the second, one of the third.
      const Sequences sources({9, 0, 7});
      const Index owner[] = {0, 0, 2};
      typename PackedTranslator<T>::Cache cache;
      const auto memory = packed.read(view(source, 0, 16), sources, cache);
      auto earlier = packed.key_value_cache(3, 12);
      std::vector<Index> done(3, 0);
      for (const auto& added : std::vector<std::vector<Index>>{{3, 1, 1}, {1, 0, 1}, {1, 1, 0}, {7, 1, 8}, {0, 9, 1}}) {
        std::vector<Index> ids;
        for (std::size_t s = 0; s < 3; ++s) {
          const auto begin = target.begin() + 12 * static_cast<std::ptrdiff_t>(s) + done[s];
          ids.insert(ids.end(), begin, begin + added[s]);
        }
        const auto count = static_cast<Index>(ids.size());
        const Sequences tokens(added), by_source({added[0] + added[1], 0, added[2]});
        const auto logits = packed.extend({view(ids, 0, count), tokens, by_source}, memory, earlier, cache);
        Index row = 0;
        for (std::size_t s = 0; s < 3; ++s) {
          done[s] += added[s];
          if (added[s] == 0) continue;
          typename Translator<T>::Cache scratch;
          const Sequences one = Sequences::single(sources.length(owner[s])), all = Sequences::single(done[s]);
          const auto expected = model.forward({view(source, sources.begin(owner[s]), one.rows()),
                                               view(target, 12 * static_cast<Index>(s), done[s]), &one, &all},
                                              {}, scratch);
          CHECK(same_bits<T>(logits.middle_rows(row++, 1), expected.middle_rows(done[s] - 1, 1)));
        }
        CHECK(row == logits.rows());
      }
    }
  }
}

TEST_CASE("a fork continues on its own with the bits of what it was copied from", "[models]") {
  const PackedTranslator<float> packed(model_of<float>(config_of<float>(TranslatorKind::mat_prior)));
  const std::vector<Index> source = random_ids(9, 2), target = random_ids(20, 3);
  PackedTranslator<float>::Cache cache;
  const Sequences sources = Sequences::single(9);
  const auto memory = packed.read(view(source, 0, 9), sources, cache);
  auto earlier = packed.key_value_cache(2, 20);
  const auto extend = [&](const std::vector<Index>& ids, const std::vector<Index>& lengths) {
    const Sequences tokens(lengths), all = Sequences::single(tokens.rows());
    return Matrix<float>(packed.extend({view(ids, 0, tokens.rows()), tokens, all}, memory, earlier, cache));
  };
  (void)extend(target, {18, 0});
  earlier.fork(0, 1);
  CHECK(earlier.length(1) == 18);
  const auto both = extend({5, 5}, {1, 1});
  CHECK(same_bits<float>(both.view().middle_rows(0, 1), both.view().middle_rows(1, 1)));
  const auto apart = extend({6, 7}, {1, 1});
  CHECK(!same_bits<float>(apart.view().middle_rows(0, 1), apart.view().middle_rows(1, 1)));
  earlier.truncate(0, 18);
  earlier.truncate(1, 18);
  (void)extend({5, 5}, {1, 1});
  const auto other_way = extend({7, 6}, {1, 1});
  CHECK(same_bits<float>(apart.view().middle_rows(0, 1), other_way.view().middle_rows(1, 1)));
  CHECK_THROWS_WITH(earlier.fork(0, 2), "KeyValueCache::fork: to is 2, expected below the batch of 2");
  CHECK_THROWS_WITH(earlier.fork(-1, 0), "KeyValueCache::fork: from is -1, expected below the batch of 2");
}

TEST_CASE("a translator of fewer bytes loses little", "[models]") {
  const auto model = model_of<float>(config_of<float>(TranslatorKind::mat_prior));
  const std::vector<Index> source = random_ids(9, 2), target = random_ids(5, 3);
  const Sequences sources = Sequences::single(9), targets = Sequences::single(5);
  const auto logits = [&](WeightStorage storage) {
    const PackedTranslator<float> packed(model, storage);
    PackedTranslator<float>::Cache cache;
    const auto memory = packed.read(view(source, 0, 9), sources, cache);
    auto earlier = packed.key_value_cache(1, 5);
    return std::pair(Matrix<float>(packed.extend({view(target, 0, 5), targets, targets}, memory, earlier, cache)),
                     packed.bytes());
  };
  const auto [exact, bytes] = logits(WeightStorage::full);
  const auto [half, half_bytes] = logits(WeightStorage::float16);
  const auto [small, small_bytes] = logits(WeightStorage::int8);
  CHECK(half_bytes < bytes);
  CHECK(small_bytes < half_bytes);
  CHECK(largest_difference(half, exact) < 1e-2);
  CHECK(largest_difference(small, exact) < 1e-1);
}

TEST_CASE("a packed translator says what does not fit", "[models]") {
  const PackedTranslator<float> packed(model_of<float>(config_of<float>(TranslatorKind::vanilla)));
  PackedTranslator<float>::Cache cache;
  const std::vector<Index> ids{1, 40};
  const Sequences two = Sequences::single(2), one = Sequences::single(1);
  CHECK_THROWS_WITH(packed.read(view(ids, 0, 2), two, cache),
                    "PackedTranslator::read: source[1] is 40, expected in [0, 40)");
  const auto memory = packed.read(view(ids, 0, 1), one, cache);
  auto earlier = packed.key_value_cache(2, 1);
  CHECK_THROWS_WITH(packed.extend({view(ids, 0, 1), one, one}, memory, earlier, cache),
                    "PackedTranslator::extend: sequences is 1, expected the batch of the cache, 2");
  earlier = packed.key_value_cache(1, 1);
  (void)packed.extend({view(ids, 0, 1), one, one}, memory, earlier, cache);
  CHECK_THROWS_WITH(packed.extend({view(ids, 0, 1), one, one}, memory, earlier, cache),
                    "KeyValueCache: tokens of a sequence is 2, expected at most its capacity of 1");
  auto config = config_of<float>(TranslatorKind::vanilla);
  config.layer.attention.add_zero_attn = true;
  CHECK_THROWS_WITH(PackedTranslator<float>(Translator<float>(config, Random(1))),
                    "PackedSelfAttention: keys that the layer adds is 1, expected 0");
}

}  // namespace packed_translator_test
