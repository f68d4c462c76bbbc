#include "support/catch.hpp"

#include <mat/io/file_reader.hpp>
#include <mat/io/json.hpp>
#include <mat/io/translation_score.hpp>

namespace translation_score_test {

using namespace mat;

namespace {

/// What sacrebleu makes of some texts; recorded from it.
Json recorded() {
  const std::string path = MAT_SOURCE_DIR "/tests/io/fixtures/text_scores.json";
  return Json::parse(read_file(path), path);
}

std::vector<std::string> texts_of(const Json& json) {
  std::vector<std::string> texts;
  for (const Json& text : json.as_array()) texts.push_back(text.as_string());
  return texts;
}
std::vector<double> numbers_of(const Json& json) {
  std::vector<double> numbers;
  for (const Json& number : json.as_array()) numbers.push_back(number.as_double());
  return numbers;
}

}  // namespace

TEST_CASE("tokenize_13a gives sacrebleu's tokens", "[io]") {
  const Json file = recorded();
  for (const Json& row : file.at("tokens").as_array()) {
    INFO(row.at("text").as_string());
    CHECK(tokenize_13a(row.at("text").as_string()) == texts_of(row.at("tokens")));
  }
}

TEST_CASE("BLEU and chrF2 are sacrebleu's, to the last digits", "[io]") {
  const Json file = recorded();
  for (const Json& row : file.at("corpora").as_array()) {
    INFO(row.at("name").as_string());
    const TranslationScore score = score_translations(texts_of(row.at("hypotheses")), texts_of(row.at("references")));
    CHECK(std::abs(score.bleu.score - row.at("bleu").as_double()) < 1e-12);
    CHECK(std::abs(score.bleu.brevity_penalty - row.at("bp").as_double()) < 1e-15);
    CHECK(std::abs(score.chrf - row.at("chrf").as_double()) < 1e-12);
    CHECK(score.bleu.counts == numbers_of(row.at("counts")));
    CHECK(score.bleu.totals == numbers_of(row.at("totals")));
    CHECK(score.bleu.length == row.at("sys_len").as_index());
    CHECK(score.bleu.reference_length == row.at("ref_len").as_index());
  }
}

TEST_CASE("split_at_white_space splits where Python's str.split does", "[io]") {
  const std::vector<std::string> parts{"a", "b", "c", "d", "e\u200bf"};
  CHECK(split_at_white_space(" a\tb\u00a0c\u3000\u2028 d e\u200bf\x1c") == parts);
  CHECK(split_at_white_space(" \n ").empty());
  CHECK(split_at_white_space("").empty());
}

TEST_CASE("Chrf: of several references the best one counts", "[io]") {
  Chrf chrf;
  chrf.add("a mat", {"a dog", "a mat", "no"});
  CHECK(chrf.score() == 100.0);
  CHECK_THROWS_WITH(chrf.add("a", std::vector<std::string>()),
                    "Chrf::add: the number of references is 0, expected at least 1");
}

TEST_CASE("score_translations refuses another number of references", "[io]") {
  CHECK_THROWS_WITH(score_translations({"a", "b"}, {"a"}),
                    "score_translations: the number of translations is 2, expected 1, one for each reference");
}

}  // namespace translation_score_test
