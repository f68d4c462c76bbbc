#include "support/catch.hpp"

#include <mat/io/json_reader.hpp>

namespace json_reader_test {

using mat::FileError;
using mat::JsonReader;

namespace {

/// Reads any value and forgets it.
void skip(JsonReader& reader) {
  switch (reader.kind()) {
    case JsonReader::Kind::kNull:
      reader.read_null();
      break;
    case JsonReader::Kind::kBoolean:
      (void)reader.read_boolean();
      break;
    case JsonReader::Kind::kNumber:
      (void)reader.read_number();
      break;
    case JsonReader::Kind::kString:
      (void)reader.read_string();
      break;
    case JsonReader::Kind::kArray:
      reader.read_array([&] { skip(reader); });
      break;
    case JsonReader::Kind::kObject:
      reader.read_object([&](const std::string&) { skip(reader); });
      break;
  }
}
void read_all(const std::string& text) {
  JsonReader reader(text, "text: ");
  skip(reader);
  reader.read_end();
}
std::string string_in(const std::string& text) {
  JsonReader reader(text, "");
  return reader.read_string();
}
mat::JsonNumber number_in(const std::string& text) {
  JsonReader reader(text, "");
  const mat::JsonNumber number = reader.read_number();
  reader.read_end();
  return number;
}

}  // namespace

TEST_CASE("a JSON text is read in its order", "[io]") {
  JsonReader reader(" { \"a\" : [ 1 , true,null ] ,\t\"b\":{}\r\n} ", "");
  std::string order;
  reader.read_object([&](const std::string& key) {
    order += key;
    if (key == "b") {
      reader.read_object([&](const std::string&) { order += "?"; });
      return;
    }
    reader.read_array([&] {
      order += std::to_string(static_cast<int>(reader.kind()));
      skip(reader);
    });
  });
  reader.read_end();
  CHECK(order == "a210b");
}

TEST_CASE("strings are unescaped into UTF-8", "[io]") {
  CHECK(string_in(R"("\"\\\/\b\f\n\r\t")") == "\"\\/\b\f\n\r\t");
  CHECK(string_in(R"("\u0041\u00e9\u20AC")") == "Aé€");
  CHECK(string_in(R"("\ud83d\ude00")") == "😀");
  CHECK(string_in(R"("\ud800\udc00\udbff\udfff")") == "\xF0\x90\x80\x80\xF4\x8F\xBF\xBF");
  CHECK(string_in(R"("a\u0000b")") == std::string("a\0b", 3));
  CHECK(string_in("\"слой.重み😀\"") == "слой.重み😀");
}

TEST_CASE("whole numbers keep all digits", "[io]") {
  CHECK(number_in("0") == mat::JsonNumber(std::int64_t{0}));
  CHECK(number_in("-9223372036854775808") == mat::JsonNumber(std::numeric_limits<std::int64_t>::min()));
  CHECK(number_in("9223372036854775807") == mat::JsonNumber(std::numeric_limits<std::int64_t>::max()));
  CHECK(number_in("9223372036854775808") == mat::JsonNumber(std::uint64_t{1} << 63));
  CHECK(number_in("18446744073709551615") == mat::JsonNumber(std::numeric_limits<std::uint64_t>::max()));
  CHECK(number_in("18446744073709551616") == mat::JsonNumber(18446744073709551616.0));
  CHECK(number_in("-9223372036854775809") == mat::JsonNumber(-9223372036854775808.0));
}

TEST_CASE("numbers with a fraction or an exponent are doubles", "[io]") {
  CHECK(number_in("1.0") == mat::JsonNumber(1.0));
  CHECK(number_in("1e2") == mat::JsonNumber(100.0));
  CHECK(number_in("-1.5E+2") == mat::JsonNumber(-150.0));
  CHECK(number_in("5e-324") == mat::JsonNumber(5e-324));
  CHECK(number_in("1.7976931348623157e308") == mat::JsonNumber(std::numeric_limits<double>::max()));
  const mat::JsonNumber zero = number_in("-0");
  REQUIRE(std::holds_alternative<double>(zero));
  CHECK(std::signbit(std::get<double>(zero)));
}

TEST_CASE("an index is a whole number of at least 0", "[io]") {
  const auto index_in = [](const std::string& text) { return JsonReader(text, "").read_index(); };
  CHECK(index_in("9223372036854775807") == std::numeric_limits<mat::Index>::max());
  const std::string expected = ", expected a whole number from 0 to 9223372036854775807";
  CHECK_THROWS_WITH(index_in("-2"), "byte 0 is '-2'" + expected);
  CHECK_THROWS_WITH(index_in(" 2.0"), "byte 1 is '2.0'" + expected);
  CHECK_THROWS_WITH(index_in("9223372036854775808"), "byte 0 is '9223372036854775808'" + expected);
  CHECK_THROWS_WITH(index_in("null"), "byte 0 is 'n', expected a digit");
}

TEST_CASE("what is no JSON is refused with its place and the reason", "[io]") {
  const auto [text, message] = GENERATE(table<std::string, std::string>({
      {"", "text: byte 0 is the end, expected a value"},
      {"x", "text: byte 0 is 'x', expected a value"},
      {"\xEF\xBB\xBF{}", "text: byte 0 is 0xEF, expected a value"},
      {"{}x", "text: byte 2 is 'x', expected the end"},
      {"{}{}", "text: byte 2 is '{', expected the end"},
      {std::string("{}\0", 3), "text: byte 2 is 0x00, expected the end"},
      {"{", "text: byte 1 is the end, expected a string"},
      {"{\"a\"}", "text: byte 4 is '}', expected ':'"},
      {"{\"a\":1,}", "text: byte 7 is '}', expected a string"},
      {"{\"a\":1 \"b\":2}", "text: byte 7 is '\"', expected ',' or '}'"},
      {"{a:1}", "text: byte 1 is 'a', expected a string"},
      {"[1,]", "text: byte 3 is ']', expected a value"},
      {"[1 2]", "text: byte 3 is '2', expected ',' or ']'"},
      {"[1", "text: byte 2 is the end, expected ',' or ']'"},
      {"00", "text: byte 1 is '0', expected the end"},
      {"0x0", "text: byte 1 is 'x', expected the end"},
      {"+1", "text: byte 0 is '+', expected a value"},
      {"-", "text: byte 1 is the end, expected a digit"},
      {".5", "text: byte 0 is '.', expected a value"},
      {"1.", "text: byte 2 is the end, expected a digit"},
      {"1e", "text: byte 2 is the end, expected a digit"},
      {"1e+-2", "text: byte 3 is '-', expected a digit"},
      {"1e999", "text: byte 0 is a number out of range, expected a number in the range of double"},
      {"NaN", "text: byte 0 is 'N', expected a value"},
      {"Infinity", "text: byte 0 is 'I', expected a value"},
      {"nul", "text: byte 3 is the end, expected 'null'"},
      {"truE", "text: byte 3 is 'E', expected 'true'"},
      {"// no\n1", "text: byte 0 is '/', expected a value"},
      {"'a'", "text: byte 0 is ''', expected a value"},
      {"\"a", "text: byte 2 is the end, expected '\"'"},
      {"\"a\nb\"", "text: byte 2 is 0x0A, expected no control character in a string"},
      {"\"\\x41\"", "text: byte 2 is 'x', expected one of \"\\/bfnrtu after a backslash"},
      {"\"\\u00g0\"", "text: byte 5 is 'g', expected a hexadecimal digit"},
      {"\"\\ud83d\"", "text: byte 1 is a lone surrogate, expected a surrogate pair"},
      {"\"\\ud83d\\u0041\"", "text: byte 1 is a lone surrogate, expected a surrogate pair"},
      {"\"\\ude00\"", "text: byte 1 is a lone surrogate, expected a surrogate pair"},
      {"\"\\ud83d\\n\"", "text: byte 8 is 'n', expected 'u' of the second half of a surrogate pair"},
      {"\"\xFF\"", "text: byte 1 is 0xFF, expected valid UTF-8"},
      {"\"a\xC0\xAF\"", "text: byte 2 is 0xC0, expected valid UTF-8"},
      {"\"\xED\xA0\x80\"", "text: byte 1 is 0xED, expected valid UTF-8"},
      {"\"\xE2\x82\"", "text: byte 1 is 0xE2, expected valid UTF-8"},
      {"\xC2\xA0"
       "1",
       "text: byte 0 is 0xC2, expected a value"},
      {"{\"a\":1,\"a\":2}", "text: byte 7 is the key 'a' again, expected each key once"},
      {"{\"a\":1,\"\\u0061\":2}", "text: byte 7 is the key 'a' again, expected each key once"},
  }));
  CHECK_THROWS_AS(read_all(text), FileError);
  CHECK_THROWS_WITH(read_all(text), message);
}

TEST_CASE("brackets may be open 64 deep and no deeper", "[io]") {
  const auto nested = [](std::size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  CHECK_NOTHROW(read_all(nested(64)));
  CHECK_THROWS_WITH(read_all(nested(65)), "text: byte 64 is open bracket 65, expected at most 64");
  CHECK_THROWS_WITH(read_all(std::string(1000000, '[')), "text: byte 64 is open bracket 65, expected at most 64");
  CHECK_NOTHROW(read_all("[" + nested(63) + "," + nested(63) + "]"));
}

TEST_CASE("equal keys of different objects are no repetition", "[io]") {
  CHECK_NOTHROW(read_all(R"({"a":{"a":1},"b":{"a":1}})"));
}

}  // namespace json_reader_test
