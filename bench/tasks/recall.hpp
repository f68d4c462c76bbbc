#pragma once

#include <bench/tasks/episode.hpp>

namespace bench {

// Tasks of recall: a stream tells values of keys, and asks for them when its window has moved on. Every episode is a
// function of its settings and a generator.
//
// Token ids of all of them: keys, then values, then "?", then fillers.

struct RecallAlphabet {
  Index keys = 16, values = 16, fillers = 16;

  [[nodiscard]] Index key(Index i) const { return i; }
  [[nodiscard]] Index value(Index i) const { return keys + i; }
  [[nodiscard]] Index question() const { return keys + values; }
  [[nodiscard]] Index filler(Index i) const { return question() + 1 + i; }
  [[nodiscard]] Index vocabulary() const { return question() + 1 + fillers; }
};

/// Segments of four tokens `k v k v` tell `pairs` values of different keys (an even number), then one segment `q ? q ?`
/// asks for two different ones; the value is asked of the "?".
///
/// Source: multi-query associative recall of Arora et al. (2024), "Zoology", cut into segments: without a memory the
///         answer is a guess among all values, and with one that keeps values alone among those that were told.
[[nodiscard]] inline Episode segment_recall(Index pairs, const RecallAlphabet& alphabet, const mat::Random& random) {
  const std::vector<Index> keys = distinct(pairs, alphabet.keys, random.split(0));
  const mat::Random values = random.split(1);
  const auto value = [&](Index i) {
    return alphabet.value(values.below(static_cast<std::uint64_t>(i), alphabet.values));
  };
  Episode episode(static_cast<std::size_t>((pairs + 1) / 2));
  for (Index i = 0; i < pairs; ++i) {
    Segment& segment = episode[static_cast<std::size_t>(i / 2)];
    segment.add(alphabet.key(keys[static_cast<std::size_t>(i)]));
    segment.add(value(i));
  }
  episode.emplace_back();
  for (const Index i : distinct(std::min<Index>(2, pairs), pairs, random.split(2))) {
    episode.back().add(alphabet.key(keys[static_cast<std::size_t>(i)]));
    episode.back().add(alphabet.question(), value(i));
  }
  return episode;
}

/// `writes` values for `keys` different keys, of which the newest counts; then `q ? q ?`. The first two writes are to
/// the two keys that will be asked for, in either order; the others draw their key uniformly. 2 <= keys, writes.
[[nodiscard]] inline Episode overwrite(Index writes, Index keys, const RecallAlphabet& alphabet,
                                       const mat::Random& random) {
  const std::vector<Index> used = distinct(keys, alphabet.keys, random.split(0));
  const mat::Random values = random.split(1), choices = random.split(2);
  std::vector<Index> newest(used.size());
  Episode episode(static_cast<std::size_t>((writes + 1) / 2));
  for (Index i = 0; i < writes; ++i) {
    const auto index = static_cast<std::uint64_t>(i);
    const auto key = static_cast<std::size_t>(i < 2 ? i : choices.below(index, keys));
    newest[key] = alphabet.value(values.below(index, alphabet.values));
    episode[static_cast<std::size_t>(i / 2)].add(alphabet.key(used[key]));
    episode[static_cast<std::size_t>(i / 2)].add(newest[key]);
  }
  episode.emplace_back();
  const std::size_t first = random.split(3).below(0, 2) == 0 ? 0 : 1;
  for (const std::size_t key : {first, 1 - first}) {
    episode.back().add(alphabet.key(used[key]));
    episode.back().add(alphabet.question(), newest[key]);
  }
  return episode;
}

/// `pairs` values of different keys at random places among fillers in all segments but the last, which asks for all of
/// them: pairs `k v` and `q ?`, the rest fillers. `length` is even, and 2 * pairs at most.
[[nodiscard]] inline Episode long_recall(Index pairs, Index segments, Index length, const RecallAlphabet& alphabet,
                                         const mat::Random& random) {
  const Index room = length / 2;  // places for a pair in a segment
  const std::vector<Index> keys = distinct(pairs, alphabet.keys, random.split(0));
  const std::vector<Index> told = distinct(pairs, room * (segments - 1), random.split(1));
  const std::vector<Index> asked = distinct(pairs, room, random.split(2));
  const mat::Random values = random.split(3), fillers = random.split(4);
  Episode episode(static_cast<std::size_t>(segments));
  for (Index place = 0; place < room * segments; ++place) {
    Segment& segment = episode[static_cast<std::size_t>(place / room)];
    const auto index = static_cast<std::uint64_t>(2 * place);
    segment.add(alphabet.filler(fillers.below(index, alphabet.fillers)));
    segment.add(alphabet.filler(fillers.below(index + 1, alphabet.fillers)));
  }
  for (Index i = 0; i < pairs; ++i) {
    const auto pair = static_cast<std::size_t>(i);
    const Index key = alphabet.key(keys[pair]);
    const Index value = alphabet.value(values.below(static_cast<std::uint64_t>(i), alphabet.values));
    Segment& telling = episode[static_cast<std::size_t>(told[pair] / room)];
    const auto at = static_cast<std::size_t>(2 * (told[pair] % room));
    telling.tokens[at] = key;
    telling.tokens[at + 1] = value;
    const auto question = static_cast<std::size_t>(2 * asked[pair]);
    episode.back().tokens[question] = key;
    episode.back().tokens[question + 1] = alphabet.question();
    episode.back().targets[question + 1] = value;
  }
  return episode;
}

/// One segment `k SEP v EOS` for each of `pairs` different keys, then `k GEN v EOS` for one of them, asked for the
/// value and the end. Symbols, which are keys as well as values, are 0 ... symbols - 1; then come SEP, GEN and EOS.
///
/// Source: Rodkin et al. (2024), "Associative recurrent memory transformer", its associative retrieval.
[[nodiscard]] inline Episode associative_retrieval(Index pairs, Index symbols, const mat::Random& random) {
  const Index separator = symbols, generate = symbols + 1, end = symbols + 2;
  const std::vector<Index> keys = distinct(pairs, symbols, random.split(0));
  const mat::Random values = random.split(1);
  Episode episode(static_cast<std::size_t>(pairs));
  for (std::size_t i = 0; i < episode.size(); ++i) {
    episode[i].add(keys[i]);
    episode[i].add(separator);
    episode[i].add(values.below(i, symbols));
    episode[i].add(end);
  }
  const auto asked = static_cast<std::size_t>(random.split(2).below(0, pairs));
  const Index value = episode[asked].tokens[2];
  episode.emplace_back();
  episode.back().add(keys[asked]);
  episode.back().add(generate, value);
  episode.back().add(value, end);
  return episode;
}

}  // namespace bench
