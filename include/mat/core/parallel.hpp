#pragma once

#include <mat/core/types.hpp>

#if defined(_OPENMP)
#include <omp.h>
#endif

namespace mat {
inline namespace MAT_ABI {

/// The most threads that parallel_for uses: 1 unless the program is compiled with OpenMP.
[[nodiscard]] inline int max_threads() {
#if defined(_OPENMP)
  return omp_in_parallel() ? 1 : omp_get_max_threads();
#else
  return 1;
#endif
}

/// Sets the number of threads of OpenMP's runtime for the calling thread; without OpenMP nothing changes.
inline void set_threads([[maybe_unused]] int count) {
#if defined(_OPENMP)
  omp_set_num_threads(count < 1 ? 1 : count);
#endif
}

/// Work below this many multiplications stays on the calling thread: waking others would cost more.
inline constexpr Index kParallelGrain = 1 << 21;

/// Calls fn(item, thread) for item = 0 ... n - 1, in any order, possibly on several threads; thread < max_threads().
///
/// What an item computes must depend on the item alone, never on `thread` (which only names scratch memory) nor on
/// other items. Then the bits of a result are the same for any number of threads. `work` is the number of
/// multiplications of all items together. `fn` must not throw.
template <class Function>
void parallel_for(Index n, [[maybe_unused]] Index work, const Function& fn) {
#if defined(_OPENMP)
  if (n > 1 && work >= kParallelGrain && max_threads() > 1) {
#pragma omp parallel for schedule(dynamic, 1)
    for (Index i = 0; i < n; ++i) fn(i, omp_get_thread_num());
    return;
  }
#endif
  for (Index i = 0; i < n; ++i) fn(i, 0);
}

}  // namespace MAT_ABI
}  // namespace mat
