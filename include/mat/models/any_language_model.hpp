#pragma once

#include <mat/memory/any_memory.hpp>
#include <mat/models/language_model.hpp>

namespace mat {
inline namespace MAT_ABI {

/// The sizes of a character language model with rotary positions and norms first, whatever its memory.
struct LanguageModelSettings {
  MemoryKind memory = MemoryKind::none;
  Index memory_rows = 0;    ///< Of a cache, of memory tokens or of the nearest; 0: the memory's default.
  Index memory_layer = -1;  ///< The one layer with a memory; -1: every layer. Memory tokens pass through all.
  Index segment = 64;       ///< Tokens that trainers and streams read at once.
  Index vocabulary = 0;
  Index dim = 128;
  Index hidden = 512;
  Index heads = 4;
  Index layers = 4;
  bool tied = false;
};

/// A language model whose memory is chosen when the program runs.
template <class T>
using AnyLanguageModel = LanguageModel<T, AnyMemory<T>>;

/// The config that the settings stand for.
template <class T>
[[nodiscard]] typename AnyLanguageModel<T>::Config language_model_config(const LanguageModelSettings& settings) {
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
  return config;
}

/// The language model of the settings. Errors: those of LanguageModel.
template <class T>
[[nodiscard]] AnyLanguageModel<T> make_language_model(const LanguageModelSettings& settings, const Random& random) {
  return AnyLanguageModel<T>(language_model_config<T>(settings), random);
}

}  // namespace MAT_ABI
}  // namespace mat
