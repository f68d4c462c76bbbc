#include "support/catch.hpp"
#include "support/temporary_folder.hpp"

#include <mat/io/durable_file.hpp>
#include <mat/io/labelled_text.hpp>

namespace labelled_text_test {

using mat::FileError;
using mat::LabelledText;
using mat::LabelledTextReader;

namespace {

using Examples = std::vector<LabelledText>;

// Files in a folder of their own.
struct TextFile {
  explicit TextFile(const std::string& bytes) {
    mat::DurableFile file(path);
    file.write(bytes);
    file.commit();
  }
  [[nodiscard]] Examples read() const { return mat::read_labelled_text(path); }
  [[nodiscard]] std::string message(const std::string& what) const { return "LabelledText: " + path + ": " + what; }

  mat::test::TemporaryFolder folder;
  std::string path = folder.path("train.tsv");
};

const std::string kMegabyte(1 << 20, 'x');

}  // namespace

TEST_CASE("a line is a label, a tab and a text", "[io]") {
  const TextFile file("NUM\tHow far is it ?\nHUM\tWho is he ?\n");
  CHECK(file.read() == Examples{{"NUM", "How far is it ?"}, {"HUM", "Who is he ?"}});
}

TEST_CASE("a label may have spaces, a text further tabs or nothing at all", "[io]") {
  CHECK(TextFile("very good\ta\tb\nbad\t\n").read() == Examples{{"very good", "a\tb"}, {"bad", ""}});
}

TEST_CASE("the lines of fastText's format are told by the first one", "[io]") {
  const TextFile file("__label__pos a good film\n__label__neg\ta bad one\n__label__pos\n__label__neg  two  spaces\n");
  CHECK(file.read() == Examples{{"pos", "a good film"}, {"neg", "a bad one"}, {"pos", ""}, {"neg", "two  spaces"}});
  LabelledTextReader reader(file.path);
  LabelledText example;
  REQUIRE(reader.next(example));
  CHECK(reader.format() == LabelledTextReader::Format::kFastText);
}

TEST_CASE("ends of lines of Windows, a byte order mark, empty lines and a missing last end are no part of a text",
          "[io]") {
  CHECK(TextFile("\xEF\xBB\xBF"
                 "a\tone\r\n\r\n\n"
                 "b\ttwo")
            .read() == Examples{{"a", "one"}, {"b", "two"}});
  CHECK(TextFile("\n\n__label__a one\r\n").read() == Examples{{"a", "one"}});
}

TEST_CASE("the reader knows the line of its last example and complains about it", "[io]") {
  const TextFile file("\na\tone\n\nb\ttwo\n");
  LabelledTextReader reader(file.path);
  LabelledText example;
  REQUIRE(reader.next(example));
  CHECK(reader.line() == 2);
  REQUIRE(reader.next(example));
  CHECK_THROWS_WITH(reader.fail("has the label 'b'"), file.message("line 4 has the label 'b'"));
  CHECK_FALSE(reader.next(example));
  CHECK_FALSE(reader.next(example));
}

TEST_CASE("texts come whole, wherever the file is cut for reading", "[io]") {
  Examples expected;
  std::string bytes;
  for (std::size_t i = 0; i < 3000; ++i) {
    expected.push_back({std::to_string(i), std::string(i % 100, 'y') + "\xC3\xA9"});
    bytes += expected.back().label + "\t" + expected.back().text + (i % 3 == 0 ? "\r\n" : "\n");
  }
  CHECK(TextFile(bytes).read() == expected);
}

TEST_CASE("a file that cannot be read is named with the reason", "[io]") {
  const mat::test::TemporaryFolder folder;
  CHECK_THROWS_WITH(mat::read_labelled_text(folder.path("none.tsv")),
                    "FileReader: " + folder.path("none.tsv") + " cannot be opened: No such file or directory");
  CHECK_THROWS_WITH(mat::read_labelled_text(folder.path()),
                    "FileReader: " + folder.path() + " cannot be read: Is a directory");
}

TEST_CASE("a file without an example is refused", "[io]") {
  const std::string bytes = GENERATE("", "\n", "\r\n\n", "\xEF\xBB\xBF");
  const TextFile file(bytes);
  CHECK_THROWS_WITH(file.read(), file.message("there is no example, expected at least 1"));
}

TEST_CASE("a malformed line is refused with its number and the reason", "[io]") {
  struct Case {
    std::string bytes, what;
  };
  const Case c =
      GENERATE(Case{"a\tone\n\nb two\n", "line 3 has no tab, expected label<TAB>text"},
               Case{"   \n", "line 1 has no tab, expected label<TAB>text"},
               Case{"a\tone\n\ttwo\n", "line 2 has an empty label, expected label<TAB>text"},
               Case{"a\tone\n__label__b two\n", "line 2 begins with __label__, expected label<TAB>text as on line 1"},
               Case{"\n__label__b two\na\tone\n",
                    "line 3 does not begin with __label__, expected __label__LABEL text as on line 2"},
               Case{"__label__ two\n", "line 1 has an empty label, expected __label__LABEL text"},
               Case{"__label__\n", "line 1 has an empty label, expected __label__LABEL text"},
               Case{"__label__a __label__b two\n", "line 1 has more than one label, expected one"},
               Case{"a\tone\nb\tna\xEFve\n", "line 2 is not UTF-8 at byte 5"},
               Case{"\xEF\xBB\xBF"
                    "a\t\xFF\n",
                    "line 1 is not UTF-8 at byte 6"},
               Case{"a\tcut \xC3", "line 1 is not UTF-8 at byte 7"},
               Case{"a\tone\nb\t" + kMegabyte, "line 2 has more than 1048576 bytes"},
               Case{"a\tone\nb\t" + kMegabyte + kMegabyte + "\nc\tthree\n", "line 2 has more than 1048576 bytes"});
  const TextFile file(c.bytes);
  CHECK_THROWS_AS(file.read(), FileError);
  CHECK_THROWS_WITH(file.read(), file.message(c.what));
}

TEST_CASE("a line of the largest size is read", "[io]") {
  const std::string text = kMegabyte.substr(2);
  CHECK(TextFile("a\t" + text + "\nb\ttwo\n").read() == Examples{{"a", text}, {"b", "two"}});
}

TEST_CASE("a label that is not among the known ones is refused with its line", "[io]") {
  const TextFile file("a\tone\nb c\ttwo\n\nd\tthree\n");
  CHECK(mat::read_labelled_text(file.path, {"d", "b c", "a"}) == file.read());
  CHECK_THROWS_WITH(mat::read_labelled_text(file.path, {"a", "b c"}),
                    file.message("line 4 has the label 'd', expected one of 'a', 'b c'"));
}

}  // namespace labelled_text_test
