#include "support/catch.hpp"

#include <mat/io/sentencepiece_tokenizer.hpp>

namespace sentencepiece_tokenizer_test {

using namespace mat;

namespace {

const std::vector<std::string> kTexts{"a small dog runs to a small house", "ein kleiner Hund läuft zu einem Haus",
                                      "the dogs run", "die Hunde laufen"};

SentencePieceConfig small(Index pieces = 60) {
  SentencePieceConfig config;
  config.pieces = pieces;
  return config;
}

}  // namespace

TEST_CASE("SentencePiece: texts come back from their pieces", "[io]") {
  for (const SentencePieceConfig::Kind kind : {SentencePieceConfig::Kind::bpe, SentencePieceConfig::Kind::unigram}) {
    SentencePieceConfig config = small();
    config.kind = kind;
    const auto tokenizer = SentencePieceTokenizer::fit(kTexts, config);
    CHECK(tokenizer.size() <= 60);
    for (const std::string& text : kTexts) CHECK(tokenizer.decode(tokenizer.encode(text)) == text);
    CHECK(tokenizer.decode(tokenizer.encode("  the  house ")) == "the house");
    CHECK(tokenizer.encode("").empty());
    CHECK(tokenizer.encode(" \t ").empty());
    CHECK(tokenizer.decode({}).empty());
  }
}

TEST_CASE("SentencePiece: equal texts give equal bytes, and the bytes the same pieces", "[io]") {
  const auto tokenizer = SentencePieceTokenizer::fit(kTexts, small());
  CHECK(SentencePieceTokenizer::fit(kTexts, small()).bytes() == tokenizer.bytes());
  const SentencePieceTokenizer again(tokenizer.bytes()), copy = again;
  CHECK(copy.size() == tokenizer.size());
  CHECK(copy.encode(kTexts[1]) == tokenizer.encode(kTexts[1]));
}

TEST_CASE("SentencePiece: a character that was not learnt is unknown, and special pieces are nowhere", "[io]") {
  const auto tokenizer = SentencePieceTokenizer::fit(kTexts, small());
  const std::vector<Index> pieces = tokenizer.encode("dog 日");
  CHECK(pieces.back() == tokenizer.unknown());
  for (const std::string& text : kTexts) {
    for (const Index piece : tokenizer.encode(text)) {
      CHECK(piece != tokenizer.unknown());
      CHECK(piece != tokenizer.begin());
      CHECK(piece != tokenizer.end());
    }
  }
  CHECK(tokenizer.piece(tokenizer.encode("dog").front()).rfind("\u2581", 0) == 0);
}

TEST_CASE("SentencePiece: what cannot be is refused", "[io]") {
  CHECK_THROWS_WITH(SentencePieceTokenizer::fit(kTexts, small(3)),
                    "SentencePieceTokenizer::fit: pieces is 3, expected at least 4");
  CHECK_THROWS_AS(SentencePieceTokenizer::fit(kTexts, small(5)), ValueError);  // fewer pieces than letters
  CHECK_THROWS_AS(SentencePieceTokenizer::fit({}, small()), ValueError);
  CHECK_THROWS_WITH(SentencePieceTokenizer("not a model"), "SentencePieceTokenizer: 11 bytes are no model");
  CHECK_THROWS_WITH(SentencePieceTokenizer(""), "SentencePieceTokenizer: 0 bytes are no model");
  const auto tokenizer = SentencePieceTokenizer::fit(kTexts, small());
  CHECK_THROWS_WITH(tokenizer.decode({-1}), "SentencePieceTokenizer::decode: a piece is -1, expected in [0, " +
                                                std::to_string(tokenizer.size()) + ")");
}

}  // namespace sentencepiece_tokenizer_test
