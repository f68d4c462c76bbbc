#pragma once

#include <mat/models/any_language_model.hpp>

#include <bench/tasks/task.hpp>

namespace bench {

using Model = mat::AnyLanguageModel<float>;

[[nodiscard]] inline std::vector<std::string> memory_names() {
  std::vector<std::string> names;
  for (const mat::MemoryKind kind : mat::kMemoryKinds) names.emplace_back(name_of(kind));
  return names;
}

/// A decoder for a task, beside every layer the memory of this name. The memory's sizes, and all of the neural memory's
/// settings, are the task's, the rest its own defaults.
/// Errors: ValueError for a name that is none of memory_names().
[[nodiscard]] inline Model::Config decoder_config(const std::string& memory, const Task& task) {
  mat::LanguageModelSettings settings;
  settings.memory = mat::memory_kind_from_name(memory);
  settings.memory_rows = task.memory_size;
  settings.vocabulary = task.vocabulary;
  settings.dim = task.d_model;
  settings.hidden = task.hidden;
  settings.heads = task.heads;
  settings.layers = task.layers;
  Model::Config config = mat::language_model_config<float>(settings);
  config.decoder.encoder.layer.activation = mat::Activation::relu;
  if (auto* neural = std::get_if<mat::NeuralMemory<float>::Config>(&config.decoder.memory.memory)) {
    *neural = task.neural;
  }
  return config;
}

/// A batch as the model's input; it must outlive that.
[[nodiscard]] inline Model::Segment segment_of(const SegmentBatch& batch) {
  return {{batch.tokens, {static_cast<Index>(batch.tokens.size())}}, &batch.sequences};
}

}  // namespace bench
