#include "support/catch.hpp"
#include "support/temporary_folder.hpp"

#include <mat/io/classifier_file.hpp>

namespace classifier_file_test {

using mat::FileError;
using mat::Index;
using mat::LabelledText;
using mat::TrainedClassifier;

namespace {

TrainedClassifier make_classifier(mat::ClassifierKind kind) {
  const std::vector<LabelledText> train{{"very good", "it is a fine film"}, {"bad \"x\"", "caf\xC3\xA9 of 1984"}};
  mat::ClassifierSettings settings;
  settings.vocabulary.buckets = kind == mat::ClassifierKind::mat ? 50 : 0;
  settings.vocabulary.min_count = 1;
  settings.vocabulary.lowercase = true;
  settings.model.kind = kind;
  settings.model.dim = 8;
  settings.model.hidden = 12;
  settings.model.heads = 2;
  settings.model.layers = 2;
  settings.model.filters = kind == mat::ClassifierKind::mat ? 6 : 0;
  settings.model.norm_first = kind == mat::ClassifierKind::mat;
  settings.model.activation = mat::Activation::gelu;
  settings.training.epochs = 2;
  settings.training.learning_rate = 0.01;
  return mat::train_classifier(train, {}, settings);
}

std::vector<double> probabilities(const TrainedClassifier& classifier, const std::string& text) {
  TrainedClassifier::Cache cache;
  return classifier.probabilities(text, cache);
}

// A classifier's file, and its parts to write changed copies of it.
struct File {
  File() { mat::save_classifier(path, make_classifier(mat::ClassifierKind::mat)); }

  // Writes the file again with one text of its metadata changed, or without it.
  void set(const std::string& key, const std::string& value) {
    const mat::Safetensors old = mat::Safetensors::read(path);
    mat::Metadata metadata = old.metadata();
    metadata[key] = value;
    if (value.empty()) metadata.erase(key);
    mat::SafetensorsWriter writer;
    writer.set_metadata(metadata);
    std::vector<mat::Matrix<float>> matrices(old.entries().size());
    std::vector<mat::Vector<float>> vectors(old.entries().size());
    for (std::size_t i = 0; i < old.entries().size(); ++i) {
      const auto& entry = old.entries()[i];
      if (entry.shape.size() == 2) {
        old.load(entry.name, matrices[i]);
        writer.add(entry.name, matrices[i]);
      } else {
        old.load(entry.name, vectors[i]);
        writer.add(entry.name, vectors[i]);
      }
    }
    writer.write(path);
  }
  // As above with a setting of a JSON object in the metadata.
  void set(const std::string& key, const std::string& setting, const mat::Json& value) {
    mat::Json json = mat::Json::parse(mat::Safetensors::read(path).metadata().at(key));
    json.set(setting, value);
    set(key, json.str());
  }
  [[nodiscard]] std::string message(const std::string& reason) const {
    return "load_classifier: " + path + " is no text classifier: " + reason;
  }

  mat::test::TemporaryFolder folder;
  std::string path = folder.path("model.safetensors");
};

}  // namespace

TEST_CASE("a loaded classifier predicts the same bits", "[io]") {
  const auto kind = GENERATE(mat::ClassifierKind::mat, mat::ClassifierKind::vanilla);
  const mat::test::TemporaryFolder folder;
  const TrainedClassifier classifier = make_classifier(kind);
  mat::save_classifier(folder.path("m"), classifier);
  const TrainedClassifier loaded = mat::load_classifier(folder.path("m"));
  CHECK(loaded.labels == classifier.labels);
  CHECK(loaded.vocabulary.words() == classifier.vocabulary.words());
  for (const char* text : {"it is a fine film", "CAF\xC3\x89 of 2024 !", "", "Fine"}) {
    CHECK(probabilities(loaded, text) == probabilities(classifier, text));
  }
}

TEST_CASE("a loaded classifier is saved as the same bytes, in one file", "[io]") {
  const auto kind = GENERATE(mat::ClassifierKind::mat, mat::ClassifierKind::vanilla);
  const mat::test::TemporaryFolder folder;
  mat::save_classifier(folder.path("a"), make_classifier(kind));
  mat::save_classifier(folder.path("b"), mat::load_classifier(folder.path("a")));
  CHECK(mat::read_file(folder.path("a")) == mat::read_file(folder.path("b")));
  CHECK(folder.count() == 2);
}

TEST_CASE("parameters have their names, and the metadata tells the rest", "[io]") {
  const File file;
  const mat::Safetensors tensors = mat::Safetensors::read(file.path);
  CHECK(tensors.contains("mat.transformer_encoder.layers.1.self_attn.in_proj_weight"));
  CHECK(tensors.contains("classifier.bias"));
  CHECK(tensors.metadata().at("format") == "mat text classifier");
  CHECK(tensors.metadata().at("format_version") == "1");
  CHECK(tensors.metadata().at("labels") == R"(["bad \"x\"","very good"])");
  CHECK(mat::Json::parse(tensors.metadata().at("model")).at("kind").as_string() == "mat");
}

TEST_CASE("a file that cannot be opened is told as such", "[io]") {
  const mat::test::TemporaryFolder folder;
  CHECK_THROWS_WITH(mat::load_classifier(folder.path("none")),
                    "FileReader: " + folder.path("none") + " cannot be opened: No such file or directory");
}

