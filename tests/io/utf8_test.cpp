#include "support/catch.hpp"

#include <mat/io/utf8.hpp>

#include <string>

namespace utf8_test {

using mat::append_utf8;
using mat::utf8_length;

TEST_CASE("every code point that is no surrogate survives as UTF-8", "[io]") {
  int mistakes = 0;
  for (std::uint32_t code_point = 0; code_point < 0x110000; ++code_point) {
    if (code_point >= 0xD800 && code_point <= 0xDFFF) continue;
    std::string text;
    append_utf8(text, code_point);
    const std::size_t wanted = code_point < 0x80 ? 1 : code_point < 0x800 ? 2 : code_point < 0x10000 ? 3 : 4;
    std::uint32_t decoded = static_cast<unsigned char>(text[0]);
    if (wanted > 1) decoded &= 0x7Fu >> wanted;
    for (std::size_t i = 1; i < text.size(); ++i)
      decoded = decoded << 6 | (static_cast<unsigned char>(text[i]) & 0x3Fu);
    if (text.size() != wanted || utf8_length(text, 0) != wanted || decoded != code_point) ++mistakes;
  }
  CHECK(mistakes == 0);
}

TEST_CASE("bytes that are not UTF-8 have no length", "[io]") {
  const auto bytes =
      GENERATE(as<std::string>(), "\x80", "\xBF", "\xC0\xAF", "\xC1\xBF", "\xC2", "\xC2\x41", "\xE0\x9F\xBF",
               "\xE2\x82", "\xE2\x28\xA1", "\xED\xA0\x80", "\xED\xBF\xBF", "\xF0\x8F\xBF\xBF", "\xF0\x9F\x98",
               "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xFE", "\xFF");
  CHECK(utf8_length(bytes, 0) == 0);
}

TEST_CASE("there is no UTF-8 behind the end of a text", "[io]") {
  CHECK(utf8_length("", 0) == 0);
  CHECK(utf8_length("a", 1) == 0);
}

TEST_CASE("a name is shown in quotes, without control characters and not too long", "[io]") {
  CHECK(mat::detail::in_quotes("слой.1") == "'слой.1'");
  CHECK(mat::detail::in_quotes(std::string("a\0\x1B\x7F", 4)) == "'a\\x00\\x1B\\x7F'");
  CHECK(mat::detail::in_quotes(std::string(100, 'x')) == "'" + std::string(100, 'x') + "'");
  CHECK(mat::detail::in_quotes(std::string(101, 'x')) == "'" + std::string(100, 'x') + "...'");
  CHECK(mat::detail::in_quotes(std::string(99, 'x') + "é" + "yz") == "'" + std::string(99, 'x') + "é...'");
}

}  // namespace utf8_test
