#include "support/catch.hpp"
#include "support/temporary_folder.hpp"

#include <mat/training/log_file.hpp>

#include <fstream>
#include <iterator>

namespace log_file_test {

using namespace mat;

TEST_CASE("LogFile appends lines that can be read at once", "[training]") {
  const test::TemporaryFolder folder;
  const std::string path = folder.path("log.jsonl");
  const auto text = [&] {
    std::ifstream file(path);
    return std::string(std::istreambuf_iterator<char>(file), {});
  };
  LogFile first(path);
  first.write_line(R"({"seed":1})");
  CHECK(text() == "{\"seed\":1}\n");
  LogFile second(path);
  second.write(Progress{});
  CHECK(text() == "{\"seed\":1}\n" + json_line(Progress{}) + "\n");
}

TEST_CASE("LogFile names the file and the reason when it cannot be opened", "[training]") {
  const test::TemporaryFolder folder;
  const std::string path = folder.path("missing/log.jsonl");
  CHECK_THROWS_AS(LogFile(path), FileError);
  CHECK_THROWS_WITH(LogFile(path), "LogFile: " + path + " cannot be opened: No such file or directory");
}

TEST_CASE("LogFile says so when the disk is full", "[training]") {
  std::FILE* full = std::fopen("/dev/full", "a");
  if (full == nullptr) return;  // a system without this device
  std::fclose(full);
  LogFile log("/dev/full");
  CHECK_THROWS_WITH(log.write_line("{}"), "LogFile: /dev/full cannot be written: No space left on device");
}

}  // namespace log_file_test
