#pragma once

#include <mat/core/simd.hpp>
#include <mat/ops/rows.hpp>

namespace mat {
inline namespace MAT_ABI {
namespace detail {

/// One pass of an optimiser over arrays of n numbers: fn(g, p) gets a pack of the gradient g and an array of packs, one
/// of each array in `values`, and changes the latter in place.
template <class T, class Function, class... Values>
void update_range(Index n, const Function& fn, const T* g, Values*... values) {
  constexpr Index size = simd::Pack<T>::kSize;
  Index i = 0;
  for (; i + size <= n; i += size) {
    simd::Pack<T> packs[] = {simd::load(values + i)...};
    fn(simd::load(g + i), packs);
    const simd::Pack<T>* pack = packs;
    (simd::store(values + i, *pack++), ...);
  }
  if (i == n) return;
  simd::Pack<T> packs[] = {simd::load_first(values + i, n - i)...};
  fn(simd::load_first(g + i, n - i), packs);
  const simd::Pack<T>* pack = packs;
  (simd::store_first(values + i, n - i, *pack++), ...);
}

/// The same, large arrays in pieces on several threads.
template <class T, class Function, class... Values>
void update(Index n, const Function& fn, const T* g, Values*... values) {
  for_each_piece(n, 4, [&](Index begin, Index count) { update_range(count, fn, g + begin, (values + begin)...); });
}

}  // namespace detail
}  // namespace MAT_ABI
}  // namespace mat
