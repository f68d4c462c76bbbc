#include "support/catch.hpp"

#include <mat/core/parallel.hpp>

#include <vector>

namespace parallel_test {

using namespace mat;

TEST_CASE("parallel_for runs every item once, on threads that exist", "[core]") {
  const int before = max_threads();
  for (const int threads : {1, 2, 4}) {
    set_threads(threads);
    std::vector<int> runs(1000, 0);
    std::vector<int> thread_of(1000, -1);
    parallel_for(1000, kParallelGrain, [&](Index i, Index thread) {
      ++runs[static_cast<std::size_t>(i)];
      thread_of[static_cast<std::size_t>(i)] = static_cast<int>(thread);
    });
    CHECK(runs == std::vector<int>(1000, 1));
    for (const int thread : thread_of) REQUIRE((thread >= 0 && thread < max_threads()));
  }
  set_threads(before);
}

TEST_CASE("little work stays on the calling thread", "[core]") {
  std::vector<Index> threads;
  parallel_for(10, kParallelGrain - 1, [&](Index, Index thread) { threads.push_back(thread); });
  CHECK(threads == std::vector<Index>(10, 0));
}

TEST_CASE("no items are no calls", "[core]") {
  bool called = false;
  parallel_for(0, kParallelGrain, [&](Index, Index) { called = true; });
  CHECK_FALSE(called);
}

}  // namespace parallel_test
