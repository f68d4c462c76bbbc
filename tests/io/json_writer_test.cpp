#include "support/catch.hpp"

#include <mat/core/random.hpp>
#include <mat/io/json_reader.hpp>
#include <mat/io/json_writer.hpp>

#include <cstring>
#include <limits>

namespace json_writer_test {

namespace {

std::string written(double number) {
  std::string json;
  mat::append_json_number(json, number);
  return json;
}
std::string written(std::string_view text) {
  std::string json;
  mat::append_json_string(json, text);
  return json;
}

}  // namespace

TEST_CASE("a number is written in its shortest form and stays a double", "[io]") {
  CHECK(written(0.1) == "0.1");
  CHECK(written(1.0) == "1.0");
  CHECK(written(-0.0) == "-0.0");
  CHECK(written(1e300) == "1e+300");
  CHECK(written(5e-324) == "5e-324");
}

TEST_CASE("every finite double reads back bit for bit", "[io]") {
  const mat::Random random(11);
  int mistakes = 0;
  for (std::uint64_t i = 0; i < 20000; ++i) {
    const mat::Random::Block block = random.block(i);
    const std::uint64_t bits = std::uint64_t{block[0]} << 32 | block[1];
    double number = 0;
    std::memcpy(&number, &bits, sizeof(number));
    if (!std::isfinite(number)) continue;
    const std::string json = written(number);
    const mat::JsonNumber back = mat::JsonReader(json, "").read_number();
    const double* value = std::get_if<double>(&back);
    if (value == nullptr || std::memcmp(value, &number, sizeof(number)) != 0) ++mistakes;
  }
  CHECK(mistakes == 0);
}

TEST_CASE("NaN and infinity are refused", "[io]") {
  CHECK_THROWS_WITH(written(std::numeric_limits<double>::infinity()),
                    "append_json_number: the number is inf, expected a finite one");
  CHECK_THROWS_AS(written(std::numeric_limits<double>::quiet_NaN()), mat::ValueError);
}

TEST_CASE("a string escapes what it must and nothing else", "[io]") {
  CHECK(written("слой/é") == "\"слой/é\"");
  CHECK(written("\"\\\b\f\n\r\t") == R"("\"\\\b\f\n\r\t")");
  CHECK(written(std::string_view("\0\x1F\x7F", 3)) == "\"\\u0000\\u001f\x7F\"");
}

TEST_CASE("a string that is not UTF-8 is refused", "[io]") {
  CHECK_THROWS_WITH(written("ab\xFF"),
                    "append_json_string: byte 2 of a string of 3 bytes is not valid, expected UTF-8");
}

}  // namespace json_writer_test
