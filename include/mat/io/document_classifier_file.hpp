#pragma once

#include <mat/io/classifier_file.hpp>
#include <mat/io/trained_document_classifier.hpp>

#include <variant>

namespace mat {
inline namespace MAT_ABI {

namespace detail {

inline constexpr ModelFormat kDocumentClassifierFormat{"mat document classifier", "1"};

}  // namespace detail

// What decides the model: see settings_json.hpp.

template <class Walk>
void walk_settings(DocumentClassifierConfig<float>& config, const Walk& walk) {
  const auto part_name = [](DocumentPart part) { return part == DocumentPart::all ? "all" : "last_segment"; };
  const auto part_from_name = [](const std::string& name) {
    if (name != "all" && name != "last_segment")
      detail::throw_value_error("part", detail::in_quotes(name), "all or last_segment");
    return name == "all" ? DocumentPart::all : DocumentPart::last_segment;
  };
  walk_settings(config.text, walk);
  walk("segment", config.segments.length);
  walk("part", config.segments.part, part_name, part_from_name);
  walk(
      "memory", config.memory, [](MemoryKind kind) { return name_of(kind); }, memory_kind_from_name);
  walk("memory_rows", config.size.rows);
  walk("memory_heads", config.size.heads);
}

namespace detail {

[[nodiscard]] inline TrainedDocumentClassifier read_document_classifier(const Safetensors& file) {
  check_format(file, kDocumentClassifierFormat);
  auto config = settings_from_json<DocumentClassifierConfig<float>>(Json::parse(metadata_text(file, "model"), "model"));
  auto [vocabulary, labels] = read_words_and_labels(file, config.text);
  check_sizes(file, config.text, {"encoder.encoder.layers.", ""});
  check_memory_rows(file, config.memory, config.size.rows, "encoder.memories", config.text.layers, config.text.dim);
  check_value(config.size.heads >= 0 && config.size.heads <= config.text.dim, "the heads of memory", config.size.heads,
              "at least 0 and at most the features, ", config.text.dim);
  auto model = make_document_classifier<float>(config, Random());
  load_parameters(file, model.parameters());
  return {std::move(vocabulary), std::move(labels), config, std::move(model)};
}

}  // namespace detail

/// Writes a classifier to one safetensors file, as save_classifier does.
/// Errors: FileError if the file cannot be written; ValueError for a label that is not UTF-8.
inline void save_document_classifier(const std::string& path, const TrainedDocumentClassifier& classifier) {
  Metadata metadata = format_metadata(detail::kDocumentClassifierFormat);
  metadata["model"] = settings_to_json(classifier.config).str();
  detail::add_words_and_labels(classifier.vocabulary, classifier.labels, metadata);
  save_parameters(path, classifier.model.parameters(), metadata);
}

/// Reads what save_document_classifier wrote; its predictions are the same, bit for bit.
/// Errors: FileError for any other file, `load_document_classifier: a.safetensors is no document classifier: its
///         metadata has no 'format'`, before memory is taken beyond the size of the file.
[[nodiscard]] inline TrainedDocumentClassifier load_document_classifier(const std::string& path) {
  return read_model_file(path, "load_document_classifier", "document classifier",
                         [](const Safetensors& file) { return detail::read_document_classifier(file); });
}

/// Reads what save_classifier or save_document_classifier wrote, whichever it is.
/// Errors: as load_classifier.
[[nodiscard]] inline std::variant<TrainedClassifier, TrainedDocumentClassifier> load_any_classifier(
    const std::string& path) {
  using Any = std::variant<TrainedClassifier, TrainedDocumentClassifier>;
  return read_model_file(path, "load_classifier", "text classifier", [](const Safetensors& file) -> Any {
    if (metadata_text(file, "format") == detail::kDocumentClassifierFormat.name)
      return detail::read_document_classifier(file);
    return detail::read_classifier(file);
  });
}

}  // namespace MAT_ABI
}  // namespace mat
