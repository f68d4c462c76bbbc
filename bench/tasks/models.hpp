#pragma once

#include <mat/memory/any_memory.hpp>
#include <mat/models/language_model.hpp>

#include <bench/tasks/task.hpp>

namespace bench {

using Memory = mat::AnyMemory<float>;
using Model = mat::LanguageModel<float, Memory>;

[[nodiscard]] inline std::vector<std::string> memory_names() {
  std::vector<std::string> names;
  for (const mat::MemoryKind kind : mat::kMemoryKinds) names.emplace_back(name_of(kind));
  return names;
}

/// A decoder for a task: norms first, rotary positions, beside every layer the memory of this name. The memory's sizes,
/// and all of the neural memory's settings, are the task's, the rest its own defaults.
/// Errors: ValueError for a name that is none of memory_names().
[[nodiscard]] inline Model::Config decoder_config(const std::string& memory, const Task& task) {
  Model::Config config;
  config.vocabulary = task.vocabulary;
  config.decoder.memory = Memory::Config::of(mat::memory_kind_from_name(memory), {task.memory_size, task.heads});
  if (auto* neural = std::get_if<mat::NeuralMemory<float>::Config>(&config.decoder.memory.memory)) {
    *neural = task.neural;
  }
  auto& encoder = config.decoder.encoder;
  encoder.num_layers = task.layers;
  encoder.final_norm = true;
  encoder.layer.d_model = task.d_model;
  encoder.layer.nhead = task.heads;
  encoder.layer.dim_feedforward = task.hidden;
  encoder.layer.norm_first = true;
  encoder.layer.attention.rotary.emplace();
  return config;
}

}  // namespace bench
