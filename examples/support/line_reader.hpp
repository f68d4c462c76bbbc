#pragma once

#include <mat/core/error.hpp>
#include <mat/io/utf8.hpp>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#if defined(__unix__) || defined(__APPLE__)
#include <poll.h>
#include <unistd.h>
#endif

namespace example {

/// What LineReader::next_part has found.
enum class LinePart { none, more, last };

/// Reads the lines of a file or of standard input, which may be a pipe, as they come.
///
/// Lines end with LF or CR LF, the last one also with the end of the file; a byte order mark is passed over. A line is
/// never lost: one that cannot be read is an error.
///
/// Errors: FileError, `train.en: line 3 is not UTF-8 at byte 5`; lines and bytes count from 1.
class LineReader {
 public:
  static constexpr std::size_t kLongest = 1 << 20;  // bytes

  /// Standard input.
  LineReader() : name_("standard input"), file_(stdin, Close{false}) {}
  explicit LineReader(const std::string& path) : name_(path), file_(std::fopen(path.c_str(), "rb"), Close{true}) {
    if (file_ == nullptr) fail_to("opened");
  }

  /// The next line without its end, or false at the end of the file.
  [[nodiscard]] bool next(std::string& line) {
    std::size_t end = buffer_.find('\n', next_);
    while (end == std::string::npos && buffer_.size() - next_ <= kLongest && fill()) end = buffer_.find('\n', next_);
    if (next_ == buffer_.size()) return false;
    ++line_;
    line.assign(buffer_, next_, end == std::string::npos ? end : end - next_);
    next_ = end == std::string::npos ? buffer_.size() : end + 1;
    if (line.size() > kLongest) fail("has more than " + std::to_string(kLongest) + " bytes");
    if (line_ == 1 && line.compare(0, 3, "\xEF\xBB\xBF") == 0) line.erase(0, 3);
    if (!line.empty() && line.back() == '\r') line.pop_back();
    check_utf8(line, 0);
    return true;
  }

  /// The next part of a line of any length, which ends between two characters: more of it comes, or it is the last.
  /// None at the end of the file. Memory is taken for one part.
  [[nodiscard]] LinePart next_part(std::string& part) {
    std::size_t end = buffer_.find('\n', next_);
    while (end == std::string::npos && buffer_.size() - next_ < kChunk && fill()) end = buffer_.find('\n', next_);
    if (next_ == buffer_.size() && column_ == 0) return LinePart::none;
    if (column_ == 0) ++line_;
    const bool is_last = end != std::string::npos || ended_;
    if (end == std::string::npos) end = is_last ? buffer_.size() : end_of_characters();
    part.assign(buffer_, next_, end - next_);
    next_ = std::min(end + (is_last ? 1 : 0), buffer_.size());
    if (is_last && !part.empty() && part.back() == '\r') part.pop_back();
    check_utf8(part, column_);
    const bool is_first = std::exchange(column_, is_last ? 0 : column_ + part.size()) == 0;
    if (line_ == 1 && is_first && part.compare(0, 3, "\xEF\xBB\xBF") == 0) part.erase(0, 3);
    return is_last ? LinePart::last : LinePart::more;
  }

  /// Whether the next line is there, so that `next` would not wait for whoever writes it.
  [[nodiscard]] bool is_ready() {
    while (buffer_.find('\n', next_) == std::string::npos) {
#if defined(__unix__) || defined(__APPLE__)
      pollfd input{::fileno(file_.get()), POLLIN, 0};
      if (ended_ || ::poll(&input, 1, 0) <= 0 || !fill()) return false;
#else
      return false;
#endif
    }
    return true;
  }

  /// Of the last line, from 1.
  [[nodiscard]] mat::Index line() const { return line_; }

 private:
  struct Close {
    bool owned;
    void operator()(std::FILE* file) const {
      if (owned) std::fclose(file);
    }
  };

  [[noreturn]] void fail(const std::string& what) const {
    throw mat::FileError(name_ + ": line " + std::to_string(line_) + " " + what);
  }
  /// Bytes count from that after `before`.
  void check_utf8(const std::string& text, std::size_t before) const {
    for (std::size_t i = 0, length = 0; i < text.size(); i += length) {
      length = mat::utf8_length(text, i);
      if (length == 0) fail("is not UTF-8 at byte " + std::to_string(before + i + 1));
    }
  }
  /// The end of the buffer without a character that has not come as a whole, or a CR that may belong to the end of the
  /// line.
  [[nodiscard]] std::size_t end_of_characters() const {
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(buffer_[i]); };
    std::size_t begin = buffer_.size() - 1;
    while (buffer_.size() - begin < 4 && byte(begin) >= 0x80 && byte(begin) < 0xC0) --begin;
    const bool waits = buffer_[begin] == '\r' || (byte(begin) >= 0xC0 && mat::utf8_length(buffer_, begin) == 0);
    return waits ? begin : buffer_.size();
  }
  [[noreturn]] void fail_to(const std::string& what) const {
    throw mat::FileError(name_ + " cannot be " + what + ": " + std::generic_category().message(errno));
  }

  /// Appends what has come to the buffer, waiting for at least a byte; false at the end.
  bool fill() {
    if (ended_) return false;
    buffer_.erase(0, std::exchange(next_, 0));
    errno = 0;
#if defined(__unix__) || defined(__APPLE__)
    const std::size_t old = buffer_.size();
    buffer_.resize(old + kChunk);
    const auto got = ::read(::fileno(file_.get()), buffer_.data() + old, kChunk);
    buffer_.resize(old + (got > 0 ? static_cast<std::size_t>(got) : 0));
    if (got < 0 && errno != EINTR) fail_to("read");
    ended_ = got == 0;
#else
    const int byte = std::fgetc(file_.get());
    if (byte == EOF && std::ferror(file_.get()) != 0) fail_to("read");
    if (byte != EOF) buffer_ += static_cast<char>(byte);
    ended_ = byte == EOF;
#endif
    return !ended_;
  }

  static constexpr std::size_t kChunk = 1 << 16;
  std::string name_;
  std::unique_ptr<std::FILE, Close> file_;
  std::string buffer_;
  std::size_t next_ = 0;  // where in the buffer the next line begins
  mat::Index line_ = 0;
  std::size_t column_ = 0;  // bytes of the line in the parts before
  bool ended_ = false;
};

/// All lines of a reader.
[[nodiscard]] inline std::vector<std::string> read_lines(LineReader reader) {
  std::vector<std::string> lines;
  for (std::string line; reader.next(line);) lines.push_back(line);
  return lines;
}

}  // namespace example
