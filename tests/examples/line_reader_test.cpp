#include "support/catch.hpp"
#include "support/temporary_folder.hpp"

#include <mat/io/durable_file.hpp>

#include <examples/support/line_reader.hpp>

namespace line_reader_test {

using example::LineReader;
using example::read_lines;
using Lines = std::vector<std::string>;

namespace {

Lines lines_of(const std::string& bytes) {
  const mat::test::TemporaryFolder folder;
  mat::write_file(folder.path("text"), bytes);
  return read_lines(LineReader(folder.path("text")));
}

}  // namespace

TEST_CASE("LineReader: lines end with LF, CR LF or the file, and empty ones count", "[examples]") {
  CHECK(lines_of("") == Lines{});
  CHECK(lines_of("\n") == Lines{""});
  CHECK(lines_of("a\n\nb\r\n\r\nc") == Lines{"a", "", "b", "", "c"});
  CHECK(lines_of("\xEF\xBB\xBF\xC3\xA4\n\xEF\xBB\xBFx\n") == Lines{"\xC3\xA4", "\xEF\xBB\xBFx"});
}

TEST_CASE("LineReader: lines that are longer than what is read at once", "[examples]") {
  Lines lines;
  std::string bytes;
  for (std::size_t i = 0; i < 40; ++i) {
    lines.push_back(std::string(i * 1777, static_cast<char>('a' + i % 26)));
    bytes += lines.back() + "\n";
  }
  lines.push_back(std::string(LineReader::kLongest, 'z'));
  CHECK((lines_of(bytes + lines.back()) == lines));
}

TEST_CASE("LineReader names the line that cannot be read", "[examples]") {
  const mat::test::TemporaryFolder folder;
  const std::string path = folder.path("text");
  mat::write_file(path, "a\nb\xFFz\nc\n");
  LineReader reader(path);
  std::string line;
  CHECK(reader.next(line));
  CHECK_THROWS_WITH(reader.next(line), path + ": line 2 is not UTF-8 at byte 2");
  mat::write_file(path, std::string(LineReader::kLongest + 1, 'x'));
  CHECK_THROWS_WITH(read_lines(LineReader(path)), path + ": line 1 has more than 1048576 bytes");
  CHECK_THROWS_WITH(LineReader(folder.path("none")),
                    folder.path("none") + " cannot be opened: No such file or directory");
  CHECK_THROWS_WITH(read_lines(LineReader(folder.path())), folder.path() + " cannot be read: Is a directory");
}

TEST_CASE("LineReader: the next line is ready once its end has come", "[examples]") {
  const mat::test::TemporaryFolder folder;
  mat::write_file(folder.path("text"), "a\nb");
  LineReader reader(folder.path("text"));
  CHECK(reader.is_ready());
  std::string line;
  CHECK(reader.next(line));
  CHECK(!reader.is_ready());  // more could come, but the file ends
  CHECK(reader.next(line));
  CHECK(line == "b");
  CHECK(!reader.next(line));
  CHECK(reader.line() == 2);
}

}  // namespace line_reader_test
