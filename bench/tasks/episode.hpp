#pragma once

#include <mat/core/random.hpp>
#include <mat/core/sequences.hpp>

#include <vector>

namespace bench {

using mat::Index;

/// The target of a token that nothing is asked of.
inline constexpr Index kNoTarget = -100;

/// A piece of a stream that a model sees at once: token ids and, for each, what should follow.
struct Segment {
  std::vector<Index> tokens, targets;

  void add(Index token, Index target = kNoTarget) {
    tokens.push_back(token);
    targets.push_back(target);
  }
  /// Whether something is asked of its last token: a question, not something told.
  [[nodiscard]] bool is_question() const { return !targets.empty() && targets.back() != kNoTarget; }
};

/// One stream from an empty memory to its end. What is asked lies in other segments than what was told.
using Episode = std::vector<Segment>;

/// The i-th segments of several episodes, one after the other; an episode that is over has no tokens.
struct SegmentBatch {
  std::vector<Index> tokens, targets;  // [rows of sequences]
  mat::Sequences sequences;

  /// The number of tokens that something is asked of.
  [[nodiscard]] Index target_count() const {
    Index count = 0;
    for (const Index target : targets) count += target != kNoTarget ? 1 : 0;
    return count;
  }
};

[[nodiscard]] inline std::vector<SegmentBatch> batch_of(const std::vector<Episode>& episodes) {
  std::size_t segments = 0;
  for (const Episode& episode : episodes) segments = std::max(segments, episode.size());
  std::vector<SegmentBatch> batches(segments);
  std::vector<Index> lengths(episodes.size());
  for (std::size_t i = 0; i < segments; ++i) {
    SegmentBatch& batch = batches[i];
    for (std::size_t b = 0; b < episodes.size(); ++b) {
      lengths[b] = 0;
      if (i >= episodes[b].size()) continue;
      const Segment& segment = episodes[b][i];
      lengths[b] = static_cast<Index>(segment.tokens.size());
      batch.tokens.insert(batch.tokens.end(), segment.tokens.begin(), segment.tokens.end());
      batch.targets.insert(batch.targets.end(), segment.targets.begin(), segment.targets.end());
    }
    batch.sequences.assign(lengths);
  }
  return batches;
}

/// `count` different numbers of {0, ..., n - 1} in a random order; count <= n.
[[nodiscard]] inline std::vector<Index> distinct(Index count, Index n, const mat::Random& random) {
  std::vector<Index> numbers(static_cast<std::size_t>(n));
  for (std::size_t i = 0; i < numbers.size(); ++i) numbers[i] = static_cast<Index>(i);
  mat::shuffle(numbers.begin(), n, random);
  numbers.resize(static_cast<std::size_t>(count));
  return numbers;
}

}  // namespace bench
