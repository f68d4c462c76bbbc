#pragma once

#include <mat/training/progress.hpp>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

namespace mat {
inline namespace MAT_ABI {

/// A file of JSON lines, one for each Progress, appended to what is there and readable while training goes on.
///
/// Errors: FileError, with the path and the system's reason, if it cannot be opened or written.
class LogFile {
 public:
  explicit LogFile(const std::string& path) : path_(path), file_(std::fopen(path.c_str(), "a")) {
    if (file_ == nullptr) fail("cannot be opened");
  }

  void write(const Progress& progress) { write_line(json_line(progress)); }
  /// Any other line, for example the settings of the run.
  void write_line(const std::string& line) {
    const bool written = std::fputs((line + "\n").c_str(), file_.get()) >= 0 && std::fflush(file_.get()) == 0;
    if (!written) fail("cannot be written");
  }

 private:
  [[noreturn]] void fail(const char* what) const {
    throw FileError("LogFile: " + path_ + " " + what + ": " + std::strerror(errno));
  }
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  std::string path_;
  std::unique_ptr<std::FILE, Close> file_;
};

}  // namespace MAT_ABI
}  // namespace mat
