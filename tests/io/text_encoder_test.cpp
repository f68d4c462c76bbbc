#include "support/catch.hpp"

#include <mat/io/text_encoder.hpp>

#include <set>

namespace text_encoder_test {

using mat::TextEncoder;
using mat::TokenBatch;
using mat::Vocabulary;

namespace {

const std::string kText =
    "It's a text, isn't it? \"Two  words\" ... caf\xC3\xA9 \xE2\x80\x94 na\xC3\xAFve\t\xFF 1984\xC2\xA0x o' \n the "
    "'end'.";

Vocabulary vocabulary(mat::Index word_ngrams) {
  mat::VocabularyConfig config;
  config.min_count = 1;
  config.word_ngrams = word_ngrams;
  config.buckets = 1000;
  return Vocabulary::fit({kText}, config);
}

/// The text in pieces of `size` bytes.
void push(TextEncoder& encoder, const std::string& text, std::size_t size, TokenBatch& tokens) {
  for (std::size_t i = 0; i < text.size(); i += size) encoder.push(text.substr(i, size), tokens);
}

}  // namespace

TEST_CASE("a text in pieces of any size becomes the tokens of the whole", "[io]") {
  const mat::Index word_ngrams = GENERATE(1, 2, 4);
  const Vocabulary words = vocabulary(word_ngrams);
  TokenBatch expected;
  words.encode(kText, expected);
  words.encode("another text", expected);
  words.encode("", expected);
  for (std::size_t size = 1; size <= kText.size(); ++size) {
    TextEncoder encoder(words);
    TokenBatch tokens;
    push(encoder, kText, size, tokens);
    encoder.end(tokens);
    push(encoder, "another text", size, tokens);
    encoder.end(tokens);
    encoder.end(tokens);
    CHECK(tokens == expected);
  }
}

TEST_CASE("words are there as soon as a space ends them", "[io]") {
  const Vocabulary words = vocabulary(2);
  TextEncoder encoder(words);
  TokenBatch tokens;
  encoder.push("Two wor", tokens);
  CHECK(tokens.words == std::vector<mat::Index>{words.id("Two")});
  encoder.push("ds ", tokens);
  CHECK(tokens.words == std::vector<mat::Index>{words.id("Two"), words.id("words")});
  CHECK(tokens.size() == 0);
}

TEST_CASE("a long text is read in pieces, a long run without a space is cut between characters", "[io]") {
  const Vocabulary words = vocabulary(3);
  std::string text;
  for (int i = 0; i < 5000; ++i) text += "Two words ";
  TokenBatch whole, pieces;
  words.encode(text, whole);
  TextEncoder encoder(words);
  encoder.push(text, pieces);
  encoder.end(pieces);
  CHECK(pieces == whole);

  std::string run = "a";
  while (run.size() < 3 * TextEncoder::kLongestRun) run += "\xC3\xA9";
  TokenBatch tokens;
  encoder.push(run, tokens);
  CHECK(tokens.tokens() >= 2);
  encoder.end(tokens);
  CHECK(tokens.tokens() <= 4);
  const std::set<std::string> known(words.words().begin(), words.words().end());
  CHECK(known.count("\xEF\xBF\xBD") == 1);  // what a torn character would be read as
  for (const mat::Index word : tokens.words) CHECK(word == 0);
}

}  // namespace text_encoder_test
