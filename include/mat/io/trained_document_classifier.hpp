#pragma once

#include <mat/io/text_encoder.hpp>
#include <mat/io/trained_classifier.hpp>
#include <mat/models/document_classifier.hpp>
#include <mat/models/segment_reader.hpp>
#include <mat/training/segment_classifier_run.hpp>

namespace mat {
inline namespace MAT_ABI {

/// A classifier of texts of any length with all that it needs to read one and to name its class; a plain value.
struct TrainedDocumentClassifier {
  Vocabulary vocabulary;
  std::vector<std::string> labels;  // [classes]
  DocumentClassifierConfig<float> config;
  DocumentClassifier<float> model;  // made of the config
};

/// Reads one text after the other, each in any pieces, at constant memory: that of a segment and of a run of bytes
/// without a space (see TextEncoder). The classifier must outlive it.
///
///     reader.push("the first part of a ");   reader.push("text");
///     for (const auto& [label, probability] : reader.finish()) ...
///
/// Threads: one reader belongs to one thread at a time; the classifier is only read.
class TextReader {
 public:
  explicit TextReader(const TrainedDocumentClassifier& classifier)
      : labels_(&classifier.labels), encoder_(classifier.vocabulary), reader_(classifier.model) {}

  /// What comes next of the text.
  void push(std::string_view piece) {
    constexpr std::size_t kPart = 1 << 12;  // no more becomes tokens at once
    for (; !piece.empty(); piece.remove_prefix(std::min(kPart, piece.size()))) {
      tokens_.clear();
      encoder_.push(piece.substr(0, kPart), tokens_);
      reader_.push(tokens_);
    }
  }
  /// All labels of the text, the most probable first; the next push begins another text.
  [[nodiscard]] std::vector<Prediction> finish() {
    tokens_.clear();
    encoder_.end(tokens_);
    reader_.push(tokens_);
    return sorted_predictions(*labels_, class_probabilities(reader_.finish()));
  }

 private:
  const std::vector<std::string>* labels_;
  TextEncoder encoder_;
  TokenBatch tokens_;  // of one piece
  SegmentReader<DocumentClassifier<float>> reader_;
};

/// Counts what a classifier takes each example for. Errors: ValueError for a label that it does not have.
[[nodiscard]] inline ConfusionMatrix evaluate_documents(const TrainedDocumentClassifier& classifier,
                                                        const std::vector<LabelledText>& examples) {
  const ClassifierExamples encoded = encode_examples(examples, classifier.vocabulary, classifier.labels);
  return evaluate_classifier(classifier.model, encoded);
}

/// All that decides how a document classifier is trained. The sizes that follow from the examples are set by
/// train_document_classifier.
struct DocumentClassifierSettings {
  VocabularyConfig vocabulary;
  DocumentClassifierConfig<float> model;
  ClassifierTraining training;
};

/// As train_classifier, for texts of any length.
template <class Observe = NoObserver>
[[nodiscard]] TrainedDocumentClassifier train_document_classifier(const std::vector<LabelledText>& train,
                                                                  const std::vector<LabelledText>& validation,
                                                                  DocumentClassifierSettings settings,
                                                                  Observe&& observe = {}) {
  auto prepared = detail::prepare_examples("train_document_classifier", train, validation, settings.vocabulary);
  prepared.complete(settings.model.text);
  auto model = make_document_classifier<float>(settings.model, Random(settings.training.seed));
  fit_classifier(model, prepared.train, prepared.validation, settings.training, observe);
  return {std::move(prepared.vocabulary), std::move(prepared.labels), settings.model, std::move(model)};
}

}  // namespace MAT_ABI
}  // namespace mat
