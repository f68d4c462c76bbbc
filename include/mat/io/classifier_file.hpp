#pragma once

#include <mat/io/model_file.hpp>
#include <mat/io/settings_json.hpp>
#include <mat/io/trained_classifier.hpp>

namespace mat {
inline namespace MAT_ABI {

namespace detail {

inline constexpr ModelFormat kClassifierFormat{"mat text classifier", "1"};

}  // namespace detail

// What decides the model: see settings_json.hpp.

template <class Walk>
void walk_settings(VocabularyConfig& config, const Walk& walk) {
  walk("min_count", config.min_count);
  walk("max_words", config.max_words);
  walk("lowercase", config.lowercase);
  walk("digits", config.digits);
  walk("word_ngrams", config.word_ngrams);
  walk("min_chars", config.min_chars);
  walk("max_chars", config.max_chars);
  walk("buckets", config.buckets);
}
template <class Walk>
void walk_settings(TextClassifier<float>::Config& config, const Walk& walk) {
  const auto positions_name = [](ClassifierPositions kind) {
    return kind == ClassifierPositions::sinusoidal ? "sinusoidal" : "none";
  };
  const auto positions_from_name = [](const std::string& name) {
    if (name != "sinusoidal" && name != "none")
      detail::throw_value_error("positions", detail::in_quotes(name), "sinusoidal or none");
    return name == "none" ? ClassifierPositions::none : ClassifierPositions::sinusoidal;
  };
  walk(
      "kind", config.kind, [](ClassifierKind kind) { return name_of(kind); }, classifier_kind_from_name);
  walk("vocabulary", config.vocabulary);
  walk("buckets", config.buckets);
  walk("classes", config.classes);
  walk("dim", config.dim);
  walk("hidden", config.hidden);
  walk("heads", config.heads);
  walk("layers", config.layers);
  walk("filters", config.filters);
  walk("norm_first", config.norm_first);
  walk(
      "activation", config.activation, [](Activation kind) { return name_of(kind); }, activation_from_name);
  walk("positions", config.positions, positions_name, positions_from_name);
}

namespace detail {

[[nodiscard]] inline Json texts_to_json(const std::vector<std::string>& texts) {
  return Json::Array(texts.begin(), texts.end());
}
[[nodiscard]] inline std::vector<std::string> texts_from_json(const Json& json) {
  std::vector<std::string> texts;
  for (const Json& text : json.as_array()) texts.push_back(text.as_string());
  return texts;
}

/// What stands before the names of the tensors of an encoder's layers, and of the article's memory layer if there is
/// one.
struct ClassifierPrefixes {
  std::string layers;
  std::optional<std::string> memory_layer;
};

/// The sizes in the settings are those of the tensors, so that a file takes no more memory than it has bytes.
inline void check_sizes(const Safetensors& file, const TextClassifier<float>::Config& c,
                        const ClassifierPrefixes& prefixes) {
  const auto check = [&](const std::string& name, Index rows, Index cols) { check_matrix(file, name, rows, cols); };
  check_value(c.vocabulary >= 1, "the number of words", c.vocabulary, "at least 1");
  check("embedding.weight", c.vocabulary, c.dim);
  check_value(c.filters >= 0, "the number of filters", c.filters, "at least 0");
  if (c.filters != 0) {
    check("convolution.filters.weight", c.filters, MaxConvolution<float>::Config().width * c.dim);
  }
  check("classifier.weight", c.classes, c.dim + c.filters);
  if (c.buckets != 0) check("embedding.feature_weight", c.buckets, c.dim);
  for (Index i = 0; i < c.layers; ++i) {
    const std::string layer = prefixes.layers + std::to_string(i) + ".";
    check(layer + "self_attn.in_proj_weight", 3 * c.dim, c.dim);
    check(layer + "self_attn.out_proj.weight", c.dim, c.dim);
    check(layer + "linear1.weight", c.hidden, c.dim);
    check(layer + "linear2.weight", c.dim, c.hidden);
  }
  if (prefixes.memory_layer) check(*prefixes.memory_layer + "memory_layer.fc1.weight", c.hidden, c.dim);
}

/// What every file of a classifier has: its words and labels, as many as `model` says.
[[nodiscard]] inline std::pair<Vocabulary, std::vector<std::string>> read_words_and_labels(
    const Safetensors& file, const TextClassifier<float>::Config& model) {
  std::vector<std::string> words = texts_from_json(Json::parse(metadata_text(file, "words"), "words"));
  std::vector<std::string> labels = texts_from_json(Json::parse(metadata_text(file, "labels"), "labels"));
  const auto vocabulary =
      settings_from_json<VocabularyConfig>(Json::parse(metadata_text(file, "vocabulary"), "vocabulary"));
  check_value(static_cast<Index>(words.size()) == model.vocabulary, "the number of words",
              static_cast<Index>(words.size()), std::to_string(model.vocabulary));
  check_value(static_cast<Index>(labels.size()) == model.classes, "the number of labels",
              static_cast<Index>(labels.size()), std::to_string(model.classes));
  check_value(vocabulary.buckets == model.buckets, "the buckets of the vocabulary", vocabulary.buckets,
              std::to_string(model.buckets));
  return {Vocabulary(vocabulary, std::move(words)), std::move(labels)};
}
inline void add_words_and_labels(const Vocabulary& vocabulary, const std::vector<std::string>& labels,
                                 Metadata& metadata) {
  metadata["vocabulary"] = settings_to_json(vocabulary.config()).str();
  metadata["words"] = texts_to_json(vocabulary.words()).str();
  metadata["labels"] = texts_to_json(labels).str();
}

[[nodiscard]] inline TrainedClassifier read_classifier(const Safetensors& file) {
  check_format(file, kClassifierFormat);
  const auto model =
      settings_from_json<TextClassifier<float>::Config>(Json::parse(metadata_text(file, "model"), "model"));
  auto [vocabulary, labels] = read_words_and_labels(file, model);
  const bool is_mat = model.kind == ClassifierKind::mat;
  check_sizes(file, model,
              {is_mat ? "mat.transformer_encoder.layers." : "transformer_encoder.layers.",
               is_mat ? std::optional<std::string>("mat.") : std::nullopt});
  TrainedClassifier classifier{std::move(vocabulary), std::move(labels), TextClassifier<float>(model, Random())};
  load_parameters(file, classifier.model.parameters());
  return classifier;
}

}  // namespace detail

/// Writes a classifier to one safetensors file, or leaves an old file as it was: the parameters as tensors, the
/// settings, words and labels as JSON in the metadata. Equal classifiers give equal bytes. Errors: FileError if the
/// file cannot be written; ValueError for a label that is not UTF-8.
inline void save_classifier(const std::string& path, const TrainedClassifier& classifier) {
  Metadata metadata = format_metadata(detail::kClassifierFormat);
  metadata["model"] = settings_to_json(classifier.model.config()).str();
  detail::add_words_and_labels(classifier.vocabulary, classifier.labels, metadata);
  save_parameters(path, classifier.model.parameters(), metadata);
}

/// Reads what save_classifier wrote; its predictions are the same, bit for bit.
/// Errors: FileError for any other file, `load_classifier: a.safetensors is no text classifier: its metadata has no
///         'format'`, before memory is taken beyond the size of the file.
[[nodiscard]] inline TrainedClassifier load_classifier(const std::string& path) {
  return read_model_file(path, "load_classifier", "text classifier",
                         [](const Safetensors& file) { return detail::read_classifier(file); });
}

}  // namespace MAT_ABI
}  // namespace mat
