#include "support/catch.hpp"
#include "support/gradients.hpp"

#include <mat/memory/delta_memory.hpp>
#include <mat/memory/memory_tokens.hpp>
#include <mat/memory/no_memory.hpp>
#include <mat/memory/recurrence.hpp>
#include <mat/models/document_decoder.hpp>
#include <mat/models/document_translator.hpp>

namespace document_translator_test {

using namespace mat;
using mat::test::inner_product;
using mat::test::largest_difference;
using mat::test::parameter_gradient_error;
using mat::test::random_tensor;

namespace {

template <class Memory>
using Model = DocumentTranslator<double, Memory>;

template <class Memory>
[[nodiscard]] typename Model<Memory>::Config small_config() {
  typename Model<Memory>::Config config;
  config.translator.source_vocabulary = config.translator.target_vocabulary = 7;
  config.translator.layer.d_model = 4;
  config.translator.layer.nhead = 2;
  config.translator.layer.dim_feedforward = 5;
  config.translator.layer.activation = Activation::gelu;
  config.translator.num_encoder_layers = config.translator.num_decoder_layers = 1;
  return config;
}

/// Three sentences of two documents, one of which is silent in the middle.
struct Documents {
  struct Sentence {
    std::vector<Index> source, target;
    Sequences sequences, target_sequences;
    Matrix<double> dlogits;
  };
  std::vector<Sentence> sentences;

