#pragma once

#include <mat/core/error.hpp>
#include <mat/core/random.hpp>

#include <algorithm>
#include <bench/tasks/episode.hpp>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace example {

using mat::Index;

/// The words of the stories, as ids in a fixed order.
class RecallWords {
 public:
  using List = std::vector<std::string>;

  RecallWords() {
    for (const List* list : {&colors(), &things(), &places(), &names(), &others()}) {
      for (const std::string& word : *list) {
        ids_.emplace(word, size());
        words_.push_back(word);
      }
    }
  }

  [[nodiscard]] static const List& colors() {
    static const List all{"red", "blue", "green", "yellow", "white", "black"};
    return all;
  }
  [[nodiscard]] static const List& things() {
    static const List all{"key", "lamp", "book", "ring", "coin", "map", "box", "cup", "drum", "rope", "bell", "vase"};
    return all;
  }
  [[nodiscard]] static const List& places() {
    static const List all{"upstairs", "downstairs", "outside", "indoors", "underground", "overhead",
                          "aboard",   "ashore",     "abroad",  "home",    "backstage",   "nearby"};
    return all;
  }
  [[nodiscard]] static const List& names() {
    static const List all{"anna", "ben", "clara", "david", "emma", "felix"};
    return all;
  }

  [[nodiscard]] Index size() const { return static_cast<Index>(words_.size()); }
  [[nodiscard]] const std::string& word(Index id) const { return words_[static_cast<std::size_t>(id)]; }
  /// Errors: ValueError for a word that no story has.
  [[nodiscard]] Index id(const std::string& word) const {
    const auto found = ids_.find(word);
    if (found == ids_.end()) throw mat::ValueError("RecallWords::id: word is '" + word + "', expected one of a story");
    return found->second;
  }

 private:
  [[nodiscard]] static const List& others() {
    static const List all{".",       "?",    "the",   "is",   "where",  "takes",  "moves",   "finds", "brings",
                          "a",       "it",   "cold",  "dark", "walks",  "looks",  "sings",   "waits", "birds",
                          "sing",    "rain", "falls", "dog",  "barks",  "clock",  "strikes", "nine",  "nothing",
                          "happens", "and",  "talk",  "read", "letter", "silence"};
    return all;
  }

  List words_;
  std::map<std::string, Index> ids_;
};

/// A story in pages of one length, which end with a sentence: each page is what a model sees at once. Facts tell where
/// a thing is, and tell it anew now and then; questions ask for it pages later; the rest is of no use.
struct RecallStory {
  /// A "?" that one word answers.
  struct Question {
    Index page = 0, token = 0;            ///< Where the "?" is.
    Index fact_page = 0, fact_token = 0;  ///< Where the newest answer was told.
    Index answer = 0;                     ///< The id of a place.
    bool overwritten = false;             ///< Another answer was told before.

    [[nodiscard]] Index distance() const { return page - fact_page; }
  };

  bench::Episode pages;
  std::vector<Question> questions;  // in their order
};

enum class RecallOrder {
  mixed,
  facts_first,  ///< Halfway the shares of facts and of questions change places.
};

struct RecallStoryConfig {
  Index pages = 64, page_tokens = 9;
  Index things = 10;                     ///< That a story tells of: different nouns, each with a colour.
  double facts = 0.4, questions = 0.25;  ///< Of the sentences that fit; the rest is filler.
  RecallOrder order = RecallOrder::mixed;
};

/// Makes up stories, the same for equal generators.
///
///     emma moves the red key upstairs . | silence . | where is the blue lamp ? | rain falls .
///
/// A thing is asked for once after each time that it was told of, and every such thing is as likely: to remember only
/// the newest helps little.
class RecallStoryteller {
 public:
  /// Errors: ValueError for pages below 1, pages too short for a fact, or more things than there are.
  explicit RecallStoryteller(const RecallStoryConfig& config) : config_(config) {
    const auto most = static_cast<Index>(RecallWords::things().size());
    mat::check_value(config.pages >= 1, "RecallStoryteller: pages", config.pages, "at least 1");
    mat::check_value(config.page_tokens >= kFact, "RecallStoryteller: page_tokens", config.page_tokens, "at least ",
                     kFact);
    mat::check_value(config.things >= 1 && config.things <= most, "RecallStoryteller: things", config.things,
                     "at least 1 and at most ", most);
  }

  [[nodiscard]] const RecallStoryConfig& config() const { return config_; }
  [[nodiscard]] const RecallWords& words() const { return words_; }

  [[nodiscard]] RecallStory tell(const mat::Random& random) const {
    Draft draft{random, 0, {}, {}};
    const auto nouns = static_cast<Index>(RecallWords::things().size());
    for (const Index noun : bench::distinct(config_.things, nouns, random.split(0))) {
      draft.things.emplace_back();
      draft.things.back().name = draft.pick(RecallWords::colors()) + " " + at(RecallWords::things(), noun);
    }
    for (Index page = 0; page < config_.pages; ++page) add_page(draft);
    return draft.story;
  }

