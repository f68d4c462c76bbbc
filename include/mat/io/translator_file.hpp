#pragma once

#include <mat/io/base64.hpp>
#include <mat/io/model_file.hpp>
#include <mat/io/settings_json.hpp>
#include <mat/models/translator.hpp>
#include <mat/training/progress.hpp>

namespace mat {
inline namespace MAT_ABI {

/// A translator as its file holds it: with the bytes that its tokenizer is made of again, and how it was trained.
struct SavedTranslator {
  Translator<float> model;
  std::string tokenizer;
  std::vector<Progress> history;  // the end of each epoch
};

namespace detail {

inline constexpr ModelFormat kTranslatorFormat{"mat translator", "1"};

}  // namespace detail

// What decides the model: see settings_json.hpp.

template <class Walk>
void walk_settings(Translator<float>::Config& config, const Walk& walk) {
  walk(
      "kind", config.kind, [](TranslatorKind kind) { return name_of(kind); }, translator_kind_from_name);
  walk("source_vocabulary", config.source_vocabulary);
  walk("target_vocabulary", config.target_vocabulary);
  walk("share_embeddings", config.share_embeddings);
  walk("tie_output", config.tie_output);
  walk("num_encoder_layers", config.num_encoder_layers);
  walk("num_decoder_layers", config.num_decoder_layers);
  walk("memory_hidden", config.memory_hidden);
  walk("memory_residual", config.memory_residual);
  walk("d_model", config.layer.d_model);
  walk("nhead", config.layer.nhead);
  walk("dim_feedforward", config.layer.dim_feedforward);
  walk(
      "activation", config.layer.activation, [](Activation kind) { return name_of(kind); }, activation_from_name);
  walk("norm_first", config.layer.norm_first);
  walk("layer_norm_eps", config.layer.layer_norm_eps);
  walk("gated", config.layer.gated);
}

namespace detail {

/// Throws ValueError for a model with a setting that walk_settings does not walk: it would come back as another one.
inline void check_can_be_saved(const Translator<float>::Config& config) {
  const auto& layer = config.layer;
  const auto& attention = layer.attention;
  const auto check = [](const char* name, bool is_default) {
    if (is_default) return;
    throw_value_error(std::string("save_translator: layer.") + name, "set", "its default: a file has no place for it");
  };
  check("bias", layer.bias);
  check("attention.kv_heads", attention.kv_heads == 0 || attention.kv_heads == layer.nhead);
  check("attention.kdim", attention.kdim == 0 || attention.kdim == layer.d_model);
  check("attention.vdim", attention.vdim == 0 || attention.vdim == layer.d_model);
  check("attention.add_bias_kv", !attention.add_bias_kv);
  check("attention.add_zero_attn", !attention.add_zero_attn);
  check("attention.softcap", attention.softcap == 0);
  check("attention.scale", !attention.scale);
  check("attention.alibi", !attention.alibi);
  check("attention.rotary", !attention.rotary);
  check("attention.relative", !attention.relative);
}

[[nodiscard]] inline Json history_to_json(const std::vector<Progress>& history) {
  Json::Array rows;
  for (const Progress& progress : history) rows.push_back(Json::parse(json_line(progress)));
  return rows;
}
[[nodiscard]] inline std::vector<Progress> history_from_json(const Json& json) {
  std::vector<Progress> history;
  for (const Json& row : json.as_array()) {
    const auto number = [&](const char* name) {
      return row.at(name).is_null() ? Progress::kNone : row.at(name).as_double();
    };
    Progress progress;
    progress.event = Progress::Event::epoch;
    progress.epoch = row.at("epoch").as_index();
    progress.epochs = row.at("epochs").as_index();
    progress.step = row.at("step").as_index();
    progress.loss = number("loss");
    progress.learning_rate = number("learning_rate");
    progress.validation = number("validation");
    progress.seconds = number("seconds");
    history.push_back(progress);
  }
  return history;
}

/// The sizes in the settings are those of the tensors, so that a file takes no more memory than it has bytes.
inline void check_sizes(const Safetensors& file, const Translator<float>::Config& c) {
  const auto check = [&](const std::string& name, Index rows, Index cols) { check_matrix(file, name, rows, cols); };
  const Index d = c.layer.d_model, hidden = c.layer.dim_feedforward;
  check("embedding.weight", c.source_vocabulary, d);
  if (!c.share_embeddings) check("target_embedding.weight", c.target_vocabulary, d);
  if (c.share_embeddings) check("embedding.weight", c.target_vocabulary, d);
  if (!c.tie_output) check("output_weight", c.target_vocabulary, d);
  const auto check_layers = [&](const std::string& stack, Index layers) {
    for (Index i = 0; i < layers; ++i) {
      const std::string layer = stack + ".layers." + std::to_string(i) + ".";
      check(layer + "self_attn.in_proj_weight", 3 * d, d);
      check(layer + "linear1.weight", hidden, d);
    }
  };
  check_layers("encoder", c.num_encoder_layers);
  check_layers("decoder", c.num_decoder_layers);
  if (c.kind != TranslatorKind::vanilla) check("memory_layer.fc1.weight", c.memory_hidden, d);
}

[[nodiscard]] inline SavedTranslator read_translator(const Safetensors& file) {
  check_format(file, kTranslatorFormat);
  const auto config = settings_from_json<Translator<float>::Config>(Json::parse(metadata_text(file, "model"), "model"));
  check_sizes(file, config);
  SavedTranslator saved{Translator<float>(config, Random()), from_base64(metadata_text(file, "tokenizer")),
                        history_from_json(Json::parse(metadata_text(file, "history"), "history"))};
  load_parameters(file, saved.model.parameters());
  return saved;
}

}  // namespace detail

/// Writes a translator to one safetensors file, or leaves an old file as it was: the parameters as tensors, the
/// settings and the history as JSON in the metadata, the bytes of the tokenizer there as base64. Equal translators give
/// equal bytes, but for the times in the history.
/// Errors: FileError if the file cannot be written; ValueError for a model whose layers have what the settings have no
///         word for: no biases, or attention that is not PyTorch's.
inline void save_translator(const std::string& path, const Translator<float>& model, const std::string& tokenizer,
                            const std::vector<Progress>& history = {}) {
  detail::check_can_be_saved(model.config());
  Metadata metadata = format_metadata(detail::kTranslatorFormat);
  metadata["model"] = settings_to_json(model.config()).str();
  metadata["tokenizer"] = to_base64(tokenizer);
  metadata["history"] = detail::history_to_json(history).str();
  save_parameters(path, model.parameters(), metadata);
}

/// Reads what save_translator wrote; its translations are the same, bit for bit.
/// Errors: FileError for any other file, `load_translator: a.safetensors is no translator: its metadata has no
///         'format'`, before memory is taken beyond the size of the file.
[[nodiscard]] inline SavedTranslator load_translator(const std::string& path) {
  return read_model_file(path, "load_translator", "translator",
                         [](const Safetensors& file) { return detail::read_translator(file); });
}

}  // namespace MAT_ABI
}  // namespace mat
