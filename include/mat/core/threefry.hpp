#pragma once

#include <mat/core/random.hpp>

namespace mat {
inline namespace MAT_ABI {

namespace detail {

/// Round `round` of Threefry4x32, and what is added after every fourth; known when compiled, so that the words of all
/// lanes stay in registers.
template <int round, int kLanes>
void threefry_round(const std::uint32_t (&key)[5], std::uint32_t (&words)[4][kLanes]) {
  constexpr int kRotations[8][2] = {{10, 26}, {11, 21}, {13, 27}, {23, 5}, {6, 20}, {17, 11}, {25, 10}, {18, 20}};
  const auto mix = [&](int a, int b, int rotation) {
    for (int lane = 0; lane < kLanes; ++lane) {
      words[a][lane] += words[b][lane];
      words[b][lane] = (words[b][lane] << rotation | words[b][lane] >> (32 - rotation)) ^ words[a][lane];
    }
  };
  mix(0, round % 2 == 0 ? 1 : 3, kRotations[round % 8][0]);
  mix(2, round % 2 == 0 ? 3 : 1, kRotations[round % 8][1]);
  if (round % 4 != 3) return;
  constexpr int injection = round / 4 + 1;
  for (int i = 0; i < 4; ++i) {
    const std::uint32_t part = key[(injection + i) % 5] + (i == 3 ? std::uint32_t{injection} : 0);
    for (int lane = 0; lane < kLanes; ++lane) words[i][lane] += part;
  }
}

template <int kLanes, int... rounds>
void threefry_rounds(const std::uint32_t (&key)[5], std::uint32_t (&words)[4][kLanes],
                     std::integer_sequence<int, rounds...>) {
  (threefry_round<rounds>(key, words), ...);
}

}  // namespace detail

/// The blocks of kLanes consecutive counters of another counter-based generator: one that only adds, rotates and
/// exclusively-ors, which a processor does to many lanes at once where Random's products would wait for each other.
///
///     words[i][lane] = word i of the block at first + lane, of the key (seed, stream)
///
/// 13 rounds are one more than the fewest that pass every test of randomness (BigCrush).
///
/// Source: Salmon et al. (2011), "Parallel random numbers: as easy as 1, 2, 3", Threefry4x32.
/// Shapes: words [4, kLanes].
template <int kRounds = 13, int kLanes>
void threefry(const Random& random, std::uint64_t first, std::uint32_t (&words)[4][kLanes]) {
  const auto low = [](std::uint64_t x) { return static_cast<std::uint32_t>(x); };
  const auto high = [](std::uint64_t x) { return static_cast<std::uint32_t>(x >> 32); };
  std::uint32_t key[5] = {low(random.seed()), high(random.seed()), low(random.stream()), high(random.stream()),
                          0x1BD11BDAu};
  for (int i = 0; i < 4; ++i) key[4] ^= key[i];
  for (int lane = 0; lane < kLanes; ++lane) {
    const std::uint64_t counter = first + static_cast<std::uint64_t>(lane);
    words[0][lane] = low(counter) + key[0];
    words[1][lane] = high(counter) + key[1];
    words[2][lane] = key[2];
    words[3][lane] = key[3];
  }
  detail::threefry_rounds(key, words, std::make_integer_sequence<int, kRounds>());
}

}  // namespace MAT_ABI
}  // namespace mat
