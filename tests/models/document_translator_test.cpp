#include "support/catch.hpp"
#include "support/gradients.hpp"

#include <mat/memory/delta_memory.hpp>
#include <mat/memory/memory_tokens.hpp>
#include <mat/memory/no_memory.hpp>
#include <mat/memory/recurrence.hpp>
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

}  // namespace document_translator_test
