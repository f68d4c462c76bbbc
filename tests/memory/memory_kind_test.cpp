#include "support/catch.hpp"

#include <mat/memory/memory_kind.hpp>

#include <set>

using namespace mat;

TEST_CASE("every kind of memory has a name of its own and a class that it makes", "[memory]") {
  std::set<std::string> names;
  for (const MemoryKind kind : kMemoryKinds) {
    const std::string name(name_of(kind));
    CHECK(names.insert(name).second);
    CHECK(memory_kind_from_name(name) == kind);
    const Index bytes = with_memory_of_kind<float>(kind, {3, 2}, [](auto type, auto config) {
      using Memory = typename decltype(type)::Memory;
      check_is_memory<float, Memory>();
      config.features = 8;
      const Memory memory(config, Random(1));
      typename Memory::State state;
      memory.initial(1, state);
      return state_bytes(state);
    });
    CHECK((bytes > 0) == (kind != MemoryKind::none));
  }
  CHECK_THROWS_WITH(memory_kind_from_name("both"),
                    "memory_kind_from_name: name is \"both\", expected none, cache, tokens, delta, additive, neural or "
                    "knn");
}

TEST_CASE("the size of a kind reaches its memory", "[memory]") {
  with_memory_of_kind<float>(MemoryKind::cache, {5, 0}, [](auto, const auto& config) {
    if constexpr (std::is_same_v<std::decay_t<decltype(config)>, SegmentCache<float>::Config>)
      CHECK(config.length == 5);
  });
  with_memory_of_kind<float>(MemoryKind::additive, {0, 2}, [](auto, const auto& config) {
    if constexpr (std::is_same_v<std::decay_t<decltype(config)>, DeltaMemory<float>::Config>) {
      CHECK(config.heads == 2);
      CHECK(config.rule == LinearAttentionRule::additive);
    }
  });
}
