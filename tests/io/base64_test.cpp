#include "support/catch.hpp"

#include <mat/io/base64.hpp>

namespace base64_test {

using namespace mat;

TEST_CASE("base64: the test vectors of RFC 4648", "[io]") {
  const std::pair<const char*, const char*> vectors[] = {{"", ""},
                                                         {"f", "Zg=="},
                                                         {"fo", "Zm8="},
                                                         {"foo", "Zm9v"},
                                                         {"foob", "Zm9vYg=="},
                                                         {"fooba", "Zm9vYmE="},
                                                         {"foobar", "Zm9vYmFy"}};
  for (const auto& [bytes, text] : vectors) {
    CHECK(to_base64(bytes) == text);
    CHECK(from_base64(text) == bytes);
  }
}

TEST_CASE("base64: all bytes come back", "[io]") {
  std::string bytes;
  for (int i = 0; i < 1000; ++i) bytes += static_cast<char>(static_cast<unsigned char>(i * 37 + i / 256));
  for (std::size_t length = 990; length <= bytes.size(); ++length) {
    CHECK(from_base64(to_base64(std::string_view(bytes).substr(0, length))) == bytes.substr(0, length));
  }
}

TEST_CASE("base64: other texts are refused", "[io]") {
  CHECK_THROWS_WITH(from_base64("Zg="), "from_base64: the text has 3 characters, expected a multiple of 4");
  CHECK_THROWS_WITH(from_base64("Z!9v"), "from_base64: character 1 is none of base64");
  CHECK_THROWS_WITH(from_base64("Zg==Zg=="), "from_base64: character 2 is none of base64");
}

}  // namespace base64_test