 private:
  static constexpr Index kFact = 7, kQuestion = 6;  // words

  struct Thing {
    std::string name;
    Index told = 0;     // how often
    bool open = false;  // not asked for since
    Index place = 0, page = 0, token = 0;
  };
  struct Draft {
    mat::Random random;
    std::uint64_t drawn;
    std::vector<Thing> things;
    RecallStory story;

    [[nodiscard]] Index draw(Index n) { return random.below(drawn++, n); }
    [[nodiscard]] double draw() { return random.uniform(drawn++); }
    [[nodiscard]] const std::string& pick(const RecallWords::List& list) {
      return at(list, draw(static_cast<Index>(list.size())));
    }
  };

  [[nodiscard]] static const std::string& at(const RecallWords::List& list, Index i) {
    return list[static_cast<std::size_t>(i)];
  }

  void add_page(Draft& draft) const {
    double facts = config_.facts, questions = config_.questions;
    const auto told = static_cast<Index>(draft.story.pages.size());
    if (config_.order == RecallOrder::facts_first && told >= config_.pages / 2) std::swap(facts, questions);
    draft.story.pages.emplace_back();
    for (Index room = config_.page_tokens; room > 0; room = config_.page_tokens - length(draft)) {
      const double kind = draft.draw();
      if (kind < facts && fits(room, kFact)) {
        add_fact(draft);
      } else if (kind >= facts && kind < facts + questions && fits(room, kQuestion)) {
        add_question(draft, room);
      } else {
        add_filler(draft, room);
      }
    }
  }
  [[nodiscard]] static Index length(const Draft& draft) {
    return static_cast<Index>(draft.story.pages.back().tokens.size());
  }
  /// No sentence has one word: such a rest could not be filled.
  [[nodiscard]] static bool fits(Index room, Index words) { return words == room || words + 2 <= room; }

  void add_fact(Draft& draft) const {
    static const RecallWords::List forms{"N takes the T P .", "N moves the T P .", "N finds the T P .",
                                         "N brings the T P ."};
    Thing& thing = draft.things[static_cast<std::size_t>(draft.draw(config_.things))];
    const Index places = static_cast<Index>(RecallWords::places().size());
    // Another place than before, if there is one.
    thing.place = thing.told == 0 ? draft.draw(places) : (thing.place + 1 + draft.draw(places - 1)) % places;
    add_sentence(draft, draft.pick(forms), thing.name, at(RecallWords::places(), thing.place));
    ++thing.told;
    thing.open = true;
    thing.page = static_cast<Index>(draft.story.pages.size()) - 1;
    thing.token = length(draft) - 2;
  }

  /// Or filler, as long as there is nothing to ask for.
  void add_question(Draft& draft, Index room) const {
    const auto page = static_cast<Index>(draft.story.pages.size()) - 1;
    Thing* asked = nullptr;
    Index open = 0;
    for (Thing& thing : draft.things) {
      if (thing.open && draft.draw(++open) == 0) asked = &thing;
    }
    if (asked == nullptr) return add_filler(draft, room);
    asked->open = false;
    add_sentence(draft, "where is the T ?", asked->name, "");
    const Index answer = words_.id(at(RecallWords::places(), asked->place));
    draft.story.pages.back().targets.back() = answer;
    draft.story.questions.push_back({page, length(draft) - 1, asked->page, asked->token, answer, asked->told > 1});
  }

  void add_filler(Draft& draft, Index room) const {
    static const RecallWords::List fillers{"silence .",
                                           "N waits .",
                                           "N sings .",
                                           "birds sing .",
                                           "rain falls .",
                                           "nothing happens .",
                                           "the dog barks .",
                                           "N and N talk .",
                                           "N walks P .",
                                           "N looks P .",
                                           "it is cold P .",
                                           "it is dark P .",
                                           "the clock strikes nine .",
                                           "N and N read a letter ."};
    for (;;) {
      const std::string& filler = draft.pick(fillers);
      const auto words = 1 + static_cast<Index>(std::count(filler.begin(), filler.end(), ' '));
      if (fits(room, words)) return add_sentence(draft, filler, "", draft.pick(RecallWords::places()));
    }
  }

  /// N, T and P stand for a name, a thing and a place.
  void add_sentence(Draft& draft, const std::string& form, const std::string& thing, const std::string& place) const {
    std::string text, word;
    for (const char c : form)
      text += c == 'N' ? draft.pick(RecallWords::names()) : c == 'T' ? thing : c == 'P' ? place : std::string(1, c);
    for (const char c : text + " ") {
      if (c != ' ') {
        word += c;
        continue;
      }
      draft.story.pages.back().add(words_.id(word));
      word.clear();
    }
  }

  RecallStoryConfig config_;
  RecallWords words_;
};

}  // namespace example
