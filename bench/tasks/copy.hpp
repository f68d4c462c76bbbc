#pragma once

#include <bench/tasks/episode.hpp>

namespace bench {

/// `x_1 ... x_n BEGIN`, then x twice: 3n tokens, cut into segments of `length`, each token of both copies asked of the
/// one before it. Symbols are 0 ... symbols - 1, then comes BEGIN.
///
/// Source: Bulatov et al. (2022), "Recurrent memory transformer", its copy task.
[[nodiscard]] inline Episode copy_twice(Index n, Index length, Index symbols, const mat::Random& random) {
  std::vector<Index> source(static_cast<std::size_t>(n));
  for (std::size_t i = 0; i < source.size(); ++i) source[i] = random.below(i, symbols);
  const auto token = [&](Index t) {
    return t < n    ? source[static_cast<std::size_t>(t)]
           : t == n ? symbols
                    : source[static_cast<std::size_t>((t - n - 1) % n)];
  };
  Episode episode(static_cast<std::size_t>((3 * n + length - 1) / length));
  for (Index t = 0; t < 3 * n; ++t) {
    episode[static_cast<std::size_t>(t / length)].add(token(t), t < n ? kNoTarget : token(t + 1));
  }
  return episode;
}

/// The first segment tells `n` symbols at its start, the last asks for them in their order: `BEGIN x_1 ... x_{n-1}`.
/// The rest are fillers. Symbols are 0 ... symbols - 1, then come BEGIN and `symbols` fillers.
[[nodiscard]] inline Episode long_copy(Index n, Index segments, Index length, Index symbols,
                                       const mat::Random& random) {
  const mat::Random source = random.split(0), fillers = random.split(1);
  const auto symbol = [&](Index i) { return source.below(static_cast<std::uint64_t>(i), symbols); };
  Episode episode(static_cast<std::size_t>(segments));
  for (Index t = 0; t < segments * length; ++t) {
    const Index filler = symbols + 1 + fillers.below(static_cast<std::uint64_t>(t), symbols);
    const Index place = t - (segments - 1) * length;  // in the last segment
    Segment& segment = episode[static_cast<std::size_t>(t / length)];
    if (t < n) {
      segment.add(symbol(t));
    } else if (place >= 0 && place < n) {
      segment.add(place == 0 ? symbols : symbol(place - 1), symbol(place));
    } else {
      segment.add(filler);
    }
  }
  return episode;
}

}  // namespace bench
