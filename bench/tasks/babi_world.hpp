#pragma once

#include <algorithm>
#include <bench/tasks/babi.hpp>
#include <set>

namespace bench {

/// The words of bAbI 1 to 3 that have a meaning, as ids.
struct BabiWords {
  std::vector<Index> people, things, places;
  std::set<Index> taking, dropping;  // verbs
  Index where, is, was, the, before, question;

  explicit BabiWords(BabiStories& stories)
      : people(stories.ids_of({"john", "mary", "sandra", "daniel"})),
        things(stories.ids_of({"football", "milk", "apple"})),
        places(stories.ids_of({"bathroom", "bedroom", "garden", "hallway", "kitchen", "office"})),
        where(stories.id_of("where")),
        is(stories.id_of("is")),
        was(stories.id_of("was")),
        the(stories.id_of("the")),
        before(stories.id_of("before")),
        question(stories.id_of("?")) {
    for (const Index verb : stories.ids_of({"picked", "got", "took", "grabbed"})) taking.insert(verb);
    for (const Index verb : stories.ids_of({"dropped", "left", "put", "discarded"})) dropping.insert(verb);
  }
};

/// What a story of bAbI 1 to 3 has told so far, so that more can be asked of it than its file asks. On the questions of
/// the files it answers as they do.
class BabiWorld {
 public:
  explicit BabiWorld(const BabiWords& words) : words_(words) {}

  /// A sentence: a person goes to a place, takes a thing or drops it.
  void follow(const Segment& sentence) {
    const Index person = sentence.tokens.front(), verb = sentence.tokens.at(1);
    for (const Index word : sentence.tokens) {
      if (contains(words_.places, word)) {
        arrive(person, word);
        for (const auto& [thing, holder] : holders_) {
          if (holder == person) arrive(thing, word);
        }
      } else if (contains(words_.things, word) && words_.taking.count(verb) != 0) {
        holders_[word] = person;
        if (place_of(person) >= 0) arrive(word, place_of(person));
      } else if (contains(words_.things, word) && words_.dropping.count(verb) != 0) {
        holders_.erase(word);
      }
    }
  }

  /// Where a person or a thing is; -1 if nobody knows.
  [[nodiscard]] Index place_of(Index who) const {
    const auto found = visited_.find(who);
    return found == visited_.end() ? -1 : found->second.back();
  }
  /// Where a thing was before it last came to a place; -1 if nobody knows.
  [[nodiscard]] Index place_before(Index thing, Index place) const {
    const auto found = visited_.find(thing);
    if (found == visited_.end()) return -1;
    const std::vector<Index>& places = found->second;
    for (std::size_t i = places.size() - 1; i > 0; --i) {
      if (places[i] == place) return places[i - 1];
    }
    return -1;
  }

  /// "Where is WHO?" of one of `all` whose place is known, or nothing.
  [[nodiscard]] Segment ask_where(const std::vector<Index>& all, const mat::Random& random) const {
    Segment question;
    const Index who = any(all, random, [&](Index one) { return place_of(one) >= 0; });
    if (who < 0) return question;
    question.tokens = {words_.where, words_.is};
    if (contains(words_.things, who)) question.tokens.push_back(words_.the);
    question.tokens.push_back(who);
    return asked(question, place_of(who));
  }
  /// "Where was the THING before the PLACE?", or nothing.
  [[nodiscard]] Segment ask_before(const mat::Random& random) const {
    Segment question;
    const auto knows = [&](Index thing, Index place) { return place_before(thing, place) >= 0; };
    const Index thing = any(words_.things, random.split(0), [&](Index one) {
      return std::any_of(words_.places.begin(), words_.places.end(), [&](Index place) { return knows(one, place); });
    });
    if (thing < 0) return question;
    const Index place = any(words_.places, random.split(1), [&](Index one) { return knows(thing, one); });
    question.tokens = {words_.where, words_.was, words_.the, thing, words_.before, words_.the, place};
    return asked(question, place_before(thing, place));
  }

 private:
  [[nodiscard]] static bool contains(const std::vector<Index>& words, Index word) {
    return std::find(words.begin(), words.end(), word) != words.end();
  }
  /// One of those of which `knows` is true, -1 if there is none.
  template <class Knows>
  [[nodiscard]] static Index any(std::vector<Index> all, const mat::Random& random, const Knows& knows) {
    all.erase(std::remove_if(all.begin(), all.end(), [&](Index one) { return !knows(one); }), all.end());
    if (all.empty()) return -1;
    return all[static_cast<std::size_t>(random.below(0, static_cast<Index>(all.size())))];
  }
  [[nodiscard]] Segment asked(Segment question, Index answer) const {
    question.targets.assign(question.tokens.size(), kNoTarget);
    question.add(words_.question, answer);
    return question;
  }
  void arrive(Index who, Index place) {
    std::vector<Index>& places = visited_[who];
    if (places.empty() || places.back() != place) places.push_back(place);
  }

  const BabiWords& words_;
  std::map<Index, Index> holders_;               // of the things that somebody holds
  std::map<Index, std::vector<Index>> visited_;  // by people and things, in order
};

/// A part of a story, of `size` sentences or all of them, with a question of our own after every sentence: where a
/// person or a thing is, and of `number` 3 mostly what that task asks, for which one must know the rest.
[[nodiscard]] inline Episode asked_more(const Episode& story, Index number, Index size, const BabiWords& words,
                                        const mat::Random& random) {
  constexpr double kBefore = 0.6;  // of the questions of task 3
  std::vector<const Segment*> sentences;
  for (const Segment& segment : story) {
    if (!segment.is_question()) sentences.push_back(&segment);
  }
  const Index count = static_cast<Index>(sentences.size()), length = std::min(size, count);
  const Index first = random.below(0, count - length + 1);
  std::vector<Index> all = words.people;
  all.insert(all.end(), words.things.begin(), words.things.end());
  BabiWorld world(words);
  Episode episode;
  for (Index i = 0; i < length; ++i) {
    const Segment& sentence = *sentences[static_cast<std::size_t>(first + i)];
    world.follow(sentence);
    episode.push_back(sentence);
    const mat::Random draw = random.split(static_cast<std::uint64_t>(i));
    const bool before = number == 3 && draw.uniform(0) < kBefore;
    Segment question = before ? world.ask_before(draw.split(0)) : world.ask_where(all, draw.split(0));
    if (!question.tokens.empty()) episode.push_back(std::move(question));
  }
  return episode;
}

}  // namespace bench
