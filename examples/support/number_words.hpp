#pragma once

#include <mat/core/error.hpp>
#include <mat/core/random.hpp>

#include <array>
#include <string>
#include <vector>

namespace example {

namespace detail {

inline void check_number(const char* where, mat::Index number) {
  if (number >= 0 && number <= 999999) return;
  mat::detail::throw_value_error({where, "number"}, std::to_string(number), "in [0, 999999]");
}

}  // namespace detail

/// A number from 0 to 999,999 in English words: 342 is "three hundred forty-two".
[[nodiscard]] inline std::string english_number(mat::Index number) {
  static constexpr std::array<const char*, 20> kSmall{
      "zero", "one",    "two",    "three",    "four",     "five",    "six",     "seven",     "eight",    "nine",
      "ten",  "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"};
  static constexpr std::array<const char*, 10> kTens{"",      "",      "twenty",  "thirty", "forty",
                                                     "fifty", "sixty", "seventy", "eighty", "ninety"};
  detail::check_number("english_number", number);
  // A part of more, with what stands between it and the rest, which is left out if it is 0.
  const auto with_rest = [](const std::string& text, const char* between, mat::Index rest) {
    return rest == 0 ? text : text + between + english_number(rest);
  };
  if (number < 20) return kSmall.at(static_cast<std::size_t>(number));
  if (number < 100) return with_rest(kTens[static_cast<std::size_t>(number / 10)], "-", number % 10);
  if (number < 1000) return with_rest(english_number(number / 100) + " hundred", " ", number % 100);
  return with_rest(english_number(number / 1000) + " thousand", " ", number % 1000);
}

/// The same in German, one word with the ones before the tens: 342 is "dreihundertzweiundvierzig".
[[nodiscard]] inline std::string german_number(mat::Index number) {
  static constexpr std::array<const char*, 20> kSmall{
      "null", "eins", "zwei",  "drei",     "vier",     "fünf",     "sechs",    "sieben",   "acht",     "neun",
      "zehn", "elf",  "zwölf", "dreizehn", "vierzehn", "fünfzehn", "sechzehn", "siebzehn", "achtzehn", "neunzehn"};
  static constexpr std::array<const char*, 10> kTens{"",        "",        "zwanzig", "dreißig", "vierzig",
                                                     "fünfzig", "sechzig", "siebzig", "achtzig", "neunzig"};
  detail::check_number("german_number", number);
  const auto rest_of = [](mat::Index rest) { return rest == 0 ? std::string() : german_number(rest); };
  // Before more of the word, 1 is "ein": "einundzwanzig", "hunderteintausend".
  const auto before_more = [](mat::Index part) {
    std::string text = german_number(part);
    if (part % 100 == 1) text.pop_back();
    return text;
  };
  if (number < 20) return kSmall.at(static_cast<std::size_t>(number));
  if (number < 100) {
    const std::string tens = kTens[static_cast<std::size_t>(number / 10)];
    return number % 10 == 0 ? tens : before_more(number % 10) + "und" + tens;
  }
  if (number < 1000) return before_more(number / 100) + "hundert" + rest_of(number % 100);
  return before_more(number / 1000) + "tausend" + rest_of(number % 1000);
}

/// The numbers below 1,000,000 in an order that a generator draws, each once: the first ones to learn from, others to
/// ask about. Every length of number is about as frequent among the first, else nearly all would have six digits.
class NumberDraw {
 public:
  explicit NumberDraw(const mat::Random& random) : random_(random), seen_(1000000, false) {}

  [[nodiscard]] mat::Index next() {
    static constexpr std::array<mat::Index, 6> kAbove{10, 100, 1000, 10000, 100000, 1000000};
    for (;;) {
      const mat::Index digits = random_.below(drawn_++, 6);
      const mat::Index number = random_.below(drawn_++, kAbove[static_cast<std::size_t>(digits)]);
      if (seen_[static_cast<std::size_t>(number)]) continue;
      seen_[static_cast<std::size_t>(number)] = true;
      return number;
    }
  }

 private:
  mat::Random random_;
  std::uint64_t drawn_ = 0;
  std::vector<bool> seen_;
};

}  // namespace example
