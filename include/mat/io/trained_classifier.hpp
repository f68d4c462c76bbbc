#pragma once

#include <mat/io/labelled_text.hpp>
#include <mat/io/vocabulary.hpp>
#include <mat/training/classifier_trainer.hpp>

#include <cmath>
#include <unordered_map>

namespace mat {
inline namespace MAT_ABI {

/// The names of the classes, sorted, each once.
[[nodiscard]] inline std::vector<std::string> label_names(const std::vector<LabelledText>& examples) {
  std::vector<std::string> names;
  for (const LabelledText& example : examples) names.push_back(example.label);
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return names;
}

/// Examples as numbers: the class of each is the place of its label in `labels`.
/// Errors: ValueError for a label that is not among them.
[[nodiscard]] inline ClassifierExamples encode_examples(const std::vector<LabelledText>& examples,
                                                        const Vocabulary& vocabulary,
                                                        const std::vector<std::string>& labels) {
  std::unordered_map<std::string_view, Index> classes;
  for (const std::string& label : labels) classes.emplace(label, static_cast<Index>(classes.size()));
  ClassifierExamples encoded;
  for (const LabelledText& example : examples) {
    const auto found = classes.find(example.label);
    if (found == classes.end()) {
      throw ValueError("encode_examples: a label is " + detail::in_quotes(example.label) + ", expected one of the " +
                       std::to_string(labels.size()) + " known ones");
    }
    vocabulary.encode(example.text, encoded.texts);
    encoded.labels.push_back(found->second);
  }
  return encoded;
}

/// A label and how probable a classifier takes it to be, in [0, 1].
struct Prediction {
  std::string label;
  double probability = 0.0;
};

/// The softmax of the logits of one text: the probability of each class.
template <class T>
[[nodiscard]] std::vector<double> class_probabilities(ConstMatrixView<T> logits) {
  check_shape("class_probabilities: logits", logits, {1, kAny});
  const auto largest = static_cast<double>(logits(0, argmax(logits.row(0), logits.cols())));
  std::vector<double> result;
  double sum = 0.0;
  for (Index c = 0; c < logits.cols(); ++c) {
    result.push_back(std::exp(static_cast<double>(logits(0, c)) - largest));
    sum += result.back();
  }
  for (double& p : result) p /= sum;
  return result;
}

/// The labels with their probabilities, the most probable first; equal ones in the order of `labels`.
[[nodiscard]] inline std::vector<Prediction> sorted_predictions(const std::vector<std::string>& labels,
                                                                const std::vector<double>& probabilities) {
  std::vector<Prediction> predictions;
  for (std::size_t c = 0; c < labels.size(); ++c) predictions.push_back({labels[c], probabilities[c]});
  std::stable_sort(predictions.begin(), predictions.end(),
                   [](const Prediction& a, const Prediction& b) { return a.probability > b.probability; });
  return predictions;
}

/// A text classifier with all that it needs to read a text and to name its class; a plain value.
struct TrainedClassifier {
  Vocabulary vocabulary;
  std::vector<std::string> labels;  // [classes]
  TextClassifier<float> model;

  using Cache = TextClassifier<float>::Cache;

  /// The probability of each class for one text: the softmax of the logits, in the order of `labels`.
  /// Threads: const; each thread needs a cache of its own.
  [[nodiscard]] std::vector<double> probabilities(std::string_view text, Cache& cache) const {
    TokenBatch batch;
    vocabulary.encode(text, batch);
    return class_probabilities(model.forward(batch, cache));
  }
  /// All labels of one text, the most probable first; equal ones as in `labels`.
  [[nodiscard]] std::vector<Prediction> predict(std::string_view text, Cache& cache) const {
    return sorted_predictions(labels, probabilities(text, cache));
  }
};

/// All that decides how a classifier is trained. The sizes that follow from the examples are set by train_classifier:
/// model.vocabulary, model.buckets and model.classes.
struct ClassifierSettings {
  VocabularyConfig vocabulary;
  TextClassifier<float>::Config model;
  ClassifierTraining training;
};

namespace detail {

/// What does not depend on the model that learns.
struct PreparedExamples {
  std::vector<std::string> labels;
  Vocabulary vocabulary;
  ClassifierExamples train, validation;

  /// Sets the sizes that follow from the examples.
  void complete(TextClassifier<float>::Config& config) const {
    config.classes = static_cast<Index>(labels.size());
    config.vocabulary = vocabulary.size();
    config.buckets = vocabulary.config().buckets;
  }
};

[[nodiscard]] inline PreparedExamples prepare_examples(const std::string& function,
                                                       const std::vector<LabelledText>& train,
                                                       const std::vector<LabelledText>& validation,
                                                       const VocabularyConfig& config) {
  std::vector<std::string> labels = label_names(train), texts;
  for (const LabelledText& example : train) texts.push_back(example.text);
  check_value(labels.size() >= 2, function + ": the number of labels", static_cast<Index>(labels.size()), "at least 2");
  PreparedExamples prepared{std::move(labels), Vocabulary::fit(texts, config), {}, {}};
  prepared.train = encode_examples(train, prepared.vocabulary, prepared.labels);
  prepared.validation = encode_examples(validation, prepared.vocabulary, prepared.labels);
  return prepared;
}

}  // namespace detail

/// Learns a vocabulary, the labels and a classifier from examples. With validation examples it keeps the epoch that
/// does best on them, else the last one. Equal examples and settings give the same bits, for any number of threads.
/// Errors: ValueError for less than 2 labels, a validation label that does not occur in training, or a setting out of
///         range. `observe` is Trainer::fit's.
template <class Observe = NoObserver>
[[nodiscard]] TrainedClassifier train_classifier(const std::vector<LabelledText>& train,
                                                 const std::vector<LabelledText>& validation,
                                                 ClassifierSettings settings, Observe&& observe = {}) {
  auto prepared = detail::prepare_examples("train_classifier", train, validation, settings.vocabulary);
  prepared.complete(settings.model);
  TextClassifier<float> model(settings.model, Random(settings.training.seed));
  fit_classifier(model, prepared.train, prepared.validation, settings.training, observe);
  return {std::move(prepared.vocabulary), std::move(prepared.labels), std::move(model)};
}

}  // namespace MAT_ABI
}  // namespace mat
