#pragma once

#include <mat/core/error.hpp>
#include <mat/core/random.hpp>

#include <array>
#include <string>
#include <string_view>
#include <vector>

namespace bench {

using mat::Index;

/// Short documents in English and German, made up, whose word "it" is "er", "sie" or "es" in German, as the noun is
/// that was named last, one to three sentences before.
class Documents {
 public:
  /// Word ids; the translation ends with end().
  struct Sentence {
    std::vector<Index> english, german;
    bool asks = false;  // begins with "it"
  };
  using Document = std::vector<Sentence>;

  static constexpr Index kSentences = 6;

  Documents() {
    words_ = {"<s>", "</s>"};
    for (const Noun& noun : kNouns)
      know({std::string("the ") + noun.english, std::string(kArticles[noun.gender]) + " " + noun.german});
    for (const Pair& pair : kAdjectives)
      know({std::string("is ") + pair.english + " .", std::string("ist ") + pair.german + " ."});
    for (const Pair& pair : kFillers) know({pair.english, pair.german});
    know({"it er sie es"});
  }

  [[nodiscard]] Index vocabulary() const { return static_cast<Index>(words_.size()); }
  [[nodiscard]] static constexpr Index begin() { return 0; }
  [[nodiscard]] static constexpr Index end() { return 1; }
  [[nodiscard]] const std::string& word(Index id) const { return words_[static_cast<std::size_t>(id)]; }

  /// A noun, sentences about other things, "it"; twice.
  [[nodiscard]] Document document(const mat::Random& random) const {
    Document document;
    const Index first = 3 + random.below(0, 2), between[] = {first - 2, kSentences - first - 2};
    for (Index part = 0; part < 2; ++part) {
      const mat::Random draw = random.split(static_cast<std::uint64_t>(part));
      const Noun& noun = kNouns[static_cast<std::size_t>(draw.below(0, kNouns.size()))];
      const Pair& told = kAdjectives[static_cast<std::size_t>(draw.below(1, kAdjectives.size()))];
      const Pair& asked = kAdjectives[static_cast<std::size_t>(draw.below(2, kAdjectives.size()))];
      document.push_back(
          sentence(std::string("the ") + noun.english + " is " + told.english + " .",
                   std::string(kArticles[noun.gender]) + " " + noun.german + " ist " + told.german + " ."));
      for (Index i = 0; i < between[part]; ++i) {
        const Pair& filler =
            kFillers[static_cast<std::size_t>(draw.below(static_cast<std::uint64_t>(3 + i), kFillers.size()))];
        document.push_back(sentence(filler.english, filler.german));
      }
      document.push_back(sentence(std::string("it is ") + asked.english + " .",
                                  std::string(kPronouns[noun.gender]) + " ist " + asked.german + " ."));
      document.back().asks = true;
    }
    return document;
  }

 private:
  struct Noun {
    const char *english, *german;
    std::size_t gender;
  };
  struct Pair {
    const char *english, *german;
  };
  static constexpr const char *kArticles[] = {"der", "die", "das"}, *kPronouns[] = {"er", "sie", "es"};
  static constexpr std::array<Noun, 12> kNouns{{{"key", "schlüssel", 0},
                                                {"table", "tisch", 0},
                                                {"spoon", "löffel", 0},
                                                {"coat", "mantel", 0},
                                                {"lamp", "lampe", 1},
                                                {"cup", "tasse", 1},
                                                {"door", "tür", 1},
                                                {"clock", "uhr", 1},
                                                {"book", "buch", 2},
                                                {"picture", "bild", 2},
                                                {"knife", "messer", 2},
                                                {"car", "auto", 2}}};
  static constexpr std::array<Pair, 8> kAdjectives{{{"old", "alt"},
                                                    {"new", "neu"},
                                                    {"red", "rot"},
                                                    {"green", "grün"},
                                                    {"small", "klein"},
                                                    {"big", "groß"},
                                                    {"heavy", "schwer"},
                                                    {"lost", "weg"}}};
  static constexpr std::array<Pair, 6> kFillers{{{"we go home .", "wir gehen heim ."},
                                                 {"you sing well .", "du singst gut ."},
                                                 {"they come today .", "sie kommen heute ."},
                                                 {"i am tired .", "ich bin müde ."},
                                                 {"now we eat .", "jetzt essen wir ."},
                                                 {"rain falls again .", "wieder fällt regen ."}}};

  [[nodiscard]] static std::vector<std::string> split(const std::string& text) {
    std::vector<std::string> words(1);
    for (const char c : text) {
      if (c == ' ') {
        words.emplace_back();
      } else {
        words.back() += c;
      }
    }
    return words;
  }
  [[nodiscard]] Index id(const std::string& word) const {
    for (std::size_t i = 0; i < words_.size(); ++i) {
      if (words_[i] == word) return static_cast<Index>(i);
    }
    return -1;
  }
  void know(const std::vector<std::string>& texts) {
    for (const std::string& text : texts) {
      for (const std::string& word : split(text)) {
        if (id(word) < 0) words_.push_back(word);
      }
    }
  }
  [[nodiscard]] Sentence sentence(const std::string& english, const std::string& german) const {
    Sentence result;
    for (const std::string& word : split(english)) result.english.push_back(id(word));
    for (const std::string& word : split(german)) result.german.push_back(id(word));
    result.german.push_back(end());
    return result;
  }

  std::vector<std::string> words_;
};

}  // namespace bench
