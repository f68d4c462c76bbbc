#include "support/catch.hpp"
#include "support/temporary_folder.hpp"

#include <mat/io/document_classifier_file.hpp>

namespace document_classifier_file_test {

using mat::Index;
using mat::LabelledText;
using mat::MemoryKind;
using mat::TextReader;
using mat::TrainedDocumentClassifier;

namespace {

using Examples = std::vector<LabelledText>;

/// The first word tells the class; four words follow, whichever class it is.
Examples examples() {
  const std::string rest[] = {"and then they said nothing", "and so the day went by", "and all of it was true"};
  Examples all;
  for (const std::string& end : rest) {
    for (const char* begin : {"stars", "planets"}) all.push_back({"sky", begin + (" " + end)});
    for (const char* begin : {"rivers", "oceans"}) all.push_back({"water", begin + (" " + end)});
  }
  return all;
}

TrainedDocumentClassifier make_classifier(MemoryKind memory, mat::DocumentPart part = mat::DocumentPart::all) {
  mat::DocumentClassifierSettings settings;
  settings.vocabulary.buckets = 50;
  settings.vocabulary.word_ngrams = 1;
  settings.model.text.dim = 8;
  settings.model.text.hidden = 12;
  settings.model.text.heads = 2;
  settings.model.text.filters = 4;
  settings.model.segments = {2, part};
  settings.model.memory = memory;
  settings.training.epochs = 40;
  settings.training.learning_rate = 0.01;
  return mat::train_document_classifier(examples(), {}, settings);
}

std::vector<mat::Prediction> predict(const TrainedDocumentClassifier& classifier, const std::string& text,
                                     std::size_t piece) {
  TextReader reader(classifier);
  for (std::size_t i = 0; i < text.size(); i += piece) reader.push(text.substr(i, piece));
  return reader.finish();
}

}  // namespace

TEST_CASE("a classifier that reads all segments learns what their first tells, one that reads the last does not",
          "[io]") {
  const auto all = make_classifier(MemoryKind::none);
  const auto last = make_classifier(MemoryKind::none, mat::DocumentPart::last_segment);
  CHECK(mat::evaluate_documents(all, examples()).accuracy() == 1);
  CHECK(mat::evaluate_documents(last, examples()).accuracy() == 0.5);
  CHECK(predict(all, "oceans and all of it", 100)[0].label == "water");
}

TEST_CASE("a document classifier is saved and loaded with the same predictions, bit for bit", "[io]") {
  const auto memory = GENERATE(from_range(mat::kMemoryKinds));
  CAPTURE(name_of(memory));
  const mat::test::TemporaryFolder folder;
  const std::string path = folder.path("model");
  TrainedDocumentClassifier classifier = make_classifier(memory);
  mat::save_document_classifier(path, classifier);
  const TrainedDocumentClassifier loaded = mat::load_document_classifier(path);
  CHECK(loaded.labels == classifier.labels);
  CHECK(loaded.vocabulary == classifier.vocabulary);
  for (const LabelledText& example : examples()) {
    const auto expected = predict(classifier, example.text, 100);
    for (const std::size_t piece : {1, 3, 100}) {
      const auto actual = predict(loaded, example.text, piece);
      CHECK(actual[0].label == expected[0].label);
      CHECK(actual[0].probability == expected[0].probability);
    }
  }
  CHECK(std::holds_alternative<TrainedDocumentClassifier>(mat::load_any_classifier(path)));
}

TEST_CASE("the file of a text classifier is still one, and another file is neither", "[io]") {
  const mat::test::TemporaryFolder folder;
  mat::ClassifierSettings settings;
  settings.model.dim = 8;
  settings.training.epochs = 1;
  mat::save_classifier(folder.path("text"), mat::train_classifier(examples(), {}, settings));
  CHECK(std::holds_alternative<mat::TrainedClassifier>(mat::load_any_classifier(folder.path("text"))));
  CHECK_THROWS_WITH(mat::load_document_classifier(folder.path("text")),
                    "load_document_classifier: " + folder.path("text") +
                        " is no document classifier: its format is 'mat text classifier', expected 'mat document "
                        "classifier'");
  mat::SafetensorsWriter().write(folder.path("empty"));
  CHECK_THROWS_WITH(mat::load_any_classifier(folder.path("empty")), "load_classifier: " + folder.path("empty") +
                                                                        " is no text classifier: its metadata has no "
                                                                        "'format'");
}

TEST_CASE("settings of a document classifier that its tensors do not have are refused", "[io]") {
  const mat::test::TemporaryFolder folder;
  const std::string path = folder.path("model");
  const TrainedDocumentClassifier classifier = make_classifier(MemoryKind::cache);
  const auto message = [&](const std::string& setting, const mat::Json& value) -> std::string {
    mat::save_document_classifier(path, classifier);
    mat::Metadata metadata = mat::Safetensors::read(path).metadata();
    mat::Json settings = mat::Json::parse(metadata.at("model"));
    settings.set(setting, value);
    metadata["model"] = settings.str();
    mat::save_parameters(path, classifier.model.parameters(), metadata);
    try {
      static_cast<void>(mat::load_document_classifier(path));
    } catch (const mat::FileError& error) {
      const std::string begin = "load_document_classifier: " + path + " is no document classifier: ";
      const std::string what = error.what();
      return what.substr(0, begin.size()) == begin ? what.substr(begin.size()) : what;
    }
    return "";
  };
  CHECK(message("memory_rows", Index{1} << 40) ==
        "the rows of memory is 1099511627776, expected at least 0 and at most 65536");
  CHECK(message("memory_heads", Index{9}) ==
        "the heads of memory is 9, expected at least 0 and at most the features, 8");
  CHECK(message("segment", Index{0}) == "SegmentClassifier: segments.length is 0, expected at least 1");
  CHECK(message("part", "half") == "part is 'half', expected all or last_segment");
  CHECK(message("memory", "best") ==
        "memory_kind_from_name: name is \"best\", expected none, cache, tokens, delta, additive, neural, knn or "
        "delta-cache");
  CHECK(
      message("hidden", Index{1} << 40) ==
      "tensor 'encoder.encoder.layers.0.linear1.weight' is [12, 8], expected [1099511627776, 8], as its settings say");
}

}  // namespace document_classifier_file_test
