#include "support/catch.hpp"
#include "support/letter_tokenizer.hpp"

#include <mat/io/text_translator.hpp>

namespace text_translator_test {

using namespace mat;
using mat::test::LetterTokenizer;

namespace {

using Texts = std::vector<std::string>;

/// A model of letters with random weights: what it says makes no sense, but is always the same.
Translator<double> random_model() {
  Translator<double>::Config config;
  config.source_vocabulary = config.target_vocabulary = LetterTokenizer().size();
  config.layer.d_model = 8;
  config.layer.nhead = 2;
  config.layer.dim_feedforward = 8;
  config.num_encoder_layers = config.num_decoder_layers = 1;
  return Translator<double>(config, Random(3));
}

TextTranslatorConfig short_config() {
  TextTranslatorConfig config;
  config.decoding.max_length_ratio = 1;
  config.decoding.max_length_extra = 3;
  return config;
}

using Letters = TextTranslator<double, LetterTokenizer>;

Texts best(const Letters& letters, const Texts& texts) {
  Texts result;
  for (const auto& translations : letters.translate(texts)) result.push_back(translations.at(0).text);
  return result;
}

}  // namespace

TEST_CASE("TextTranslator: a line more or less in the batch changes no translation", "[io]") {
  const Letters letters(random_model(), LetterTokenizer(), short_config());
  const Texts texts{"a dog", "", "the quick brown fox", "x", "  ", "a dog"};
  const Texts together = best(letters, texts);
  REQUIRE(together.size() == texts.size());
  for (std::size_t i = 0; i < texts.size(); ++i) CHECK(best(letters, {texts[i]}).at(0) == together[i]);
  CHECK(together[0] == together[5]);
  TextTranslatorConfig config = short_config();
  config.batch_tokens = 1;
  CHECK(best(Letters(random_model(), LetterTokenizer(), config), texts) == together);
  CHECK(best(letters, {}).empty());
}

TEST_CASE("TextTranslator: an empty text and white space give an empty translation", "[io]") {
  TextTranslatorConfig config = short_config();
  config.decoding.n_best = 3;
  const auto translations = Letters(random_model(), LetterTokenizer(), config).translate({"", " \t "});
  REQUIRE(translations.size() == 2);
  for (const auto& of_text : translations) {
    REQUIRE(of_text.size() == 3);
    for (const TextTranslation& translation : of_text) CHECK(translation.text.empty());
  }
}

TEST_CASE("TextTranslator: a long text is cut at the end of a sentence, between words, or anywhere", "[io]") {
  TextTranslatorConfig config = short_config();
  config.longest = 10;
  const Letters letters(random_model(), LetterTokenizer(), config);
  const auto parts = [&](const std::string& text) {
    Texts result;
    for (const auto& part : letters.parts_of(text)) result.push_back(LetterTokenizer().decode(part));
    return result;
  };
  CHECK(parts("ten chars!") == Texts{"tenchars!"});
  CHECK(parts("one two. three four") == Texts{"onetwo.", "threefour"});
  CHECK(parts("one two three four") == Texts{"onetwo", "threefour"});
  CHECK(parts("a. bcd efg hij klm") == Texts{"a.bcdefg", "hijklm"});  // a sentence of 2 letters would waste the part
  CHECK(parts("abcdefghijklmnopqrstuvwxyz") == Texts{"abcdefghij", "klmnopqrst", "uvwxyz"});
  CHECK(parts("").empty());
  CHECK(best(letters, {"one two. three four"}).at(0) ==
        best(letters, {"one two."}).at(0) + " " + best(letters, {"three four"}).at(0));
}

TEST_CASE("TextTranslator refuses another vocabulary and settings out of range", "[io]") {
  Translator<double>::Config other = random_model().config();
  other.source_vocabulary = other.target_vocabulary = 5;
  CHECK_THROWS_WITH(Letters(Translator<double>(other, Random()), LetterTokenizer()),
                    "TextTranslator: the tokenizer's size is 98, expected 5, that of the model");
  TextTranslatorConfig config;
  config.longest = 0;
  CHECK_THROWS_WITH(Letters(random_model(), LetterTokenizer(), config),
                    "TextTranslator: longest is 0, expected at least 1");
  config.longest = 1;
  config.batch_tokens = 0;
  CHECK_THROWS_WITH(Letters(random_model(), LetterTokenizer(), config),
                    "TextTranslator: batch_tokens is 0, expected at least 1");
}

}  // namespace text_translator_test
