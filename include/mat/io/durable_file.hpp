#pragma once

#include <mat/core/error.hpp>

#include <cassert>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#if defined(__unix__) || defined(__APPLE__)
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#endif

namespace mat {
inline namespace MAT_ABI {

/// Writes a file that is there as a whole or not at all, even if the program is killed or the power fails.
///
/// The bytes go to `PATH.tmp-N` in the same folder. `commit` flushes them to the disk, renames the file to PATH, which
/// replaces an old one in one step, and flushes the folder. Without a commit the destructor removes the temporary file
/// and an old file stays as it was. A killed program may leave its temporary file behind; nothing reads it.
///
/// Only a regular file is replaced, never a device such as /dev/null; a symbolic link stays, and what it names is
/// replaced.
///
/// Without POSIX nothing is flushed beyond the C library, and an old file is removed before the new one gets its name.
///
/// Errors: FileError naming the path and what the operating system says; one for an empty path.
class DurableFile {
 public:
  explicit DurableFile(std::string path) : path_(std::move(path)) {
    if (path_.empty()) throw FileError("DurableFile: the path is empty");
    check_target();
    // "x" refuses a name that exists, so two writers never share a temporary file.
    for (int n = 0; file_ == nullptr; ++n) {
      const std::string temporary = path_ + ".tmp-" + std::to_string(n);
      file_ = std::fopen(temporary.c_str(), "wbx");
      if (file_ != nullptr)
        temporary_ = temporary;
      else if (errno != EEXIST || n >= kMostTemporaries)
        fail("cannot be created");
    }
  }
  DurableFile(const DurableFile&) = delete;
  DurableFile& operator=(const DurableFile&) = delete;
  ~DurableFile() { discard(); }

  void write(std::string_view bytes) {
    assert(file_ != nullptr);
    if (std::fwrite(bytes.data(), 1, bytes.size(), file_) != bytes.size()) fail("cannot be written");
  }

  /// Makes the file appear under its name. Nothing can be written afterwards.
  void commit() {
    assert(file_ != nullptr);
    if (std::fflush(file_) != 0) fail("cannot be written");
#if defined(__unix__) || defined(__APPLE__)
    if (::fsync(::fileno(file_)) != 0) fail("cannot be flushed");
#endif
    if (std::fclose(std::exchange(file_, nullptr)) != 0) fail("cannot be closed");
#if !defined(__unix__) && !defined(__APPLE__)
    std::remove(path_.c_str());
#endif
    if (std::rename(temporary_.c_str(), path_.c_str()) != 0) fail("cannot be replaced");
    temporary_.clear();
    flush_folder();
  }

 private:
  static constexpr int kMostTemporaries = 1000;

  /// A rename would replace whatever has the name.
  void check_target() {
#if defined(__unix__) || defined(__APPLE__)
    struct stat target {};
    if (::stat(path_.c_str(), &target) != 0) return;  // there is none yet
    if (!S_ISREG(target.st_mode) && !S_ISDIR(target.st_mode)) {
      throw FileError("DurableFile: " + path_ + " cannot be replaced: it is no regular file");
    }
    if (::lstat(path_.c_str(), &target) != 0 || !S_ISLNK(target.st_mode)) return;
    const std::unique_ptr<char, void (*)(void*)> resolved(::realpath(path_.c_str(), nullptr), std::free);
    if (resolved != nullptr) path_ = resolved.get();
#endif
  }

  [[noreturn]] void fail(const char* what) {
    const std::string reason = std::generic_category().message(errno);
    discard();
    throw FileError("DurableFile: " + path_ + " " + what + ": " + reason);
  }

  void discard() {
    if (file_ != nullptr) std::fclose(std::exchange(file_, nullptr));
    if (!temporary_.empty()) std::remove(temporary_.c_str());
    temporary_.clear();
  }

  /// A rename survives a power failure only once the folder is on the disk.
  void flush_folder() {
#if defined(__unix__) || defined(__APPLE__)
    const std::size_t slash = path_.rfind('/');
    const std::string folder = slash == std::string::npos ? "." : path_.substr(0, slash + 1);
    const int descriptor = ::open(folder.c_str(), O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) fail("is written, but its folder cannot be flushed");
    const int failed = ::fsync(descriptor);
    const int error = errno;
    ::close(descriptor);
    errno = error;
    // Some file systems cannot flush a folder and say EINVAL.
    if (failed != 0 && error != EINVAL) fail("is written, but its folder cannot be flushed");
#endif
  }

  std::string path_;
  std::string temporary_;      // empty while there is none
  std::FILE* file_ = nullptr;  // null once closed
};

/// Writes a whole file durably: see DurableFile.
inline void write_file(const std::string& path, std::string_view bytes) {
  DurableFile file(path);
  file.write(bytes);
  file.commit();
}

}  // namespace MAT_ABI
}  // namespace mat
