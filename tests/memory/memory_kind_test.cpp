#include "support/catch.hpp"

#include <mat/memory/memory_kind.hpp>

#include <set>

namespace memory_kind_test {

using namespace mat;

TEST_CASE("every kind of memory has a name of its own", "[memory]") {
  std::set<std::string_view> names;
  for (const MemoryKind kind : kMemoryKinds) {
    CHECK(names.insert(name_of(kind)).second);
    CHECK(memory_kind_from_name(name_of(kind)) == kind);
  }
  CHECK_THROWS_WITH(memory_kind_from_name("both"),
                    "memory_kind_from_name: name is \"both\", expected none, cache, tokens, delta, additive, neural, "
                    "knn or delta-cache");
}

}  // namespace memory_kind_test