TEST_CASE("another file is no classifier", "[io]") {
  File file;
  SECTION("a text") {
    mat::DurableFile text(file.path);
    text.write("pos\ta text");
    text.commit();
    CHECK_THROWS_WITH(mat::load_classifier(file.path),
                      file.message("the header has 7310503696271634288 bytes, expected at most 100000000"));
  }
  SECTION("tensors of something else") {
    mat::SafetensorsWriter().write(file.path);
    CHECK_THROWS_WITH(mat::load_classifier(file.path), file.message("its metadata has no 'format'"));
  }
  SECTION("another format") {
    file.set("format", "pt");
    CHECK_THROWS_WITH(mat::load_classifier(file.path),
                      file.message("its format is 'pt', expected 'mat text classifier'"));
  }
  SECTION("another version") {
    file.set("format_version", "2");
    CHECK_THROWS_WITH(mat::load_classifier(file.path), file.message("its format_version is '2', expected '1'"));
  }
}

TEST_CASE("a classifier's file without a part of it is refused", "[io]") {
  const std::string key = GENERATE("words", "labels", "model", "vocabulary");
  File file;
  file.set(key, "");
  CHECK_THROWS_WITH(mat::load_classifier(file.path), file.message("its metadata has no '" + key + "'"));
}

TEST_CASE("settings that do not fit each other or the tensors are refused before memory is taken", "[io]") {
  struct Case {
    std::string key, setting;
    mat::Json value;
    std::string reason;
  };
  const Index huge = Index{1} << 60;
  const Case c = GENERATE_COPY(
      Case{"model", "kind", "magic", "classifier_kind_from_name: name is \"magic\", expected mat or vanilla"},
      Case{"model", "dim", huge,
           "tensor 'embedding.weight' is [9, 8], expected [9, 1152921504606846976], as its settings say"},
      Case{"model", "hidden", huge,
           "tensor 'mat.transformer_encoder.layers.0.linear1.weight' is [12, 8], expected [1152921504606846976, 8], as "
           "its settings say"},
      Case{"model", "layers", huge, "there is no tensor 'mat.transformer_encoder.layers.2.self_attn.in_proj_weight'"},
      Case{"model", "filters", huge,
           "tensor 'convolution.filters.weight' is [6, 24], expected [1152921504606846976, 24], as its settings say"},
      Case{"model", "filters", 0, "tensor 'classifier.weight' is [2, 14], expected [2, 8], as its settings say"},
      Case{"model", "filters", -1, "the number of filters is -1, expected at least 0"},
      Case{"model", "vocabulary", huge, "the number of words is 9, expected 1152921504606846976"},
      Case{"model", "classes", huge, "the number of labels is 2, expected 1152921504606846976"},
      Case{"model", "buckets", huge, "the buckets of the vocabulary is 50, expected 1152921504606846976"},
      Case{"model", "layers", 1,
           "12 unexpected: 'mat.transformer_encoder.layers.1.linear1.bias', "
           "'mat.transformer_encoder.layers.1.linear1.weight', 'mat.transformer_encoder.layers.1.linear2.bias', "
           "'mat.transformer_encoder.layers.1.linear2.weight', 'mat.transformer_encoder.layers.1.norm1.bias', "
           "'mat.transformer_encoder.layers.1.norm1.weight', 'mat.transformer_encoder.layers.1.norm2.bias', "
           "'mat.transformer_encoder.layers.1.norm2.weight', "
           "'mat.transformer_encoder.layers.1.self_attn.in_proj_bias', "
           "'mat.transformer_encoder.layers.1.self_attn.in_proj_weight', "
           "'mat.transformer_encoder.layers.1.self_attn.out_proj.bias', "
           "'mat.transformer_encoder.layers.1.self_attn.out_proj.weight'"},
      Case{"model", "dim", "8", "Json::as_index: the value is a string, expected an integer"},
      Case{"vocabulary", "lowercase", 1, "Json::as_bool: the value is 1, expected a boolean"});
  File file;
  file.set(c.key, c.setting, c.value);
  CHECK_THROWS_AS(mat::load_classifier(file.path), FileError);
  CHECK_THROWS_WITH(mat::load_classifier(file.path), file.message(c.reason));
}

TEST_CASE("every part of a classifier's file is needed", "[io]") {
  const File file;
  const std::string bytes = mat::read_file(file.path);
  for (std::size_t size = 0; size < bytes.size(); size += 1 + size / 7) {
    mat::DurableFile cut(file.path);
    cut.write(std::string_view(bytes).substr(0, size));
    cut.commit();
    CHECK_THROWS_AS(mat::load_classifier(file.path), FileError);
  }
}

TEST_CASE("a classifier that cannot be written leaves nothing", "[io]") {
  const mat::test::TemporaryFolder folder;
  const TrainedClassifier classifier = make_classifier(mat::ClassifierKind::mat);
  CHECK_THROWS_WITH(mat::save_classifier(folder.path("none/m"), classifier),
                    "DurableFile: " + folder.path("none/m") + " cannot be created: No such file or directory");
  CHECK(folder.count() == 0);
}

}  // namespace classifier_file_test
