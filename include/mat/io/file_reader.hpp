#pragma once

#include <mat/core/error.hpp>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <system_error>
#include <utility>

namespace mat {
inline namespace MAT_ABI {

/// Reads the bytes of a file from its beginning, part by part; its size is known before any memory is taken.
/// Errors: FileError naming the path and what the operating system says.
class FileReader {
 public:
  explicit FileReader(std::string path) : path_(std::move(path)), file_(std::fopen(path_.c_str(), "rb")) {
    if (file_ == nullptr) fail("cannot be opened");
    // A folder opens without complaint, but does not read.
    if (std::fgetc(file_.get()) == EOF && std::ferror(file_.get()) != 0) fail("cannot be read");
    if (std::fseek(file_.get(), 0, SEEK_END) != 0) fail("has no size");
    const long size = std::ftell(file_.get());
    if (size < 0 || std::fseek(file_.get(), 0, SEEK_SET) != 0) fail("has no size");
    size_ = static_cast<std::uint64_t>(size);
  }

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::uint64_t size() const { return size_; }

  /// The next `count` bytes.
  [[nodiscard]] std::string read(std::uint64_t count) {
    std::string bytes(static_cast<std::size_t>(count), '\0');
    errno = 0;
    const std::size_t got = std::fread(bytes.data(), 1, bytes.size(), file_.get());
    if (got != bytes.size() && std::ferror(file_.get()) != 0) fail("cannot be read");
    if (got != bytes.size()) {
      throw FileError("FileReader: " + path_ + " ended after " + std::to_string(got) + " bytes of " +
                      std::to_string(count) + ": somebody shortened it meanwhile");
    }
    return bytes;
  }

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };

  [[noreturn]] void fail(const char* what) const {
    throw FileError("FileReader: " + path_ + " " + what + ": " + std::generic_category().message(errno));
  }

  std::string path_;
  std::unique_ptr<std::FILE, Close> file_;
  std::uint64_t size_ = 0;
};

/// All bytes of a file.
[[nodiscard]] inline std::string read_file(const std::string& path) {
  FileReader reader(path);
  return reader.read(reader.size());
}

}  // namespace MAT_ABI
}  // namespace mat
