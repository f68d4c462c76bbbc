#include "support/catch.hpp"
#include "support/gradients.hpp"

#include <mat/memory/delta_memory.hpp>
#include <mat/models/document_decoder.hpp>

namespace document_decoder_test {

using namespace mat;

namespace {

using Model = DocumentTranslator<double, DeltaMemory<double>>;
using Decoder = DocumentDecoder<double, DeltaMemory<double>>;
using Tokens = std::vector<Index>;

constexpr Index kForbidden = 0, kBegin = 2, kEnd = 3, kVocabulary = 7;

[[nodiscard]] Model small_model() {
  Model::Config config;
  config.translator.source_vocabulary = config.translator.target_vocabulary = kVocabulary;
  config.translator.layer.d_model = 4;
  config.translator.layer.nhead = 2;
  config.translator.layer.dim_feedforward = 5;
  config.translator.num_encoder_layers = config.translator.num_decoder_layers = 1;
  return Model(config, Random(2));
}

[[nodiscard]] DecodingConfig small_decoding() {
  DecodingConfig config;
  config.begin_token = kBegin;
  config.end_token = kEnd;
  config.forbidden = {kForbidden};
  config.max_length = 4;
  config.beam_size = 1;
  return config;
}

[[nodiscard]] ConstVectorView<Index> view(const Tokens& tokens) {
  return {tokens, {static_cast<Index>(tokens.size())}};
}

/// What the model says of a sentence and a beginning of its translation, read from scratch.
class Scratch {
 public:
  explicit Scratch(const Model& model) : model_(model) { model.initial(1, state); }

  /// The scores of the token that comes next: [kVocabulary].
  [[nodiscard]] Vector<double> scores(const Tokens& source, const Tokens& translation) {
    Tokens target{kBegin};
    target.insert(target.end(), translation.begin(), translation.end());
    const Sequences sources = Sequences::single(view(source).size()), targets = Sequences::single(view(target).size());
    const auto logits = model_.forward({view(source), &sources, view(target), &targets}, state, &next, {}, cache_);
    Vector<double> last({kVocabulary});
    std::copy_n(logits.row(logits.rows() - 1), kVocabulary, last.data());
    return last;
  }

  Model::State state, next;  // before the sentence and after it

 private:
  const Model& model_;
  Model::Cache cache_;
};

/// Of all translations the one whose tokens are the most probable in the mean. Those of `most` tokens need no end.
struct Exhaustive {
  Scratch& scratch;
  const Tokens& source;
  std::size_t most;
  Tokens best = {};
  double best_score = -std::numeric_limits<double>::infinity();

  void search(const Tokens& translation, double log_probability) {
    const Vector<double> scores = scratch.scores(source, translation);
    double sum = 0;
    for (Index token = 0; token < kVocabulary; ++token) sum += token == kForbidden ? 0 : std::exp(scores(token));
    for (Index token = 0; token < kVocabulary; ++token) {
      if (token == kForbidden) continue;
      const double longer = log_probability + scores(token) - std::log(sum);
      Tokens all = translation;
      if (token != kEnd) all.push_back(token);
      if (token != kEnd && all.size() < most) {
        search(all, longer);
      } else if (longer / static_cast<double>(translation.size() + 1) > best_score) {
        best = all, best_score = longer / static_cast<double>(translation.size() + 1);
      }
    }
  }
};

}  // namespace

TEST_CASE("a document decoder writes what is most probable, and remembers what it read", "[models]") {
  const Model model = small_model();
  Decoder decoder(model, small_decoding());
  Scratch scratch(model);
  const std::vector<Tokens> sentences{{1, 5, 4}, {}, {6, 6}};
  std::vector<Tokens> translations;
  for (const Tokens& sentence : sentences) {
    const auto saved = decoder.state();
    const Tokens translation = decoder.translate(view(sentence));
    REQUIRE(translation.size() <= (sentence.empty() ? 0U : 4U));
    for (std::size_t t = 0; t <= translation.size(); ++t) {
      const Vector<double> scores = scratch.scores(sentence, {translation.begin(), translation.begin() + Index(t)});
      if (sentence.empty() || t == 4) continue;
      const auto best = std::max_element(scores.data() + 1, scores.data() + kVocabulary) - scores.data();
      CHECK(best == (t == translation.size() ? kEnd : translation[t]));
    }
    std::swap(scratch.state, scratch.next);
    CHECK(same_state(scratch.state, decoder.state()));
    decoder.restore(saved);
    CHECK(decoder.translate(view(sentence)) == translation);
    translations.push_back(translation);
  }
  decoder.restart();
  for (std::size_t i = 0; i < sentences.size(); ++i) CHECK(decoder.translate(view(sentences[i])) == translations[i]);
}

TEST_CASE("a document decoder with a beam for all finds the most probable translation of all", "[models]") {
  const Model model = small_model();
  DecodingConfig config = small_decoding();
  config.beam_size = 200;
  config.early_stopping = false;
  config.max_length = 3;
  Decoder decoder(model, config);
  Scratch scratch(model);
  std::size_t tokens = 0;
  for (const Tokens& sentence : {Tokens{1, 5, 4}, Tokens{6, 6}, Tokens{4}}) {
    Exhaustive all{scratch, sentence, 3};
    all.search({}, 0);
    CHECK(decoder.translate(view(sentence)) == all.best);
    tokens += all.best.size();
    std::swap(scratch.state, scratch.next);
  }
  CHECK(tokens > 0);
}

TEST_CASE("a document decoder says what does not fit, and has then read nothing", "[models]") {
  const Model model = small_model();
  DecodingConfig config = small_decoding();
  config.end_token = 9;
  CHECK_THROWS_WITH(Decoder(model, config), "DocumentDecoder: end_token is 9, expected in the vocabulary, below 7");
  Decoder decoder(model, small_decoding());
  (void)decoder.translate(view({1, 2}));
  const auto before = decoder.state();
  CHECK_THROWS_WITH(decoder.translate(view({8})), "PackedTranslator::read: source[0] is 8, expected in [0, 7)");
  CHECK(same_state(before, decoder.state()));
}

}  // namespace document_decoder_test
