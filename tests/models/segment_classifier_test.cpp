#include "support/allocations.hpp"
#include "support/catch.hpp"
#include "support/gradients.hpp"

#include <mat/models/document_classifier.hpp>
#include <mat/models/segment_reader.hpp>
#include <mat/training/segment_classifier_run.hpp>

namespace segment_classifier_test {

using mat::ClassifierDropout;
using mat::ClassifierRun;
using mat::ConstMatrixView;
using mat::DocumentClassifier;
using mat::DocumentClassifierConfig;
using mat::DocumentPart;
using mat::Index;
using mat::Matrix;
using mat::MemoryKind;
using mat::NoMemory;
using mat::Random;
using mat::Sequences;
using mat::TokenBatch;
using namespace mat::test;

template <class T>
using Pooled = mat::SegmentClassifier<T, NoMemory<T>>;

namespace {

constexpr Index kClasses = 3;

/// A text of `length` words below 6, one or two features each.
void add_text(Index length, std::uint64_t seed, TokenBatch& batch) {
  for (Index t = 0; t < length; ++t) {
    const std::uint64_t bits = Random(seed).bits(static_cast<std::uint64_t>(t));
    batch.features.push_back(static_cast<Index>(bits % 5));
    if (bits % 2 == 0) batch.features.push_back(static_cast<Index>(bits / 7 % 5));
    batch.add_token(static_cast<Index>(bits / 64 % 6));
  }
  batch.end_text();
}

/// Texts of 4, 1, 0, 1, 2 and 1 segments of 3 tokens; some end in the middle of a segment.
TokenBatch six_texts() {
  TokenBatch batch;
  const std::vector<Index> lengths{11, 3, 0, 1, 5, 2};
  for (std::size_t i = 0; i < lengths.size(); ++i) add_text(lengths[i], i, batch);
  return batch;
}

template <class T>
DocumentClassifierConfig<T> small_config(MemoryKind kind) {
  DocumentClassifierConfig<T> config;
  config.text.vocabulary = 6;
  config.text.buckets = 5;
  config.text.classes = kClasses;
  config.text.dim = 4;
  config.text.hidden = 6;
  config.text.heads = 2;
  config.text.filters = 3;
  config.text.activation = mat::Activation::gelu;
  config.segments.length = 3;
  config.memory = kind;
  config.size.rows = 2;
  config.size.heads = 2;
  return config;
}

ClassifierDropout all_dropout() {
  ClassifierDropout dropout;
  dropout.words = dropout.features = dropout.embedding = dropout.encoder = dropout.pooled = 0.3;
  dropout.random = Random(11);
  return dropout;
}

template <class Model>
Matrix<typename Model::Scalar> logits_of(const Model& model, const TokenBatch& texts) {
  ClassifierRun<Model> run;
  return Matrix<typename Model::Scalar>(run.forward(model, texts));
}

TokenBatch alone(const TokenBatch& texts, Index i) {
  TokenBatch text;
  text.append(texts, i);
  return text;
}

/// The worst relative error over all parameters, through texts of 4, 1, 0 and 1 segments of 2 tokens.
template <class Model>
double worst_gradient_error(Model& model, const ClassifierDropout& dropout, std::string& worst) {
  TokenBatch texts;
  const std::vector<Index> lengths{7, 2, 0, 1};
  for (std::size_t i = 0; i < lengths.size(); ++i) add_text(lengths[i], i, texts);
  const Matrix<double> dlogits = random_tensor<double, 2>({texts.size(), kClasses}, 4);
  ClassifierRun<Model> run;
  double value = 0;
  const auto loss_of = [&](ConstMatrixView<double> logits) -> ConstMatrixView<double> {
    value = inner_product(logits, dlogits);
    return dlogits;
  };
  auto grads = zeros_like(model.parameters()), ignored = grads;
  run.learn(model, texts, dropout, loss_of, grads);
  const auto loss = [&] {
    run.learn(model, texts, dropout, loss_of, ignored);
    return value;
  };
  return parameter_gradient_error(loss, model.parameters(), grads, worst);
}

/// Few relus, and seeds for which none is near its kink.
template <class T>
DocumentClassifierConfig<T> gradient_config(MemoryKind kind) {
  auto config = small_config<T>(kind);
  config.text.hidden = 4;
  config.text.filters = 2;
  config.segments.length = 2;
  return config;
}

}  // namespace

TEST_CASE("texts are cut into segments of the tokens at the same places", "[models]") {
  const TokenBatch texts = six_texts();
  mat::DocumentSegments segments;
  segments.assign(texts, {3, DocumentPart::all});
  REQUIRE(segments.count() == 4);
  CHECK(segments.tokens(0).lengths == std::vector<Index>{3, 3, 0, 1, 3, 2});
  CHECK(segments.tokens(1).lengths == std::vector<Index>{3, 0, 0, 0, 2, 0});
  CHECK(segments.tokens(3).lengths == std::vector<Index>{2, 0, 0, 0, 0, 0});
  TokenBatch joined;
  for (Index i = 0; i < 4; ++i) joined.add_tokens(segments.tokens(i), 0, segments.tokens(i).lengths[0]);
  joined.end_text();
  CHECK(joined == alone(texts, 0));
  segments.assign(alone(texts, 2), {3, DocumentPart::all});
  CHECK(segments.count() == 1);
  CHECK(segments.sequences(0) == Sequences({0}));
  segments.assign(texts, {3, DocumentPart::last_segment});
  REQUIRE(segments.count() == 1);
  CHECK(segments.tokens(0).lengths == std::vector<Index>{3, 3, 0, 1, 3, 2});
  CHECK(segments.tokens(0).words[0] == texts.words[8]);
  CHECK_THROWS_WITH(segments.assign(texts, {0, DocumentPart::all}),
                    "DocumentSegments::assign: length is 0, expected at least 1");
}

TEST_CASE("through several segments every gradient of a document classifier agrees with central differences",
          "[models]") {
  const auto kind = GENERATE(from_range(mat::kMemoryKinds));
  const bool with_dropout = GENERATE(false, true);
  CAPTURE(name_of(kind), with_dropout);
  // What these two keep of earlier segments is taken for constant, which differences do not know.
  if (kind == MemoryKind::cache || kind == MemoryKind::knn) return;
  // Seeds whose models have no relu within the step of a difference.
  const bool other = kind == MemoryKind::neural || kind == MemoryKind::delta_cache;
  auto model = mat::make_document_classifier<double>(gradient_config<double>(kind), Random(other ? 10 : 15));
  std::string worst;
  const double error = worst_gradient_error(model, with_dropout ? all_dropout() : ClassifierDropout(), worst);
  INFO("worst: " << worst);
  CHECK(error < 1e-6);
}

TEST_CASE("P4: the pool over segments is that over the whole text", "[models]") {
  // Tokens that the encoder leaves alone: without an attention between them, segments differ from the whole in the
  // pool and in the filters alone.
  auto config = small_config<double>(MemoryKind::none);
  config.text.positions = mat::ClassifierPositions::none;
  config.text.filters = 0;
  const auto logits_with_segments_of = [&](Index length) {
    config.segments.length = length;
    auto model = mat::make_document_classifier<double>(config, Random(3));
    for (auto& layer : model.parameters().encoder.parameters().encoder.parameters().layers) {
      layer.parameters().self_attn.parameters().out_proj.parameters().weight.fill(0);
    }
    return logits_of(model, six_texts());
  };
  const Matrix<double> whole = logits_with_segments_of(100);
  for (const Index length : {1, 2, 3, 7}) {
    CHECK(largest_difference(logits_with_segments_of(length), whole) < 1e-14);
  }
}

TEST_CASE("a text of one segment is read as a text classifier reads it", "[models]") {
  auto config = small_config<double>(MemoryKind::none);
  config.segments.length = 100;
  const Pooled<double> segmented({config.text, {}, config.segments}, Random(3));
  mat::TextClassifier<double> whole(config.text, Random(4));
  auto& to = whole.parameters();
  const auto& from = segmented.parameters();
  to.embedding = from.embedding;
  to.mat->parameters().transformer_encoder = from.encoder.parameters().encoder;
  to.mat->parameters().memory_layer = from.memory_layer;
  to.mat->parameters().self_attention = from.self_attention;
  to.convolution = from.convolution;
  to.classifier = from.classifier;
  CHECK(largest_difference(logits_of(whole, six_texts()), logits_of(segmented, six_texts())) < 1e-14);
}

TEST_CASE("a document has the same logits, bit for bit, alone, in any batch and in any pieces", "[models]") {
  const auto kind = GENERATE(from_range(mat::kMemoryKinds));
  const auto part = GENERATE(DocumentPart::all, DocumentPart::last_segment);
  CAPTURE(name_of(kind));
  auto config = small_config<float>(kind);
  config.text.dim = 20;
  config.text.layers = 2;
  config.segments.part = part;
  const auto model = mat::make_document_classifier<float>(config, Random(3));
  const TokenBatch texts = six_texts();
  const Matrix<float> together = logits_of(model, texts);
  mat::SegmentReader<DocumentClassifier<float>> reader(model);
  for (Index i = 0; i < texts.size(); ++i) {
    const Matrix<float> expected(together.view().middle_rows(i, 1));
    const TokenBatch text = alone(texts, i);
    CHECK(logits_of(model, text) == expected);
    for (const Index piece : {1, 2, 100}) {
      for (Index first = 0; first < text.tokens(); first += piece) {
        TokenBatch tokens;
        tokens.add_tokens(text, first, std::min(piece, text.tokens() - first));
        reader.push(tokens);
      }
      CHECK(Matrix<float>(reader.finish()) == expected);
    }
  }
}

TEST_CASE("with a memory the segments before change what is read of a segment, without one only the pool does",
          "[models]") {
  // Two texts that differ in their first segment: the pool of the second segment alone is that of its encoding.
  const auto kind = GENERATE(from_range(mat::kMemoryKinds));
  CAPTURE(name_of(kind));
  const auto model = mat::make_document_classifier<double>(small_config<double>(kind), Random(3));
  const auto weight_after = [&](std::uint64_t seed) {
    TokenBatch first, second;
    add_text(3, seed, first);
    add_text(3, 9, second);
    const Sequences sequences({3});
    DocumentClassifier<double>::State state, next, last;
    DocumentClassifier<double>::Cache cache;
    model.initial(1, state);
    model.forward({&first, &sequences}, state, &next, {}, cache);
    model.pool().initial(1, next.pool);  // what the pool knows of the first segment is forgotten
    model.forward({&second, &sequences}, next, &last, {}, cache);
    return last.pool.sum;
  };
  CHECK((largest_difference(weight_after(1), weight_after(2)) > 1e-9) == (kind != MemoryKind::none));
}

TEST_CASE("a model that reads the last segment sees no token before it", "[models]") {
  auto config = small_config<float>(MemoryKind::none);
  config.segments.part = DocumentPart::last_segment;
  const Pooled<float> model({config.text, {}, config.segments}, Random(3));
  TokenBatch text = alone(six_texts(), 0), changed = text;
  for (std::size_t t = 0; t < 8; ++t) changed.words[t] = (changed.words[t] + 1) % 6;
  CHECK(logits_of(model, text) == logits_of(model, changed));
  changed.words[8] = (changed.words[8] + 1) % 6;
  CHECK(logits_of(model, text) != logits_of(model, changed));
}

TEST_CASE("reading documents and learning from them allocates nothing after the first time", "[models]") {
  if (!allocations_are_counted()) return;
  const auto kind = GENERATE(from_range(mat::kMemoryKinds));
  CAPTURE(name_of(kind));
  const auto model = mat::make_document_classifier<float>(small_config<float>(kind), Random(3));
  const TokenBatch texts = six_texts();
  const Matrix<float> dlogits({6, kClasses});
  ClassifierRun<DocumentClassifier<float>> run;
  auto grads = zeros_like(model.parameters());
  const auto step = [&] {
    run.forward(model, texts);
    run.learn(
        model, texts, all_dropout(), [&](ConstMatrixView<float>) { return dlogits.view(); }, grads);
  };
  for (int i = 0; i < 3; ++i) step();
  const long before = allocations();
  step();
  CHECK(allocations() == before);
}

TEST_CASE("a reader of a long text allocates nothing after the first segments", "[models]") {
  if (!allocations_are_counted()) return;
  const auto kind = GENERATE(from_range(mat::kMemoryKinds));
  CAPTURE(name_of(kind));
  const auto model = mat::make_document_classifier<float>(small_config<float>(kind), Random(3));
  mat::SegmentReader<DocumentClassifier<float>> reader(model);
  TokenBatch tokens;
  add_text(7, 1, tokens);
  for (int i = 0; i < 20; ++i) reader.push(tokens);
  const long before = allocations();
  for (int i = 0; i < 100; ++i) reader.push(tokens);
  CHECK(allocations() == before);
}

TEST_CASE("a segment classifier's parameters are named after its parts", "[models]") {
  const Pooled<float> model({small_config<float>(MemoryKind::none).text, {}, {}}, Random(3));
  const std::vector<std::string> names = parameter_names(model.parameters());
  for (const char* name : {"embedding.weight", "encoder.encoder.layers.0.linear1.weight", "memory_layer.fc1.weight",
                           "self_attention.fc2.bias", "convolution.filters.weight", "classifier.bias"}) {
    CHECK(std::find(names.begin(), names.end(), name) != names.end());
  }
}

TEST_CASE("a segment classifier refuses what does not fit", "[models]") {
  const auto message = [](auto change) -> std::string {
    typename Pooled<float>::Config config{small_config<float>(MemoryKind::none).text, {}, {}};
    change(config);
    try {
      static_cast<void>(Pooled<float>(config, Random()));
    } catch (const mat::ValueError& error) {
      return error.what();
    }
    return "";
  };
  CHECK(message([](auto& c) { c.text.kind = mat::ClassifierKind::vanilla; }) ==
        "SegmentClassifier: kind is vanilla, expected mat");
  CHECK(message([](auto& c) { c.text.classes = 0; }) == "SegmentClassifier: classes is 0, expected at least 1");
  CHECK(message([](auto& c) { c.text.layers = 0; }) == "SegmentClassifier: layers is 0, expected at least 1");
  CHECK(message([](auto& c) { c.text.filters = -1; }) == "SegmentClassifier: filters is -1, expected at least 0");
  CHECK(message([](auto& c) { c.segments.length = 0; }) ==
        "SegmentClassifier: segments.length is 0, expected at least 1");
  const Pooled<float> model({small_config<float>(MemoryKind::none).text, {}, {}}, Random(3));
  Pooled<float>::State state, next;
  Pooled<float>::Cache cache;
  model.initial(2, state);
  const TokenBatch text = alone(six_texts(), 0);
  const Sequences sequences(text.lengths);
  CHECK_THROWS_WITH(model.forward({&text, &sequences}, state, &next, {}, cache),
                    "SegmentClassifier::forward: the state's found is [2, 3], expected [1, 3]");
}

}  // namespace segment_classifier_test
