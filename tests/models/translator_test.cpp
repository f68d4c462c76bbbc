#include "support/bits.hpp"
#include "support/catch.hpp"
#include "support/gradients.hpp"

#include <mat/models/translator.hpp>

namespace translator_test {

using namespace mat;
using mat::test::inner_product;
using mat::test::largest_difference;
using mat::test::parameter_gradient_error;
using mat::test::random_tensor;
using mat::test::same_bits;

namespace {

template <class T>
typename Translator<T>::Config config_of(TranslatorKind kind) {
  typename Translator<T>::Config config;
  config.source_vocabulary = config.target_vocabulary = 7;
  config.layer.d_model = 4;
  config.layer.nhead = 2;
  config.layer.dim_feedforward = 5;
  config.layer.activation = Activation::gelu;
  config.num_encoder_layers = config.num_decoder_layers = 1;
  config.kind = kind;
  return config;
}

/// Four sentences; one of them is empty, and one has an empty translation.
struct Text {
  std::vector<Index> source{1, 2, 3, 4, 5, 6, 0, 1}, target{2, 6, 5, 2, 2, 4, 3};
  Sequences source_sequences{std::vector<Index>{3, 0, 4, 1}}, target_sequences{std::vector<Index>{3, 1, 0, 3}};

  template <class T>
  [[nodiscard]] typename Translator<T>::Batch batch() const {
    return {{source, {8}}, {target, {7}}, &source_sequences, &target_sequences};
  }
};

/// Away from the zeros that a mat_prior begins with.
template <class P>
void disturb(P& parameters) {
  std::uint64_t seed = 100;
  for_each_parameter(
      [&](const ParameterName&, auto& tensor) {
        using Values = std::decay_t<decltype(tensor)>;
        const auto noise = random_tensor<typename Values::Scalar, Values::kRank>(tensor.shape(), ++seed, 0.3);
        for (Index i = 0; i < tensor.size(); ++i) tensor.data()[i] += noise.data()[i];
      },
      parameters);
}

/// A seed with which no relu of a memory is near its kink.
double worst_gradient(const Translator<double>::Config& config, const Dropout& dropout) {
  Translator<double> model(config, Random(3));
  disturb(model.parameters());
  const Text text;
  const auto batch = text.batch<double>();
  const auto dlogits = random_tensor<double, 2>({7, config.target_vocabulary}, 3);
  Translator<double>::Cache cache, scratch;
  auto grads = zeros_like(model.parameters());
  (void)model.forward(batch, dropout, cache);
  model.backward(dlogits, cache, grads);
  const auto loss = [&] { return inner_product(model.forward(batch, dropout, scratch), dlogits); };
  std::string name;
  const double worst = parameter_gradient_error(loss, model.parameters(), grads, name);
  UNSCOPED_INFO(name);
  return worst;
}

}  // namespace

TEST_CASE("a translator's gradients agree with central differences", "[models]") {
  for (const auto kind : {TranslatorKind::vanilla, TranslatorKind::mat_prior, TranslatorKind::mat_literal}) {
    INFO(static_cast<int>(kind));
    auto config = config_of<double>(kind);
    SECTION("with one embedding, kind " + std::to_string(static_cast<int>(kind))) {
      CHECK(worst_gradient(config, {}) < 1e-6);
      CHECK(worst_gradient(config, {0.2, Random(5)}) < 1e-6);
    }
    SECTION("with all of them apart and the norms last, kind " + std::to_string(static_cast<int>(kind))) {
      config.share_embeddings = config.tie_output = config.layer.norm_first = config.memory_residual = false;
      config.target_vocabulary = 8;
      config.num_decoder_layers = 2;
      CHECK(worst_gradient(config, {}) < 1e-6);
    }
  }
}

TEST_CASE("a prior begins as the vanilla Transformer", "[models]") {
  const Translator<double> vanilla(config_of<double>(TranslatorKind::vanilla), Random(1)),
      prior(config_of<double>(TranslatorKind::mat_prior), Random(1));
  const Text text;
  Translator<double>::Cache a, b;
  const auto expected = vanilla.forward(text.batch<double>(), {}, a);
  CHECK(largest_difference<double, 2>(prior.forward(text.batch<double>(), {}, b), expected) < 1e-14);
  const auto alpha = prior.source_weights(b);
  CHECK(alpha.shape() == Shape<2>{8, 1});
  CHECK(std::abs(alpha(0, 0) - 1.0 / 3) < 1e-15);
  CHECK(vanilla.source_weights(a).empty());
}

TEST_CASE("a prior is a bias of its keys, the logarithm of n alpha", "[models]") {
  auto config = config_of<double>(TranslatorKind::mat_prior);
  Translator<double> model(config, Random(1));
  disturb(model.parameters());
  const Text text;
  Translator<double>::Cache cache;
  (void)model.forward(text.batch<double>(), {}, cache);
  const auto& layer = model.parameters().decoder.parameters().layers[0].parameters().multihead_attn;
  const auto& seen = cache.decoder.layers[0].multihead_attn;
  const auto alpha = model.source_weights(cache);
  const auto with = model.cross_attention(cache, 0, 3), without = [&] {
    MultiHeadAttention<double>::Cache plain;
    (void)layer.forward({seen.query, seen.key, seen.value, &seen.query_sequences, &seen.key_sequences}, {}, plain);
    return layer.weights(plain, 0);
  }();
  CHECK(with.shape() == Shape<3>{2, 3, 1});
  const auto weighed = model.cross_attention(cache, 0, 0);
  for (Index h = 0; h < 2; ++h) {
    for (Index i = 0; i < 3; ++i) {
      double sum = 0;
      for (Index j = 0; j < 3; ++j) sum += without(h, i, j) * alpha(j, 0);
      for (Index j = 0; j < 3; ++j) CHECK(std::abs(weighed(h, i, j) - without(h, i, j) * alpha(j, 0) / sum) < 1e-14);
    }
  }
}

TEST_CASE("a literal memory is the article's: alpha times M", "[models]") {
  Translator<double> model(config_of<double>(TranslatorKind::mat_literal), Random(1));
  const Text text;
  const auto& p = model.parameters().source_memory.parameters();
  const auto encoded = random_tensor<double, 2>({8, 4}, 3);
  SourceMemory<double>::Cache cache;
  const auto memory = model.parameters().source_memory.forward(encoded, text.source_sequences, cache);
  MemoryLayer<double>::Cache layer_cache;
  SelfAttention<double>::Cache attention_cache;
  const auto m = p.memory_layer->forward(encoded, layer_cache);
  CHECK(same_bits<double>(memory.keys, p.self_attention->forward(encoded, m, text.source_sequences, attention_cache)));
  CHECK(!memory.values.has_value());
  CHECK(memory.prior.empty());
}

TEST_CASE("a translator shares what it is told to share", "[models]") {
  auto config = config_of<float>(TranslatorKind::vanilla);
  const auto count = [&] { return parameter_count(Translator<float>(config, Random(1)).parameters()); };
  const Index shared = count();
  config.tie_output = false;
  CHECK(count() == shared + 7 * 4);
  config.share_embeddings = false;
  CHECK(count() == shared + 2 * 7 * 4);
  const Translator<float> model(config, Random(1));
  const auto names = parameter_names(model.parameters());
  CHECK(names.front() == "embedding.weight");
  CHECK(names[1] == "target_embedding.weight");
  CHECK(names[names.size() - 2] == "output_weight");
  CHECK(names.back() == "output_bias");
}

TEMPLATE_TEST_CASE("a sentence's logits have the same bits alone and in any batch", "[models]", float, double) {
  using T = TestType;
  for (const auto kind : {TranslatorKind::vanilla, TranslatorKind::mat_prior, TranslatorKind::mat_literal}) {
    Translator<T> model(config_of<T>(kind), Random(1));
    disturb(model.parameters());
    const Text text;
    typename Translator<T>::Cache cache, alone_cache;
    const auto logits = model.forward(text.batch<T>(), {}, cache);
    for (Index b = 0; b < 4; ++b) {
      const Sequences source = Sequences::single(text.source_sequences.length(b)),
                      target = Sequences::single(text.target_sequences.length(b));
      const typename Translator<T>::Batch one{{text.source.data() + text.source_sequences.begin(b), {source.rows()}},
                                              {text.target.data() + text.target_sequences.begin(b), {target.rows()}},
                                              &source,
                                              &target};
      CHECK(largest_difference<T, 2>(model.forward(one, {}, alone_cache),
                                     logits.middle_rows(text.target_sequences.begin(b), target.rows())) == 0);
    }
  }
}

TEST_CASE("a translator does not look at the words that are to come", "[models]") {
  const Translator<float> model(config_of<float>(TranslatorKind::mat_prior), Random(1));
  Text text;
  Translator<float>::Cache before, after;
  const auto logits = model.forward(text.batch<float>(), {}, before);
  text.target[1] = 0;
  const auto changed = model.forward(text.batch<float>(), {}, after);
  CHECK(largest_difference<float, 2>(logits.middle_rows(0, 1), changed.middle_rows(0, 1)) == 0);
  CHECK(largest_difference<float, 2>(logits.middle_rows(1, 2), changed.middle_rows(1, 2)) > 0);
  CHECK(largest_difference<float, 2>(logits.middle_rows(3, 4), changed.middle_rows(3, 4)) == 0);
}

TEST_CASE("a translator says what does not fit", "[models]") {
  auto config = config_of<float>(TranslatorKind::vanilla);
  config.target_vocabulary = 9;
  CHECK_THROWS_WITH(Translator<float>(config, Random(1)),
                    "Translator: target_vocabulary with share_embeddings is 9, expected that of the source, 7");
  config.target_vocabulary = 0;
  CHECK_THROWS_WITH(Translator<float>(config, Random(1)), "Translator: target_vocabulary is 0, expected at least 1");
  config.target_vocabulary = 7;
  const Translator<float> model(config, Random(1));
  Translator<float>::Cache cache;
  Text text;
  text.target[3] = 7;
  CHECK_THROWS_WITH(model.forward(text.batch<float>(), {}, cache),
                    "Translator::forward: target[3] is 7, expected in [0, 7)");
  CHECK_THROWS_WITH(model.cross_attention(cache, 1, 0),
                    "Translator::cross_attention: layer is 1, expected below num_decoder_layers, 1");
  text.target[3] = 6;
  text.target_sequences = Sequences({3, 4});
  CHECK_THROWS_WITH(model.forward(text.batch<float>(), {}, cache),
                    "Translator::forward: targets is 2, expected as many as sources, 4");
  text.source_sequences = Sequences({3, 4});
  CHECK_THROWS_WITH(model.forward(text.batch<float>(), {}, cache),
                    "Translator::forward: source is 8 tokens, expected 7, the rows of its sequences");
}

}  // namespace translator_test
