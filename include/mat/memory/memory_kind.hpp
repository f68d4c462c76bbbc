#pragma once

#include <mat/core/error.hpp>
#include <mat/core/types.hpp>

#include <array>

namespace mat {
inline namespace MAT_ABI {

// The memories by name, for programs that choose one when they run: see AnyMemory.

/// A memory with its rule.
enum class MemoryKind {
  none,
  cache,        ///< SegmentCache
  tokens,       ///< MemoryTokens
  delta,        ///< DeltaMemory: a key that comes again overwrites.
  additive,     ///< DeltaMemory that writes beside what is there.
  neural,       ///< NeuralMemory
  knn,          ///< KnnMemory
  delta_cache,  ///< DeltaCache
};

/// All of them.
inline constexpr std::array<MemoryKind, 8> kMemoryKinds{MemoryKind::none,  MemoryKind::cache,      MemoryKind::tokens,
                                                        MemoryKind::delta, MemoryKind::additive,   MemoryKind::neural,
                                                        MemoryKind::knn,   MemoryKind::delta_cache};

/// The name under which files and command lines know a kind.
[[nodiscard]] inline std::string_view name_of(MemoryKind kind) {
  constexpr std::array<std::string_view, kMemoryKinds.size()> kNames{"none",     "cache",  "tokens", "delta",
                                                                     "additive", "neural", "knn",    "delta-cache"};
  return kNames[static_cast<std::size_t>(kind)];
}

/// The kind of this name. Errors: ValueError for any other name.
[[nodiscard]] inline MemoryKind memory_kind_from_name(std::string_view name) {
  for (const MemoryKind kind : kMemoryKinds) {
    if (name == name_of(kind)) return kind;
  }
  detail::throw_value_error("memory_kind_from_name: name", "\"" + std::string(name) + "\"",
                            "none, cache, tokens, delta, additive, neural, knn or delta-cache");
}

/// Sizes that some kinds of memory have, and the others ignore; 0: the memory's own default.
struct MemorySize {
  Index rows = 0;   ///< Of either cache, of memory tokens or of a memory of nearest rows.
  Index heads = 0;  ///< Of a delta memory or of a memory of nearest rows.
};

/// The most rows of a memory, and the longest segment, that a file may ask for.
inline constexpr Index kMostMemoryRows = 65536, kLongestSegment = 1 << 20;

}  // namespace MAT_ABI
}  // namespace mat
