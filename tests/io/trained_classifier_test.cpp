#include "support/catch.hpp"

#include <mat/core/parallel.hpp>
#include <mat/io/trained_classifier.hpp>

namespace trained_classifier_test {

using mat::Index;
using mat::LabelledText;
using mat::TrainedClassifier;
using mat::ValueError;

namespace {

using Examples = std::vector<LabelledText>;

const Examples kTrain{{"music", "play the song"}, {"light", "dim the lamp"},  {"music", "stop the record"},
                      {"light", "dim the light"}, {"music", "play a record"}, {"light", "switch on the lamp"}};

mat::ClassifierSettings small_settings(mat::ClassifierKind kind) {
  mat::ClassifierSettings settings;
  settings.vocabulary.buckets = 50;
  settings.model.kind = kind;
  settings.model.dim = 8;
  settings.model.hidden = 12;
  settings.model.heads = 2;
  settings.training.epochs = 40;
  settings.training.learning_rate = 0.01;
  return settings;
}

}  // namespace

TEST_CASE("the names of the labels are sorted and come once", "[io]") {
  CHECK(mat::label_names({{"b", ""}, {"a b", ""}, {"b", ""}, {"B", ""}}) == std::vector<std::string>{"B", "a b", "b"});
  CHECK(mat::label_names({}).empty());
}

TEST_CASE("encoded examples have the class of their label and the tokens of their text", "[io]") {
  const mat::Vocabulary vocabulary = mat::Vocabulary::fit({"play the song", "dim the lamp"}, {});
  const mat::ClassifierExamples encoded = mat::encode_examples(kTrain, vocabulary, {"light", "music"});
  CHECK(encoded.labels == std::vector<Index>{1, 0, 1, 0, 1, 0});
  mat::TokenBatch expected;
  for (const LabelledText& example : kTrain) vocabulary.encode(example.text, expected);
  CHECK(encoded.texts == expected);
}

TEST_CASE("a label that is not known cannot be encoded", "[io]") {
  const mat::Vocabulary vocabulary = mat::Vocabulary::fit({"play"}, {});
  CHECK_THROWS_WITH(mat::encode_examples(kTrain, vocabulary, {"door", "music"}),
                    "encode_examples: a label is 'light', expected one of the 2 known ones");
}

TEST_CASE("a classifier learns its examples", "[io]") {
  const auto kind = GENERATE(mat::ClassifierKind::mat, mat::ClassifierKind::vanilla);
  const TrainedClassifier classifier = mat::train_classifier(kTrain, {}, small_settings(kind));
  CHECK(classifier.labels == std::vector<std::string>{"light", "music"});
  TrainedClassifier::Cache cache;
  for (const LabelledText& example : kTrain) {
    CHECK(classifier.predict(example.text, cache).front().label == example.label);
  }
}

TEST_CASE("probabilities are positive and add up to 1, for a text without words as well", "[io]") {
  const TrainedClassifier classifier = mat::train_classifier(kTrain, {}, small_settings(mat::ClassifierKind::mat));
  const std::string text = GENERATE("", " \t ", "play the song", "xyzzy");
  TrainedClassifier::Cache cache;
  const std::vector<double> p = classifier.probabilities(text, cache);
  REQUIRE(p.size() == 2);
  CHECK(p[0] > 0);
  CHECK(p[1] > 0);
  CHECK(std::abs(p[0] + p[1] - 1) < 1e-15);
}

TEST_CASE("predictions are the labels by falling probability, equal ones in their order", "[io]") {
  TrainedClassifier classifier = mat::train_classifier(kTrain, {}, small_settings(mat::ClassifierKind::mat));
  TrainedClassifier::Cache cache;
  const std::vector<double> p = classifier.probabilities("play the song", cache);
  const std::vector<mat::Prediction> predictions = classifier.predict("play the song", cache);
  REQUIRE(predictions.size() == 2);
  CHECK(predictions[0].label == "music");
  CHECK(predictions[0].probability == p[1]);
  CHECK(predictions[1].probability == p[0]);
  mat::set_zero(classifier.model.parameters());
  CHECK(classifier.predict("play the song", cache)[0].label == "light");
}

TEST_CASE("the number of threads does not change a trained classifier", "[io]") {
  mat::ClassifierSettings settings = small_settings(mat::ClassifierKind::mat);
  settings.training.epochs = 2;
  settings.model.dim = 64;
  settings.model.hidden = 128;
  settings.training.token_budget = 4096;
  Examples examples;
  for (int i = 0; i < 12; ++i) {
    for (const LabelledText& e : kTrain) examples.push_back({e.label, e.text + " " + std::to_string(i)});
  }
  const int threads = mat::max_threads();
  mat::set_threads(1);
  const TrainedClassifier one = mat::train_classifier(examples, {}, settings);
  mat::set_threads(2);
  const TrainedClassifier two = mat::train_classifier(examples, {}, settings);
  mat::set_threads(threads);
  const auto compare = [](const mat::ParameterName& name, const auto& a, const auto& b) {
    INFO(name.str());
    CHECK((a == b));
  };
  mat::for_each_parameter(compare, one.model.parameters(), two.model.parameters());
}

TEST_CASE("training is refused with fewer than two labels, and with a label that only validation has", "[io]") {
  const mat::ClassifierSettings settings = small_settings(mat::ClassifierKind::mat);
  CHECK_THROWS_WITH(mat::train_classifier({{"a", "x"}, {"a", "y"}}, {}, settings),
                    "train_classifier: the number of labels is 1, expected at least 2");
  CHECK_THROWS_AS(mat::train_classifier({}, {}, settings), ValueError);
  CHECK_THROWS_WITH(mat::train_classifier(kTrain, {{"door", "shut it"}}, settings),
                    "encode_examples: a label is 'door', expected one of the 2 known ones");
}

}  // namespace trained_classifier_test
