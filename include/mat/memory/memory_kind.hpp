#pragma once

#include <mat/memory/delta_memory.hpp>
#include <mat/memory/knn_memory.hpp>
#include <mat/memory/memory_tokens.hpp>
#include <mat/memory/neural_memory.hpp>
#include <mat/memory/no_memory.hpp>
#include <mat/memory/segment_cache.hpp>

#include <array>

namespace mat {
inline namespace MAT_ABI {

// The memories by name, for programs that choose one when they run. A program that knows its memory uses the class.

/// A memory with its rule.
enum class MemoryKind {
  none,
  cache,     ///< SegmentCache
  tokens,    ///< MemoryTokens
  delta,     ///< DeltaMemory: a key that comes again overwrites.
  additive,  ///< DeltaMemory that writes beside what is there.
  neural,    ///< NeuralMemory
  knn,       ///< KnnMemory
};

/// All of them.
inline constexpr std::array<MemoryKind, 7> kMemoryKinds{MemoryKind::none,  MemoryKind::cache,    MemoryKind::tokens,
                                                        MemoryKind::delta, MemoryKind::additive, MemoryKind::neural,
                                                        MemoryKind::knn};

/// The name under which files and command lines know a kind.
[[nodiscard]] inline std::string_view name_of(MemoryKind kind) {
  constexpr std::array<std::string_view, kMemoryKinds.size()> kNames{"none",     "cache",  "tokens", "delta",
                                                                     "additive", "neural", "knn"};
  return kNames[static_cast<std::size_t>(kind)];
}

/// The kind of this name. Errors: ValueError for any other name.
[[nodiscard]] inline MemoryKind memory_kind_from_name(std::string_view name) {
  for (const MemoryKind kind : kMemoryKinds) {
    if (name == name_of(kind)) return kind;
  }
  detail::throw_value_error("memory_kind_from_name: name", "\"" + std::string(name) + "\"",
                            "none, cache, tokens, delta, additive, neural or knn");
}

/// A memory's class as an argument of a generic function.
template <class M>
struct MemoryType {
  using Memory = M;
};

/// What is the same for every kind of memory; 0: the memory's own default.
struct MemorySize {
  Index rows = 0;   ///< Of a cache, of memory tokens or of a memory of nearest rows.
  Index heads = 0;  ///< Of a delta memory or of a memory of nearest rows.
};

/// Returns fn(MemoryType<M>(), config) for the class of a kind, with the config that makes it that kind.
template <class T, class Function>
decltype(auto) with_memory_of_kind(MemoryKind kind, const MemorySize& size, Function&& fn) {
  if (kind == MemoryKind::none) return fn(MemoryType<NoMemory<T>>(), typename NoMemory<T>::Config());
  if (kind == MemoryKind::cache) {
    typename SegmentCache<T>::Config config;
    if (size.rows > 0) config.length = size.rows;
    return fn(MemoryType<SegmentCache<T>>(), config);
  }
  if (kind == MemoryKind::tokens) {
    typename MemoryTokens<T>::Config config;
    if (size.rows > 0) config.count = size.rows;
    return fn(MemoryType<MemoryTokens<T>>(), config);
  }
  if (kind == MemoryKind::neural) return fn(MemoryType<NeuralMemory<T>>(), typename NeuralMemory<T>::Config());
  if (kind == MemoryKind::knn) {
    typename KnnMemory<T>::Config config;
    if (size.rows > 0) config.capacity = size.rows;
    if (size.heads > 0) config.heads = size.heads;
    return fn(MemoryType<KnnMemory<T>>(), config);
  }
  typename DeltaMemory<T>::Config config;
  if (size.heads > 0) config.heads = size.heads;
  if (kind == MemoryKind::additive) config.rule = LinearAttentionRule::additive;
  return fn(MemoryType<DeltaMemory<T>>(), config);
}

}  // namespace MAT_ABI
}  // namespace mat
