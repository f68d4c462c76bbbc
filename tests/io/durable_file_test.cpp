#include "support/catch.hpp"
#include "support/temporary_folder.hpp"

#include <mat/io/durable_file.hpp>
#include <mat/io/file_reader.hpp>

#if defined(__unix__) || defined(__APPLE__)
#include <csignal>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#endif

namespace durable_file_test {

using mat::DurableFile;

TEST_CASE("a committed file replaces the old one and leaves nothing else behind", "[io]") {
  const mat::test::TemporaryFolder folder;
  const std::string path = folder.path("model");
  mat::write_file(path, "old");
  DurableFile file(path);
  file.write("new ");
  file.write(std::string(100000, 'x'));
  CHECK(mat::read_file(path) == "old");
  file.commit();
  CHECK(mat::read_file(path) == "new " + std::string(100000, 'x'));
  CHECK(folder.count() == 1);
}

TEST_CASE("without a commit the old file stays and the temporary one disappears", "[io]") {
  const mat::test::TemporaryFolder folder;
  const std::string path = folder.path("model");
  mat::write_file(path, "old");
  {
    DurableFile file(path);
    file.write("half of the n");
    CHECK(folder.count() == 2);
  }
  CHECK(mat::read_file(path) == "old");
  CHECK(folder.count() == 1);
}

TEST_CASE("two writers of one file do not mix", "[io]") {
  const mat::test::TemporaryFolder folder;
  const std::string path = folder.path("model");
  DurableFile first(path), second(path);
  first.write("first");
  second.write("second");
  first.commit();
  CHECK(mat::read_file(path) == "first");
  second.commit();
  CHECK(mat::read_file(path) == "second");
  CHECK(folder.count() == 1);
}

TEST_CASE("a file in a missing folder is refused", "[io]") {
  const mat::test::TemporaryFolder folder;
  const std::string path = folder.path("none/model");
  CHECK_THROWS_AS(mat::write_file(path, "x"), mat::FileError);
  CHECK_THROWS_WITH(mat::write_file(path, "x"),
                    "DurableFile: " + path + " cannot be created: No such file or directory");
}

TEST_CASE("a folder is not replaced by a file", "[io]") {
  const mat::test::TemporaryFolder folder;
  std::filesystem::create_directory(folder.path("model"));
  CHECK_THROWS_WITH(mat::write_file(folder.path("model"), "x"),
                    "DurableFile: " + folder.path("model") + " cannot be replaced: Is a directory");
  CHECK(folder.count() == 1);
}

TEST_CASE("a file without a name is refused", "[io]") {
  CHECK_THROWS_WITH(mat::write_file("", "x"), "DurableFile: the path is empty");
}

#if defined(__unix__) || defined(__APPLE__)

TEST_CASE("a pipe is not replaced by a file, nor is a device", "[io]") {
  const mat::test::TemporaryFolder folder;
  const std::string path = folder.path("pipe");
  REQUIRE(::mkfifo(path.c_str(), 0600) == 0);
  CHECK_THROWS_WITH(mat::write_file(path, "x"), "DurableFile: " + path + " cannot be replaced: it is no regular file");
  CHECK(std::filesystem::is_fifo(path));
  CHECK(folder.count() == 1);
}

TEST_CASE("a symbolic link stays, and the file that it names is replaced", "[io]") {
  const mat::test::TemporaryFolder folder;
  mat::write_file(folder.path("model"), "old");
  std::filesystem::create_symlink("model", folder.path("link"));
  mat::write_file(folder.path("link"), "new");
  CHECK(std::filesystem::is_symlink(folder.path("link")));
  CHECK(mat::read_file(folder.path("model")) == "new");
  CHECK(folder.count() == 2);
}

TEST_CASE("a full disk leaves the old file and no temporary one", "[io]") {
  const mat::test::TemporaryFolder folder;
  const std::string path = folder.path("model");
  mat::write_file(path, "old");
  // A limit on the size of files stands for the full disk.
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0);
  rlimit limit = before;
  limit.rlim_cur = 1000;
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &limit) == 0);
  std::string message;
  try {
    mat::write_file(path, std::string(100000, 'x'));
  } catch (const mat::FileError& error) {
    message = error.what();
  }
  ::setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  CHECK(message == "DurableFile: " + path + " cannot be written: File too large");
  CHECK(mat::read_file(path) == "old");
  CHECK(folder.count() == 1);
}

TEST_CASE("a program killed while it writes leaves the old file", "[io]") {
  const mat::test::TemporaryFolder folder;
  const std::string path = folder.path("model");
  mat::write_file(path, "old");
  const pid_t child = ::fork();
  if (child == 0) {
    DurableFile file(path);
    file.write(std::string(1000000, 'x'));
    ::kill(::getpid(), SIGKILL);
  }
  REQUIRE(child > 0);
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  REQUIRE(WIFSIGNALED(status));
  CHECK(mat::read_file(path) == "old");
  mat::write_file(path, "new");
  CHECK(mat::read_file(path) == "new");
}

#endif

}  // namespace durable_file_test
