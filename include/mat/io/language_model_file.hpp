#pragma once

#include <mat/io/alphabet.hpp>
#include <mat/io/base64.hpp>
#include <mat/io/model_file.hpp>
#include <mat/io/settings_json.hpp>
#include <mat/models/any_language_model.hpp>

namespace mat {
inline namespace MAT_ABI {

namespace detail {

inline constexpr ModelFormat kLanguageModelFormat{"mat language model", "1"};

}  // namespace detail

// What decides the model: see settings_json.hpp.

template <class Walk>
void walk_settings(LanguageModelSettings& settings, const Walk& walk) {
  walk(
      "memory", settings.memory, [](MemoryKind kind) { return name_of(kind); }, memory_kind_from_name);
  walk("memory_rows", settings.memory_rows);
  walk("memory_layer", settings.memory_layer);
  walk("segment", settings.segment);
  walk("vocabulary", settings.vocabulary);
  walk("dim", settings.dim);
  walk("hidden", settings.hidden);
  walk("heads", settings.heads);
  walk("layers", settings.layers);
  walk("tied", settings.tied);
}

namespace detail {

/// The sizes in the settings are those of the tensors, so that a file takes no more memory than it has bytes.
inline void check_sizes(const Safetensors& file, const LanguageModelSettings& s) {
  check_value(s.layers >= 1, "the layers", s.layers, "at least 1");
  check_matrix(file, "embedding.weight", s.vocabulary, s.dim);
  for (Index i = 0; i < s.layers; ++i) {
    const std::string layer = "decoder.encoder.layers." + std::to_string(i) + ".";
    check_matrix(file, layer + "self_attn.in_proj_weight", 3 * s.dim, s.dim);
    check_matrix(file, layer + "linear1.weight", s.hidden, s.dim);
  }
  check_value(s.segment >= 1 && s.segment <= kLongestSegment, "the segment", s.segment, "at least 1 and at most ",
              kLongestSegment);
  const Index memories = s.memory_layer < 0 ? s.layers : 1;
  check_memory_rows(file, s.memory, s.memory_rows, "decoder.memories", memories, s.dim);
}

}  // namespace detail

/// A character language model with all that it needs to read a text; a plain value.
struct TrainedLanguageModel {
  LanguageModelSettings settings;
  Alphabet alphabet;
  AnyLanguageModel<float> model;  // made of the settings
};

/// Writes a language model to one safetensors file, or leaves an old file as it was: the parameters as tensors, the
/// settings and the alphabet as JSON in the metadata. Equal models give equal bytes.
/// Errors: FileError if the file cannot be written.
inline void save_language_model(const std::string& path, const TrainedLanguageModel& trained) {
  Json::Array characters;
  for (const std::string& character : trained.alphabet.characters()) characters.push_back(Json(to_base64(character)));
  Metadata metadata = format_metadata(detail::kLanguageModelFormat);
  metadata["model"] = settings_to_json(trained.settings).str();
  metadata["alphabet"] = Json(std::move(characters)).str();
  save_parameters(path, trained.model.parameters(), metadata);
}

/// Reads what save_language_model wrote; its logits are the same, bit for bit.
/// Errors: FileError for any other file, before memory is taken beyond the size of the file.
[[nodiscard]] inline TrainedLanguageModel load_language_model(const std::string& path) {
  return read_model_file(path, "load_language_model", "language model", [](const Safetensors& file) {
    check_format(file, detail::kLanguageModelFormat);
    auto settings = settings_from_json<LanguageModelSettings>(Json::parse(metadata_text(file, "model"), "model"));
    std::vector<std::string> characters;
    const Json alphabet = Json::parse(metadata_text(file, "alphabet"), "alphabet");
    for (const Json& character : alphabet.as_array()) characters.push_back(from_base64(character.as_string()));
    check_value(static_cast<Index>(characters.size()) + 1 == settings.vocabulary, "the number of characters",
                static_cast<Index>(characters.size()) + 1, std::to_string(settings.vocabulary));
    detail::check_sizes(file, settings);
    auto model = make_language_model<float>(settings, Random());
    load_parameters(file, model.parameters());
    return TrainedLanguageModel{settings, Alphabet(std::move(characters)), std::move(model)};
  });
}

}  // namespace MAT_ABI
}  // namespace mat
