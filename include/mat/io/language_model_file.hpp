#pragma once

#include <mat/io/alphabet.hpp>
#include <mat/io/base64.hpp>
#include <mat/io/model_file.hpp>
#include <mat/io/settings_json.hpp>
#include <mat/memory/any_memory.hpp>
#include <mat/models/language_model.hpp>

namespace mat {
inline namespace MAT_ABI {

/// The sizes of a character language model with rotary positions and norms first, whatever its memory.
struct LanguageModelSettings {
  MemoryKind memory = MemoryKind::none;
  Index memory_rows = 0;    ///< Of a cache or of memory tokens; 0: the memory's default.
  Index memory_layer = -1;  ///< The one layer with a memory; -1: every layer.
  Index segment = 64;       ///< Tokens that are read at once.
  Index vocabulary = 0;
  Index dim = 128;
  Index hidden = 512;
  Index heads = 4;
  Index layers = 4;
  bool tied = false;
};

namespace detail {

inline constexpr const char* kLanguageModelFormat = "mat language model";
inline constexpr const char* kLanguageModelVersion = "1";

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
  check_matrix(file, "embedding.weight", s.vocabulary, s.dim);
  for (Index i = 0; i < s.layers; ++i) {
    const std::string layer = "decoder.encoder.layers." + std::to_string(i) + ".";
    check_matrix(file, layer + "self_attn.in_proj_weight", 3 * s.dim, s.dim);
    check_matrix(file, layer + "linear1.weight", s.hidden, s.dim);
  }
  check_value(s.segment >= 1 && s.segment <= (1 << 20), "the segment", s.segment, "in [1, 1048576]");
  check_value(s.memory_rows >= 0 && s.memory_rows <= (1 << 20), "the rows of memory", s.memory_rows, "in [0, 1048576]");
}

}  // namespace detail

/// A language model whose memory is chosen when the program runs.
template <class T>
using AnyLanguageModel = LanguageModel<T, AnyMemory<T>>;

/// A language model with the sizes and the memory of `settings`.
/// Errors: those of LanguageModel.
template <class T>
[[nodiscard]] AnyLanguageModel<T> make_language_model(const LanguageModelSettings& settings, const Random& random) {
  typename AnyLanguageModel<T>::Config config;
  config.vocabulary = settings.vocabulary;
  config.tied = settings.tied;
  config.decoder.memory = AnyMemory<T>::Config::of(settings.memory, {settings.memory_rows, settings.heads});
  config.decoder.memory_layer = settings.memory_layer;
  auto& encoder = config.decoder.encoder;
  encoder.num_layers = settings.layers;
  encoder.final_norm = true;
  encoder.layer.d_model = settings.dim;
  encoder.layer.nhead = settings.heads;
  encoder.layer.dim_feedforward = settings.hidden;
  encoder.layer.activation = Activation::gelu;
  encoder.layer.norm_first = true;
  encoder.layer.attention.rotary.emplace();
  return AnyLanguageModel<T>(config, random);
}

/// A language model's file without its parameters: read what it is first, then make it.
struct LanguageModelFile {
  LanguageModelSettings settings;
  Alphabet alphabet;
  Safetensors tensors;
};

/// Writes a language model to one safetensors file, or leaves an old file as it was: the parameters as tensors, the
/// settings and the alphabet as JSON in the metadata. Equal models give equal bytes.
/// Errors: FileError if the file cannot be written.
template <class Model>
void save_language_model(const std::string& path, const Model& model, const LanguageModelSettings& settings,
                         const Alphabet& alphabet) {
  Json::Array characters;
  for (const std::string& character : alphabet.characters()) characters.push_back(Json(to_base64(character)));
  Metadata metadata;
  metadata["format"] = detail::kLanguageModelFormat;
  metadata["format_version"] = detail::kLanguageModelVersion;
  metadata["model"] = settings_to_json(settings).str();
  metadata["alphabet"] = Json(std::move(characters)).str();
  save_parameters(path, model.parameters(), metadata);
}

/// Reads what save_language_model wrote; load_language_model makes the model of it.
/// Errors: FileError for any other file.
[[nodiscard]] inline LanguageModelFile read_language_model_file(const std::string& path) {
  return read_model_file(path, "read_language_model_file", "language model", [](Safetensors tensors) {
    check_metadata(tensors, "format", detail::kLanguageModelFormat);
    check_metadata(tensors, "format_version", detail::kLanguageModelVersion);
    auto settings = settings_from_json<LanguageModelSettings>(Json::parse(metadata_text(tensors, "model"), "model"));
    std::vector<std::string> characters;
    const Json alphabet = Json::parse(metadata_text(tensors, "alphabet"), "alphabet");
    for (const Json& character : alphabet.as_array()) characters.push_back(from_base64(character.as_string()));
    check_value(static_cast<Index>(characters.size()) + 1 == settings.vocabulary, "the number of characters",
                static_cast<Index>(characters.size()) + 1, std::to_string(settings.vocabulary));
    detail::check_sizes(tensors, settings);
    return LanguageModelFile{settings, Alphabet(std::move(characters)), std::move(tensors)};
  });
}

/// The model of a file. Errors: FileError if its tensors do not fit.
template <class T>
[[nodiscard]] AnyLanguageModel<T> load_language_model(const LanguageModelFile& file) {
  auto model = make_language_model<T>(file.settings, Random());
  load_parameters(file.tensors, model.parameters());
  return model;
}

}  // namespace MAT_ABI
}  // namespace mat
