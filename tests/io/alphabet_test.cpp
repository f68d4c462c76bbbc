#include "support/catch.hpp"

#include <mat/io/alphabet.hpp>

namespace alphabet_test {

using namespace mat;

TEST_CASE("an alphabet has the characters of a text, in the order of their bytes", "[io]") {
  const Alphabet alphabet = Alphabet::of(
      "b\xC3\xA4"
      "ab\n");
  CHECK(alphabet.characters() == std::vector<std::string>{"\n", "a", "b", "\xC3\xA4"});
  CHECK(alphabet.size() == 5);
  CHECK(alphabet.encode("ab\xC3\xA4z") == std::vector<Index>{2, 3, 4, 0});
  CHECK(alphabet.decode(4) == "\xC3\xA4");
  CHECK(alphabet.decode(0) == "\xEF\xBF\xBD");
  CHECK(alphabet.decode(5) == "\xEF\xBF\xBD");
  CHECK(alphabet.decode(-1) == "\xEF\xBF\xBD");
}

TEST_CASE("bytes that are no UTF-8 are characters of their own", "[io]") {
  const std::string bytes("\xFF\x00\xC3", 3);
  const Alphabet alphabet = Alphabet::of(bytes);
  CHECK(alphabet.size() == 4);
  std::string again;
  for (const Index id : alphabet.encode(bytes)) again += alphabet.decode(id);
  CHECK(again == bytes);
}

TEST_CASE("an empty alphabet knows no character", "[io]") {
  CHECK(Alphabet().size() == 1);
  CHECK(Alphabet::of("").encode("x") == std::vector<Index>{0});
}

}  // namespace alphabet_test