  Documents() {
    add({1, 2, 3, 4}, {3, 1}, {2, 6, 5}, {2, 1});
    add({5, 6}, {0, 2}, {2, 1}, {0, 2});
    add({4, 4, 1}, {2, 1}, {2, 3, 2, 1}, {2, 2});
  }
  void add(const std::vector<Index>& source, const std::vector<Index>& lengths, const std::vector<Index>& target,
           const std::vector<Index>& target_lengths) {
    const auto rows = static_cast<Index>(target.size());
    sentences.push_back({source, target, Sequences(lengths), Sequences(target_lengths),
                         random_tensor<double, 2>({rows, 7}, 20 + sentences.size())});
  }
  template <class M>
  [[nodiscard]] typename M::Segment segment(Index i) const {
    const Sentence& s = sentences[static_cast<std::size_t>(i)];
    return {{s.source, {static_cast<Index>(s.source.size())}},
            &s.sequences,
            {s.target, {static_cast<Index>(s.target.size())}},
            &s.target_sequences};
  }
};

template <class M>
[[nodiscard]] double worst_gradient(M& model, const Dropout& dropout) {
  const Documents documents;
  const auto loss = [&] {
    typename M::State state, next;
    typename M::Cache cache;
    model.initial(2, state);
    double sum = 0;
    for (Index i = 0; i < 3; ++i) {
      const auto y =
          model.forward(documents.segment<M>(i), state, &next, dropout.split(static_cast<std::uint64_t>(i)), cache);
      sum += inner_product(y, documents.sentences[static_cast<std::size_t>(i)].dlogits);
      std::swap(state, next);
    }
    return sum;
  };
  auto grads = zeros_like(model.parameters());
  typename Recurrence<M>::Cache cache;
  Recurrence<M>({}).backward(
      model, 3, [&](Index i) { return documents.segment<M>(i); }, {},
      [&](Index i, ConstMatrixView<double>) -> ConstMatrixView<double> {
        return documents.sentences[static_cast<std::size_t>(i)].dlogits;
      },
      dropout, cache, grads);
  std::string name;
  const double worst = parameter_gradient_error(loss, model.parameters(), grads, name);
  UNSCOPED_INFO(name);
  return worst;
}

/// The logits of the last sentence of the documents.
template <class M>
[[nodiscard]] Matrix<double> last_logits(const M& model, const Documents& documents) {
  typename M::State state, next;
  typename M::Cache cache;
  model.initial(2, state);
  Matrix<double> logits;
  for (Index i = 0; i < 3; ++i) {
    logits.assign(model.forward(documents.segment<M>(i), state, &next, {}, cache));
    std::swap(state, next);
  }
  return logits;
}

}  // namespace

TEST_CASE("a document translator's gradients agree with central differences through its sentences", "[models]") {
  SECTION("delta memory") {
    auto config = small_config<DeltaMemory<double>>();
    config.memory.heads = 2;  // with one feature a head, keys of length 1 are signs
    Model<DeltaMemory<double>> model(config, Random(2));
    CHECK(worst_gradient(model, {}) < 1e-6);
    CHECK(worst_gradient(model, {0.2, Random(5)}) < 1e-6);
  }
  SECTION("memory tokens, and the article's prior") {
    auto config = small_config<MemoryTokens<double>>();
    config.memory.count = 2;
    config.translator.kind = TranslatorKind::mat_prior;
    Model<MemoryTokens<double>> model(config, Random(8));
    CHECK(worst_gradient(model, {}) < 1e-6);
  }
}

TEST_CASE("without a memory a document translator is a translator with the layers of both encoders", "[models]") {
  auto config = small_config<NoMemory<double>>();
  const Model<NoMemory<double>> model(config, Random(1));
  config.translator.num_encoder_layers = 2;
  Translator<double> whole(config.translator, Random(1));
  const auto& parts = model.parameters();
  auto& p = whole.parameters();
  const auto from = parts.translator.parameters();
  auto& layers = p.encoder.parameters().layers;
  const auto& context = parts.context.parameters().encoder.parameters();
  p.embedding = from.embedding;
  p.decoder = from.decoder;
  p.output_bias = from.output_bias;
  layers[0] = context.layers[0];
  layers[1] = from.encoder.parameters().layers[0];

  const Documents documents;
  const auto& sentence = documents.sentences[2];
  Translator<double>::Cache cache;
  const auto expected = whole.forward(
      {{sentence.source, {3}}, {sentence.target, {4}}, &sentence.sequences, &sentence.target_sequences}, {}, cache);
  const auto logits = last_logits(model, documents);
  CHECK(largest_difference<double, 2>(logits, expected) < 1e-14);
}

TEST_CASE("a sentence's translation depends on those before it, of its own document only", "[models]") {
  const Model<DeltaMemory<double>> model(small_config<DeltaMemory<double>>(), Random(2));
  const Documents documents;
  Documents changed;
  changed.sentences[0].source[0] = 6;  // the first document's first word
  const auto before = last_logits(model, documents), after = last_logits(model, changed);
  CHECK(largest_difference<double, 2>(before.view().middle_rows(0, 2), after.view().middle_rows(0, 2)) > 1e-6);
  CHECK(largest_difference<double, 2>(before.view().middle_rows(2, 2), after.view().middle_rows(2, 2)) == 0.0);
}

TEST_CASE("a document decoder writes what is most probable, and remembers what it read", "[models]") {
  using M = Model<DeltaMemory<double>>;
  const M model(small_config<DeltaMemory<double>>(), Random(2));
  DecodingConfig config;
  config.begin_token = 2;
  config.end_token = 3;
  config.forbidden = {0};
  config.max_length = 4;
  DocumentDecoder<double, DeltaMemory<double>> decoder(model, config);
  const std::vector<std::vector<Index>> sentences{{1, 5, 4}, {}, {6, 6}};

  M::State state, next;
  M::Cache cache;
  model.initial(1, state);
  for (const auto& sentence : sentences) {
    const auto saved = decoder.state();
    const auto translation = decoder.translate({sentence, {static_cast<Index>(sentence.size())}});
    CHECK(translation.size() <= (sentence.empty() ? 0U : 4U));
    // Step by step, with the sentence alone in its batch.
    std::vector<Index> read{2};
    const Sequences source = Sequences::single(static_cast<Index>(sentence.size()));
    for (std::size_t t = 0; t <= translation.size(); ++t) {
      const Sequences target = Sequences::single(static_cast<Index>(read.size()));
      const auto y = model.forward({{sentence, {source.rows()}}, &source, {read, {target.rows()}}, &target}, state,
                                   &next, {}, cache);
      if (t == translation.size()) break;
      const double* row = y.row(y.rows() - 1);
      CHECK(std::max_element(row + 1, row + 7) - row == translation[t]);
      read.push_back(translation[t]);
    }
    std::swap(state, next);
    CHECK(same_state(state, decoder.state()));
    decoder.restore(saved);
    CHECK(decoder.translate({sentence, {source.rows()}}) == translation);
  }
}

TEST_CASE("a document decoder says what does not fit", "[models]") {
  const Model<DeltaMemory<double>> model(small_config<DeltaMemory<double>>(), Random(2));
  DecodingConfig config;
  config.end_token = 9;
  using Decoder = DocumentDecoder<double, DeltaMemory<double>>;
  CHECK_THROWS_WITH(Decoder(model, config), "DocumentDecoder: end_token is 9, expected in the vocabulary, below 7");
  config.end_token = 3;
  Decoder decoder(model, config);
  const std::vector<Index> unknown{8};
  CHECK_THROWS_WITH(decoder.translate({unknown, {1}}), "Translator::forward: source[0] is 8, expected in [0, 7)");
}

}  // namespace document_translator_test
