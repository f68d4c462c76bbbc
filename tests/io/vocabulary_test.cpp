#include "support/catch.hpp"

#include <mat/io/vocabulary.hpp>

#include <set>

namespace vocabulary_test {

using mat::Index;
using mat::split_words;
using mat::TokenBatch;
using mat::Vocabulary;
using mat::VocabularyConfig;

namespace {

using Words = std::vector<std::string>;

/// Every word counts, capital letters become small ones.
VocabularyConfig lowercase() {
  VocabularyConfig config;
  config.min_count = 1;
  config.lowercase = true;
  return config;
}

Words split(const std::string& text) { return split_words(text, lowercase()); }

VocabularyConfig without_features() {
  VocabularyConfig config = lowercase();
  config.buckets = 0;
  return config;
}

/// Only the features that `config` asks for, of the last token of a text.
std::vector<Index> features_of_last(const Vocabulary& vocabulary, const std::string& text) {
  TokenBatch batch;
  vocabulary.encode(text, batch);
  return {batch.features.begin() + batch.feature_begins[batch.words.size() - 1], batch.features.end()};
}

}  // namespace

TEST_CASE("a text is split at white space and around punctuation", "[io]") {
  CHECK(split("Who's  there?\tNo-one, sir.") == Words{"who's", "there", "?", "no", "-", "one", ",", "sir", "."});
  CHECK(split("") == Words{});
  CHECK(split(" \n\t ") == Words{});
}

TEST_CASE("a run of one punctuation mark is one word, different marks are several", "[io]") {
  CHECK(split("`` Well ''...!?") == Words{"``", "well", "''", "...", "!", "?"});
  CHECK(split("! !") == Words{"!", "!"});
}

TEST_CASE("an apostrophe before a letter belongs to the word", "[io]") {
  CHECK(split("it 's don't 'quoted' dogs'") == Words{"it", "'s", "don't", "'quoted", "'", "dogs", "'"});
}

TEST_CASE("digits are read as 0 unless they are kept", "[io]") {
  CHECK(split("In 1984: 3rd") == Words{"in", "0000", ":", "0rd"});
  VocabularyConfig config;
  config.digits = true;
  CHECK(split_words("In 1984", config) == Words{"In", "1984"});
}

TEST_CASE("capital letters are kept, or become small ones, in other alphabets too", "[io]") {
  CHECK(split("ÀÉ× ŁŹŸ ΑΣΩ ЁЖЯ") == Words{"àé", "×", "łźÿ", "ασω", "ёжя"});
  CHECK(split_words("Ab Éa", {}) == Words{"Ab", "Éa"});
}

TEST_CASE("punctuation and spaces beyond ASCII are known", "[io]") {
  CHECK(split("\u201CHi\u201D\u2014you\u2026 £5\u00A0ok\u3000好") ==
        Words{"\u201C", "hi", "\u201D", "\u2014", "you", "\u2026", "£", "0", "ok", "好"});
}

TEST_CASE("bytes that are no UTF-8 become replacement characters, so every word is UTF-8", "[io]") {
  CHECK(split("a\xFF\xFE"
              "b\xC3") == Words{"a", "\uFFFD\uFFFD", "b", "\uFFFD"});
}

TEST_CASE("the words of a vocabulary are the most frequent ones, behind the unknown word", "[io]") {
  const std::vector<std::string> texts{"b a c", "c B", "b d"};
  VocabularyConfig config = lowercase();
  CHECK(Vocabulary::fit(texts, config).words() == Words{"<unknown>", "b", "c", "a", "d"});
  config.min_count = 2;
  CHECK(Vocabulary::fit(texts, config).words() == Words{"<unknown>", "b", "c"});
  config.max_words = 1;
  CHECK(Vocabulary::fit(texts, config).words() == Words{"<unknown>", "b"});
}

TEST_CASE("a text becomes the ids of its words, 0 for an unknown one", "[io]") {
  const Vocabulary vocabulary = Vocabulary::fit({"b a c", "c b", "b"}, without_features());
  TokenBatch batch;
  vocabulary.encode("A x b", batch);
  vocabulary.encode("", batch);
  vocabulary.encode("c", batch);
  CHECK(batch.words == std::vector<Index>{3, 0, 1, 2});
  CHECK(batch.lengths == std::vector<Index>{3, 0, 1});
  CHECK(batch.features.empty());
  CHECK(batch.feature_begins == std::vector<Index>{0, 0, 0, 0, 0});
}

TEST_CASE("no text can say the unknown word", "[io]") {
  CHECK(split(Vocabulary::kUnknownWord) == Words{"<", "unknown", ">"});
}

TEST_CASE("runs of words are features, told apart by their words and their order", "[io]") {
  VocabularyConfig config;
  config.max_chars = 0;
  config.buckets = 1 << 30;
  for (const Index longest : {1, 2, 3}) {
    config.word_ngrams = longest;
    const Vocabulary vocabulary(config, {"<unknown>"});
    CHECK(features_of_last(vocabulary, "a b c").size() == static_cast<std::size_t>(longest - 1));
    CHECK(features_of_last(vocabulary, "c").size() == (longest == 1 ? 0 : 1));  // it begins the text
  }
  config.word_ngrams = 2;
  const Vocabulary vocabulary(config, {"<unknown>"});
  std::set<Index> ids;
  for (const std::string text : {"a b", "b a", "a a", "b", "a ba", "aa b"})
    ids.insert(features_of_last(vocabulary, text)[0]);
  CHECK(ids.size() == 6);
  CHECK(features_of_last(vocabulary, "x a b") == features_of_last(vocabulary, "a b"));
}

TEST_CASE("parts of a word are features, counted in characters, its ends marked", "[io]") {
  VocabularyConfig config;
  config.word_ngrams = 1;
  config.buckets = 1 << 30;
  const auto count = [&](const std::string& word, Index shortest, Index longest) {
    config.min_chars = shortest;
    config.max_chars = longest;
    return features_of_last(Vocabulary(config, {"<unknown>"}), word).size();
  };
  CHECK(count("abc", 3, 3) == 3);  // <ab, abc, bc>
  CHECK(count("abc", 3, 5) == 6);
  CHECK(count("äöü", 3, 5) == 6);
  CHECK(count("abc", 1, 1) == 5);
  CHECK(count("a", 4, 5) == 0);
  config.min_chars = config.max_chars = 3;
  const Vocabulary vocabulary(config, {"<unknown>"});
  const auto playing = features_of_last(vocabulary, "playing"), staying = features_of_last(vocabulary, "staying");
  CHECK(std::vector<Index>(playing.end() - 4, playing.end()) == std::vector<Index>(staying.end() - 4, staying.end()));
  CHECK(playing[0] != staying[0]);
}

TEST_CASE("features are hashed by 64-bit FNV-1a, whose test vectors hold", "[io]") {
  CHECK(mat::detail::fnv1a("") == 0xCBF29CE484222325u);
  CHECK(mat::detail::fnv1a("a") == 0xAF63DC4C8601EC8Cu);
  CHECK(mat::detail::fnv1a("foobar") == 0x85944171F73967E8u);
  CHECK(mat::detail::fnv1a("bar", mat::detail::fnv1a("foo")) == 0x85944171F73967E8u);
}

TEST_CASE("every feature lies in the buckets", "[io]") {
  VocabularyConfig config;
  config.buckets = 7;
  const Vocabulary vocabulary = Vocabulary::fit({"some words"}, config);
  TokenBatch batch;
  vocabulary.encode("a text of some more words, with features", batch);
  std::set<Index> ids(batch.features.begin(), batch.features.end());
  CHECK(ids == std::set<Index>{0, 1, 2, 3, 4, 5, 6});
}

TEST_CASE("its settings and words make a vocabulary again", "[io]") {
  const Vocabulary fitted = Vocabulary::fit({"what is a brontosaurus?", "who is who"});
  const Vocabulary restored(fitted.config(), fitted.words());
  TokenBatch a, b;
  fitted.encode("Who ate the brontosaurus in 1066?", a);
  restored.encode("Who ate the brontosaurus in 1066?", b);
  CHECK(restored == fitted);
  CHECK(a == b);
  VocabularyConfig other = fitted.config();
  ++other.buckets;
  CHECK(Vocabulary(other, fitted.words()) != fitted);
}

TEST_CASE("settings and words that make no sense are refused", "[io]") {
  const auto message = [](void (*change)(VocabularyConfig&)) -> std::string {
    VocabularyConfig config;
    change(config);
    try {
      static_cast<void>(Vocabulary::fit({"a"}, config));
    } catch (const mat::ValueError& error) {
      return error.what();
    }
    return "";
  };
  CHECK(message([](VocabularyConfig& c) { c.min_count = 0; }) == "Vocabulary: min_count is 0, expected at least 1");
  CHECK(message([](VocabularyConfig& c) { c.max_words = -1; }) == "Vocabulary: max_words is -1, expected at least 0");
  CHECK(message([](VocabularyConfig& c) { c.word_ngrams = 0; }) == "Vocabulary: word_ngrams is 0, expected at least 1");
  CHECK(message([](VocabularyConfig& c) { c.min_chars = 0; }) == "Vocabulary: min_chars is 0, expected at least 1");
  CHECK(message([](VocabularyConfig& c) { c.max_chars = 2; }) ==
        "Vocabulary: max_chars is 2, expected 0 or at least min_chars, 3");
  CHECK(message([](VocabularyConfig& c) { c.buckets = -1; }) == "Vocabulary: buckets is -1, expected at least 0");
  CHECK_THROWS_WITH(Vocabulary({}, {}), "Vocabulary: the number of words is 0, expected at least 1, the unknown word");
  CHECK_THROWS_WITH(Vocabulary({}, {"<unknown>", "a", "a"}),
                    "Vocabulary: word 2 is 'a', expected one that is not yet there");
}

}  // namespace vocabulary_test
