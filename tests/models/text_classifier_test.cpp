#include "support/catch.hpp"
#include "support/gradients.hpp"

#include <mat/models/text_classifier.hpp>

#include <algorithm>

namespace text_classifier_test {

using mat::ClassifierDropout;
using mat::ClassifierKind;
using mat::ConstMatrixView;
using mat::Index;
using mat::Matrix;
using mat::Random;
using mat::TokenBatch;
using mat::TokenDropout;
using mat::TokenEmbedding;
using namespace mat::test;

template <class T>
using TextClassifier = mat::TextClassifier<T>;

namespace {

/// A text of these words; token t has the features t, 2 t, ... below 5, as many as `features` says.
void add_text(const std::vector<Index>& words, TokenBatch& batch, Index features = 3) {
  for (std::size_t t = 0; t < words.size(); ++t) {
    for (Index f = 1; f <= features; ++f) batch.features.push_back(f * static_cast<Index>(t) % 5);
    batch.add_token(words[t]);
  }
  batch.end_text();
}

/// Three texts, the second without a token.
TokenBatch three_texts() {
  TokenBatch batch;
  add_text({1, 2, 3, 1}, batch);
  add_text({}, batch);
  add_text({4, 0}, batch, 1);
  return batch;
}

template <class T>
typename TextClassifier<T>::Config small_config(ClassifierKind kind) {
  typename TextClassifier<T>::Config config;
  config.kind = kind;
  config.vocabulary = 6;
  config.buckets = 5;
  config.classes = 3;
  config.dim = 4;
  config.hidden = 6;
  config.heads = 2;
  config.filters = 3;
  config.activation = mat::Activation::gelu;
  return config;
}

ClassifierDropout all_dropout() {
  ClassifierDropout dropout;
  dropout.words = dropout.features = dropout.embedding = dropout.encoder = dropout.pooled = 0.3;
  dropout.random = Random(11);
  return dropout;
}

template <class T>
Matrix<T> logits_of(const TextClassifier<T>& model, const TokenBatch& batch, const ClassifierDropout& dropout = {}) {
  typename TextClassifier<T>::Cache cache;
  return Matrix<T>(model.forward(batch, dropout, cache));
}

}  // namespace

TEST_CASE("a text of one batch can be appended to another, with its features", "[models]") {
  const TokenBatch data = three_texts();
  TokenBatch batch;
  batch.append(data, 2);
  batch.append(data, 1);
  CHECK(batch.words == std::vector<Index>{4, 0});
  CHECK(batch.lengths == std::vector<Index>{2, 0});
  CHECK(batch.feature_begins == std::vector<Index>{0, 1, 2});
  CHECK(batch.token_begins == std::vector<Index>{0, 2, 2});
  batch.append(data, 0);
  CHECK(batch.size() == 3);
  CHECK(batch.tokens() == 6);
  batch.clear();
  for (Index i = 0; i < data.size(); ++i) batch.append(data, i);
  CHECK(batch == data);
  CHECK_THROWS_WITH(batch.append(data, 3), "TokenBatch::append: text is 3, expected in [0, 3)");
  CHECK_THROWS_WITH(batch.add_tokens(data, 5, 2), "TokenBatch::add_tokens: the last token is 7, expected at most 6");
}

TEST_CASE("a token's vector is that of its word and the sum of its features over the root of their number",
          "[models]") {
  const TokenEmbedding<double> layer({6, 5, 4}, Random(1));
  TokenBatch batch;
  batch.features = {3, 1, 3};
  batch.add_token(2);
  batch.add_token(5);
  batch.end_text();
  TokenEmbedding<double>::Cache cache;
  const ConstMatrixView<double> y = layer.forward(batch, {}, cache);
  const auto& p = layer.parameters();
  for (Index j = 0; j < 4; ++j) {
    const double features = 2 * p.feature_weight(3, j) + p.feature_weight(1, j);
    CHECK(std::abs(y(0, j) - (p.weight(2, j) + features / std::sqrt(3.0))) < 1e-14);
    CHECK(y(1, j) == p.weight(5, j));
  }
}

TEST_CASE("a dropped word is the unknown word, a dropped feature is as if it were not there", "[models]") {
  const TokenEmbedding<double> layer({2, 5, 4}, Random(1));
  TokenBatch batch, unknown, bare;
  add_text(std::vector<Index>(1000, 1), batch, 1);
  add_text(std::vector<Index>(1000, 0), unknown, 1);
  add_text(std::vector<Index>(1000, 1), bare, 0);
  TokenEmbedding<double>::Cache cache;
  const auto run = [&](const TokenBatch& texts, const TokenDropout& dropout) {
    return Matrix<double>(layer.forward(texts, dropout, cache));
  };
  const auto equal_rows = [](const Matrix<double>& a, const Matrix<double>& b) {
    Index count = 0;
    for (Index t = 0; t < a.rows(); ++t)
      count += std::equal(a.view().row(t), a.view().row(t) + 4, b.view().row(t)) ? 1 : 0;
    return count;
  };
  const Matrix<double> y = run(batch, {});
  const Matrix<double> words = run(batch, {0.3, 0, Random(5)}), features = run(batch, {0, 0.3, Random(5)});
  const Index unknown_words = equal_rows(words, run(unknown, {})), bare_words = equal_rows(features, run(bare, {}));
  CHECK(unknown_words + equal_rows(words, y) == 1000);
  CHECK(bare_words + equal_rows(features, y) == 1000);
  CHECK(std::abs(static_cast<double>(unknown_words) - 300) < 60);
  CHECK(std::abs(static_cast<double>(bare_words) - 300) < 60);
}

TEST_CASE("every gradient of a classifier agrees with central differences", "[models]") {
  const auto kind = GENERATE(ClassifierKind::mat, ClassifierKind::vanilla);
  const bool norm_first = GENERATE(false, true), with_dropout = GENERATE(false, true);
  auto config = small_config<double>(kind);
  config.filters = GENERATE(0, 3);
  config.norm_first = norm_first;
  TextClassifier<double> model(config, Random(4));  // none of its relus is near its kink
  const TokenBatch batch = three_texts();
  const ClassifierDropout dropout = with_dropout ? all_dropout() : ClassifierDropout();
  const Matrix<double> dlogits = random_tensor<double, 2>({3, 3}, 4);
  TextClassifier<double>::Cache cache;
  const auto loss = [&] { return inner_product(model.forward(batch, dropout, cache), dlogits); };

  auto grads = zeros_like(model.parameters());
  model.forward(batch, dropout, cache);
  model.backward(dlogits, cache, grads);
  std::string worst;
  const double error = parameter_gradient_error(loss, model.parameters(), grads, worst);
  INFO("worst: " << worst);
  CHECK(error < 1e-6);
}

TEST_CASE("a second backward of a classifier adds the same gradient again", "[models]") {
  const auto kind = GENERATE(ClassifierKind::mat, ClassifierKind::vanilla);
  const TextClassifier<double> model(small_config<double>(kind), Random(3));
  const Matrix<double> dlogits = random_tensor<double, 2>({3, 3}, 4);
  TextClassifier<double>::Cache cache;
  auto once = zeros_like(model.parameters()), twice = once;
  model.forward(three_texts(), cache);
  model.backward(dlogits, cache, once);
  for (int i = 0; i < 2; ++i) {
    model.forward(three_texts(), cache);
    model.backward(dlogits, cache, twice);
  }
  double worst = 0;
  for_each_parameter(
      [&](const mat::ParameterName&, const auto& a, const auto& b) {
        for (Index i = 0; i < a.size(); ++i) worst = std::max(worst, std::abs(2 * a.data()[i] - b.data()[i]));
      },
      once, twice);
  CHECK(worst < 1e-12);
}

TEST_CASE("a text has the same logits, bit for bit, alone and in any batch", "[models]") {
  const auto kind = GENERATE(ClassifierKind::mat, ClassifierKind::vanilla);
  auto config = small_config<float>(kind);
  config.dim = 20;
  config.layers = 2;
  const TextClassifier<float> model(config, Random(3));
  const TokenBatch data = three_texts();
  const Matrix<float> together = logits_of(model, data);
  for (Index i = 0; i < data.size(); ++i) {
    TokenBatch alone;
    alone.append(data, i);
    CHECK(logits_of(model, alone) == Matrix<float>(together.view().middle_rows(i, 1)));
  }
}

TEST_CASE("a text without tokens has the bias as its logits", "[models]") {
  const auto kind = GENERATE(ClassifierKind::mat, ClassifierKind::vanilla);
  const TextClassifier<float> model(small_config<float>(kind), Random(3));
  const Matrix<float> logits = logits_of(model, three_texts());
  for (Index c = 0; c < 3; ++c) CHECK(logits(1, c) == model.parameters().classifier.parameters().bias(c));
}

TEST_CASE("the order of the tokens counts unless there are neither positions nor filters", "[models]") {
  const auto kind = GENERATE(ClassifierKind::mat, ClassifierKind::vanilla);
  auto config = small_config<double>(kind);
  config.filters = 0;
  TokenBatch there, back;
  add_text({1, 2, 3}, there, 0);
  add_text({3, 2, 1}, back, 0);
  const TextClassifier<double> ordered(config, Random(3));
  CHECK(largest_difference(logits_of(ordered, there), logits_of(ordered, back)) > 1e-3);
  config.positions = mat::ClassifierPositions::none;
  const TextClassifier<double> bag(config, Random(3));
  CHECK(largest_difference(logits_of(bag, there), logits_of(bag, back)) < 1e-12);
  config.filters = 3;
  const TextClassifier<double> filtered(config, Random(3));
  CHECK(largest_difference(logits_of(filtered, there), logits_of(filtered, back)) > 1e-4);
}

TEST_CASE("the classifier reads what the convolution finds beside what the encoder makes of the tokens", "[models]") {
  const auto kind = GENERATE(ClassifierKind::mat, ClassifierKind::vanilla);
  auto config = small_config<double>(kind);
  const TextClassifier<double> model(config, Random(3));
  config.filters = 0;
  TextClassifier<double> plain(config, Random(3));
  const auto& weight = model.parameters().classifier.parameters().weight;
  auto& plain_weight = plain.parameters().classifier.parameters().weight;
  for (Index c = 0; c < 3; ++c) std::copy_n(weight.view().row(c), 4, plain_weight.view().row(c));
  plain.parameters().classifier.parameters().bias = model.parameters().classifier.parameters().bias;

  const TokenBatch batch = three_texts();
  Matrix<double> expected = logits_of(plain, batch);
  const auto& p = model.parameters();
  const mat::Sequences texts(batch.lengths);
  mat::ClassifierInput<double>::Cache tokens;
  mat::MaxConvolution<double>::Cache found;
  const auto q = p.convolution->forward(p.embedding.forward(batch, texts, {}, tokens).words, texts, found);
  for (Index b = 0; b < 3; ++b) {
    for (Index c = 0; c < 3; ++c) {
      for (Index j = 0; j < 3; ++j) expected(b, c) += weight(c, 4 + j) * q(b, j);
    }
  }
  CHECK(largest_difference(logits_of(model, batch), expected) < 1e-14);
  CHECK(largest_difference(logits_of(plain, batch), expected) > 1e-3);
}

TEST_CASE("dropout depends on its random alone, and every rate counts", "[models]") {
  const auto kind = GENERATE(ClassifierKind::mat, ClassifierKind::vanilla);
  const TextClassifier<float> model(small_config<float>(kind), Random(3));
  const Matrix<float> plain = logits_of(model, three_texts());
  CHECK(logits_of(model, three_texts(), all_dropout()) == logits_of(model, three_texts(), all_dropout()));
  for (double ClassifierDropout::*rate :
       {&ClassifierDropout::words, &ClassifierDropout::features, &ClassifierDropout::embedding,
        &ClassifierDropout::encoder, &ClassifierDropout::pooled}) {
    ClassifierDropout dropout;
    dropout.random = Random(11);
    CHECK(logits_of(model, three_texts(), dropout) == plain);
    dropout.*rate = 0.5;
    CHECK(logits_of(model, three_texts(), dropout) != plain);
  }
}

TEST_CASE("a classifier's parameters are named after its parts", "[models]") {
  const TextClassifier<float> model(small_config<float>(ClassifierKind::mat), Random(3));
  const TextClassifier<float> vanilla(small_config<float>(ClassifierKind::vanilla), Random(3));
  const auto names = parameter_names(model.parameters()), vanilla_names = parameter_names(vanilla.parameters());
  const auto has = [](const std::vector<std::string>& list, const std::string& name) {
    return std::find(list.begin(), list.end(), name) != list.end();
  };
  CHECK(names.size() == 26);
  for (const char* name : {"embedding.weight", "embedding.feature_weight", "mat.memory_layer.fc2.bias",
                           "mat.transformer_encoder.layers.0.self_attn.in_proj_weight", "mat.self_attention.fc1.weight",
                           "convolution.filters.weight", "classifier.weight", "classifier.bias"}) {
    CHECK(has(names, name));
  }
  CHECK(vanilla_names.size() == 18);
  CHECK(has(vanilla_names, "transformer_encoder.layers.0.linear1.weight"));
}

TEST_CASE("both kinds start from the same embedding, encoder and classifier", "[models]") {
  const TextClassifier<float> model(small_config<float>(ClassifierKind::mat), Random(3));
  const TextClassifier<float> vanilla(small_config<float>(ClassifierKind::vanilla), Random(3));
  const auto &p = model.parameters(), &q = vanilla.parameters();
  CHECK(p.embedding.parameters().weight == q.embedding.parameters().weight);
  CHECK(p.classifier.parameters().weight == q.classifier.parameters().weight);
  int different = 0;
  for_each_parameter([&](const mat::ParameterName&, const auto& a, const auto& b) { different += a != b ? 1 : 0; },
                     p.mat->parameters().transformer_encoder.parameters(), q.transformer_encoder->parameters());
  CHECK(different == 0);
}

TEST_CASE("a kind of classifier is known by its name", "[models]") {
  for (const ClassifierKind kind : {ClassifierKind::mat, ClassifierKind::vanilla}) {
    CHECK(mat::classifier_kind_from_name(name_of(kind)) == kind);
  }
  CHECK_THROWS_WITH(mat::classifier_kind_from_name("bert"),
                    "classifier_kind_from_name: name is \"bert\", expected mat or vanilla");
}

TEST_CASE("sizes, ids and rates that do not fit are refused", "[models]") {
  auto config = small_config<float>(ClassifierKind::mat);
  const TextClassifier<float> model(config, Random(3));
  TextClassifier<float>::Cache cache;
  TokenBatch batch;
  add_text({1, 6}, batch);
  CHECK_THROWS_WITH(model.forward(batch, cache), "TokenEmbedding::forward: words[1] is 6, expected in [0, 6)");
  batch = three_texts();
  batch.features[2] = -1;
  CHECK_THROWS_WITH(model.forward(batch, cache), "TokenEmbedding::forward: features[2] is -1, expected in [0, 5)");
  ClassifierDropout dropout;
  dropout.words = 1;
  CHECK_THROWS_WITH(model.forward(three_texts(), dropout, cache),
                    "TokenEmbedding::forward: dropout of words is 1, expected in [0, 1)");
  dropout.words = 0;
  dropout.features = -0.5;
  CHECK_THROWS_WITH(model.forward(three_texts(), dropout, cache),
                    "TokenEmbedding::forward: dropout of features is -0.5, expected in [0, 1)");
  config.classes = 0;
  CHECK_THROWS_WITH(TextClassifier<float>(config, Random()), "TextClassifier: classes is 0, expected at least 1");
  config.classes = 3;
  config.filters = -1;
  CHECK_THROWS_WITH(TextClassifier<float>(config, Random()), "TextClassifier: filters is -1, expected at least 0");
  config.filters = 0;
  config.vocabulary = 0;
  CHECK_THROWS_WITH(TextClassifier<float>(config, Random()), "TokenEmbedding: vocabulary is 0, expected at least 1");
  config.vocabulary = 6;
  config.buckets = -1;
  CHECK_THROWS_WITH(TextClassifier<float>(config, Random()), "TokenEmbedding: buckets is -1, expected at least 0");
}

}  // namespace text_classifier_test
