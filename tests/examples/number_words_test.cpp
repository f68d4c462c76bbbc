#include "support/catch.hpp"

#include <examples/support/number_words.hpp>
#include <set>

namespace number_words_test {

using namespace example;

TEST_CASE("Numbers in words", "[examples]") {
  struct Row {
    mat::Index number;
    const char *english, *german;
  };
  const Row rows[] = {
      {0, "zero", "null"},
      {1, "one", "eins"},
      {12, "twelve", "zwölf"},
      {17, "seventeen", "siebzehn"},
      {21, "twenty-one", "einundzwanzig"},
      {30, "thirty", "dreißig"},
      {66, "sixty-six", "sechsundsechzig"},
      {100, "one hundred", "einhundert"},
      {101, "one hundred one", "einhunderteins"},
      {342, "three hundred forty-two", "dreihundertzweiundvierzig"},
      {1000, "one thousand", "eintausend"},
      {1001, "one thousand one", "eintausendeins"},
      {21000, "twenty-one thousand", "einundzwanzigtausend"},
      {101000, "one hundred one thousand", "einhunderteintausend"},
      {111111, "one hundred eleven thousand one hundred eleven", "einhundertelftausendeinhundertelf"},
      {701016, "seven hundred one thousand sixteen", "siebenhunderteintausendsechzehn"},
      {999999, "nine hundred ninety-nine thousand nine hundred ninety-nine",
       "neunhundertneunundneunzigtausendneunhundertneunundneunzig"},
  };
  for (const Row& row : rows) {
    CHECK(english_number(row.number) == row.english);
    CHECK(german_number(row.number) == row.german);
  }
}

TEST_CASE("No two numbers have the same words", "[examples]") {
  std::set<std::string> english, german;
  for (mat::Index number = 0; number < 1000000; number = number < 2000 ? number + 1 : number + 37) {
    CHECK(english.insert(english_number(number)).second);
    CHECK(german.insert(german_number(number)).second);
  }
}

TEST_CASE("Other numbers are refused", "[examples]") {
  CHECK_THROWS_WITH(english_number(-1), "english_number: number is -1, expected in [0, 999999]");
  CHECK_THROWS_WITH(german_number(1000000), "german_number: number is 1000000, expected in [0, 999999]");
}

TEST_CASE("NumberDraw: each number once, short ones among them, the same for equal generators", "[examples]") {
  NumberDraw draw(mat::Random(3)), again(mat::Random(3));
  std::set<mat::Index> seen;
  mat::Index below_1000 = 0;
  for (int i = 0; i < 5000; ++i) {
    const mat::Index number = draw.next();
    CHECK(number == again.next());
    CHECK(seen.insert(number).second);
    below_1000 += number < 1000 ? 1 : 0;
  }
  CHECK(below_1000 > 500);
}

}  // namespace number_words_test
