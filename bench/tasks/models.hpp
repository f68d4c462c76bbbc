#pragma once

#include <mat/memory/memory_kind.hpp>
#include <mat/models/language_model.hpp>

#include <bench/tasks/task.hpp>

namespace bench {

/// A decoder for a task: norms first, rotary positions, a memory beside every layer.
template <class Memory>
[[nodiscard]] typename mat::LanguageModel<float, Memory>::Config decoder_config(const Task& task,
                                                                                const typename Memory::Config& memory) {
  typename mat::LanguageModel<float, Memory>::Config config;
  config.vocabulary = task.vocabulary;
  config.decoder.memory = memory;
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

[[nodiscard]] inline std::vector<std::string> memory_names() {
  std::vector<std::string> names;
  for (const mat::MemoryKind kind : mat::kMemoryKinds) names.emplace_back(name_of(kind));
  return names;
}

/// Calls fn(MemoryType<M>(), config of a decoder with M) for the memory of this name: its sizes, and all of the neural
/// memory's settings, are the task's, the rest its own defaults. Errors: ValueError for a name that is none of
/// memory_names().
template <class Function>
auto with_memory(const std::string& name, const Task& task, const Function& fn) {
  const mat::MemorySize size{task.memory_size, task.heads};
  return mat::with_memory_of_kind<float>(mat::memory_kind_from_name(name), size, [&](auto type, auto memory) {
    using Memory = typename decltype(type)::Memory;
    if constexpr (std::is_same_v<Memory, mat::NeuralMemory<float>>) memory = task.neural;
    return fn(type, decoder_config<Memory>(task, memory));
  });
}

}  // namespace bench
