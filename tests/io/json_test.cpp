#include "support/catch.hpp"

#include <mat/io/json.hpp>

namespace json_test {

using mat::Json;

TEST_CASE("a JSON value keeps the order of its members and writes what it read", "[io]") {
  const std::string text =
      R"({"z":[1,-2,18446744073709551615,0.5,1e+300],"a":{"t":true,"f":false,"n":null},"e":[],"o":{},"s":"é\n"})";
  const Json json = Json::parse(text);
  CHECK(json.str() == text);
  CHECK(Json::parse(json.str()) == json);
  CHECK(Json::parse(" { \"b\" : 1 , \"a\" : [ ] } ").str() == R"({"b":1,"a":[]})");
}

TEST_CASE("a JSON value is built member by member", "[io]") {
  Json json;
  json.set("heads", 8).set("dropout", 0.1).set("name", "mat").set("causal", true).set("none", nullptr);
  json.set("sizes", Json::Array{1, 2u, std::uint64_t{1} << 63});
  CHECK(json.str() ==
        R"({"heads":8,"dropout":0.1,"name":"mat","causal":true,"none":null,"sizes":[1,2,9223372036854775808]})");
  CHECK(Json::parse(json.str()) == json);
  json.set("heads", 4);
  CHECK(json.at("heads").as_index() == 4);
  CHECK(json.as_object().front().first == "heads");
  CHECK(Json::object().str() == "{}");
  CHECK(Json().str() == "null");
}

TEST_CASE("a JSON value gives its number in the kind asked for", "[io]") {
  const Json json = Json::parse(R"([7, 2.5, 18446744073709551615, "x", false])");
  const Json::Array& values = json.as_array();
  CHECK(values[0].as_index() == 7);
  CHECK(values[0].as_double() == 7.0);
  CHECK(values[0].as_uint64() == 7);
  CHECK(values[1].as_double() == 2.5);
  CHECK(values[2].as_uint64() == std::numeric_limits<std::uint64_t>::max());
  CHECK(values[2].as_double() == 18446744073709551616.0);
  CHECK(values[3].as_string() == "x");
  CHECK_FALSE(values[4].as_bool());
}

TEST_CASE("a JSON value of another kind is refused", "[io]") {
  CHECK_THROWS_WITH(Json(2.5).as_index(), "Json::as_index: the value is 2.5, expected an integer");
  CHECK_THROWS_WITH(Json(-1).as_uint64(), "Json::as_uint64: the value is -1, expected an integer of at least 0");
  CHECK_THROWS_WITH(Json("8").as_double(), "Json::as_double: the value is a string, expected a number");
  CHECK_THROWS_WITH(Json().as_bool(), "Json::as_bool: the value is null, expected a boolean");
  CHECK_THROWS_WITH(Json(Json::Array{}).as_string(), "Json::as_string: the value is an array, expected a string");
  CHECK_THROWS_WITH(Json::object().as_array(), "Json::as_array: the value is an object, expected an array");
  CHECK_THROWS_WITH(Json(true).find("a"), "Json::as_object: the value is true, expected an object");
  Json number = 1;
  CHECK_THROWS_WITH(number.set("a", 1), "Json::set: the value is 1, expected an object");
}

TEST_CASE("a missing member is null for find and an error for at", "[io]") {
  const Json json = Json::parse(R"({"heads":8,"layers":2})");
  CHECK(json.find("width") == nullptr);
  REQUIRE(json.find("layers") != nullptr);
  CHECK(json.find("layers")->as_index() == 2);
  CHECK_THROWS_AS(json.at("width"), mat::ValueError);
  CHECK_THROWS_WITH(json.at("width"), "Json::at: the key is 'width', expected one of ['heads', 'layers']");
}

TEST_CASE("a malformed JSON text is refused with the name of its source", "[io]") {
  CHECK_THROWS_AS(Json::parse("{"), mat::FileError);
  CHECK_THROWS_WITH(Json::parse("[1,"), "Json::parse: byte 3 is the end, expected a value");
  CHECK_THROWS_WITH(Json::parse("[1]]", "config.json"), "Json::parse: config.json: byte 3 is ']', expected the end");
}

}  // namespace json_test
