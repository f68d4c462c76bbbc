#include "support/catch.hpp"
#include "support/temporary_folder.hpp"

#include <mat/io/durable_file.hpp>
#include <mat/io/file_reader.hpp>

namespace file_reader_test {

TEST_CASE("a file is read part by part", "[io]") {
  const mat::test::TemporaryFolder folder;
  const std::string bytes("0123\0 456\n", 10);
  mat::write_file(folder.path("a"), bytes);
  mat::FileReader reader(folder.path("a"));
  CHECK(reader.size() == 10);
  CHECK(reader.path() == folder.path("a"));
  CHECK(reader.read(4) == bytes.substr(0, 4));
  CHECK(reader.read(0).empty());
  CHECK(reader.read(6) == bytes.substr(4));
  CHECK(mat::read_file(folder.path("a")) == bytes);
}

TEST_CASE("an empty file has no bytes", "[io]") {
  const mat::test::TemporaryFolder folder;
  mat::write_file(folder.path("empty"), "");
  CHECK(mat::read_file(folder.path("empty")).empty());
}

TEST_CASE("what cannot be read is refused with its path and the reason", "[io]") {
  const mat::test::TemporaryFolder folder;
  CHECK_THROWS_AS(mat::read_file(folder.path("none")), mat::FileError);
  CHECK_THROWS_WITH(mat::read_file(folder.path("none")),
                    "FileReader: " + folder.path("none") + " cannot be opened: No such file or directory");
  CHECK_THROWS_WITH(mat::read_file(folder.path()), "FileReader: " + folder.path() + " cannot be read: Is a directory");
}

TEST_CASE("a file that ends early is refused", "[io]") {
  const mat::test::TemporaryFolder folder;
  mat::write_file(folder.path("a"), "abc");
  mat::FileReader reader(folder.path("a"));
  CHECK_THROWS_WITH(reader.read(5),
                    "FileReader: " + folder.path("a") + " ended after 3 bytes of 5: somebody shortened it meanwhile");
}

}  // namespace file_reader_test
