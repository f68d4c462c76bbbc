#pragma once

#include <mat/io/file_reader.hpp>
#include <mat/io/utf8.hpp>

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mat {
inline namespace MAT_ABI {

/// A text and the name of its class.
struct LabelledText {
  std::string label, text;

  friend bool operator==(const LabelledText& a, const LabelledText& b) {
    return a.label == b.label && a.text == b.text;
  }
};

/// Reads examples for a text classifier from a UTF-8 file, one example a line, line by line.
///
///     label<TAB>text                the label is what stands before the first tab, spaces included
///     __label__label text           fastText: the label ends at the first space or tab
///
/// Which of the two a file is, its first example says; a file that mixes them is refused. Lines end with LF or CR LF, a
/// byte order mark is passed over, empty lines are skipped, and a text may be empty. Memory is taken for one line, of
/// at most `longest_line` bytes.
///
/// Errors: FileError, `LabelledText: train.tsv: line 3 has no tab, expected label<TAB>text`; lines and bytes count from
///         1. At the end of a file without an example, too.
class LabelledTextReader {
 public:
  enum class Format { kTabs, kFastText };
  static constexpr std::size_t kLongestLine = 1 << 20;

  explicit LabelledTextReader(const std::string& path, std::size_t longest_line = kLongestLine)
      : file_(path), left_(file_.size()), longest_line_(longest_line) {}

  /// The next example, or false at the end of the file.
  [[nodiscard]] bool next(LabelledText& example) {
    std::string_view line;
    while (next_line(line)) {
      if (line.empty()) continue;
      if (first_line_ == 0) {
        first_line_ = line_;
        format_ = is_fast_text(line) ? Format::kFastText : Format::kTabs;
      }
      if (is_fast_text(line) != (format_ == Format::kFastText)) fail_mixed();
      if (format_ == Format::kFastText)
        read_fast_text(line, example);
      else
        read_tabs(line, example);
      return true;
    }
    if (first_line_ == 0)
      throw FileError("LabelledText: " + file_.path() + ": there is no example, expected at least 1");
    return false;
  }

  /// The line, from 1, that the last example stands on.
  [[nodiscard]] Index line() const { return line_; }
  /// Of the examples so far.
  [[nodiscard]] Format format() const { return format_; }

  /// Throws a FileError about the last line, in the form of the reader's own: "... line 3 has the label 'x'".
  [[noreturn]] void fail(const std::string& what) const {
    throw FileError("LabelledText: " + file_.path() + ": line " + std::to_string(line_) + " " + what);
  }

 private:
  static constexpr std::string_view kFastTextPrefix = "__label__", kByteOrderMark = "\xEF\xBB\xBF";
  static constexpr std::uint64_t kChunk = 1 << 16;

  [[nodiscard]] static bool is_fast_text(std::string_view line) {
    return line.substr(0, kFastTextPrefix.size()) == kFastTextPrefix;
  }

  /// The next line without its end; it lives until the next call.
  [[nodiscard]] bool next_line(std::string_view& line) {
    std::size_t end = buffer_.find('\n', next_);
    while (end == std::string::npos && left_ > 0 && buffer_.size() - next_ <= longest_line_) {
      buffer_.erase(0, std::exchange(next_, 0));
      const std::size_t searched = buffer_.size();
      const std::uint64_t count = std::min(left_, kChunk);
      buffer_ += file_.read(count);
      left_ -= count;
      end = buffer_.find('\n', searched);
    }
    if (next_ == buffer_.size()) return false;
    ++line_;
    line = std::string_view(buffer_).substr(next_, end == std::string::npos ? end : end - next_);
    next_ = end == std::string::npos ? buffer_.size() : end + 1;
    if (line.size() > longest_line_) fail("has more than " + std::to_string(longest_line_) + " bytes");
    check_utf8(line);
    if (line_ == 1 && line.substr(0, kByteOrderMark.size()) == kByteOrderMark)
      line.remove_prefix(kByteOrderMark.size());
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    return true;
  }
  void check_utf8(std::string_view line) const {
    for (std::size_t i = 0, length = 0; i < line.size(); i += length) {
      length = utf8_length(line, i);
      if (length == 0) fail("is not UTF-8 at byte " + std::to_string(i + 1));
    }
  }

  void read_tabs(std::string_view line, LabelledText& example) const {
    const std::size_t tab = line.find('\t');
    if (tab == std::string_view::npos) fail("has no tab, expected label<TAB>text");
    if (tab == 0) fail("has an empty label, expected label<TAB>text");
    example.label = line.substr(0, tab);
    example.text = line.substr(tab + 1);
  }
  void read_fast_text(std::string_view line, LabelledText& example) const {
    line.remove_prefix(kFastTextPrefix.size());
    const std::size_t end = std::min(line.find_first_of(" \t"), line.size());
    if (end == 0) fail("has an empty label, expected __label__LABEL text");
    example.label = line.substr(0, end);
    line.remove_prefix(std::min(line.find_first_not_of(" \t", end), line.size()));
    if (is_fast_text(line)) fail("has more than one label, expected one");
    example.text = line;
  }
  [[noreturn]] void fail_mixed() const {
    const std::string first = std::to_string(first_line_);
    if (format_ == Format::kTabs) fail("begins with __label__, expected label<TAB>text as on line " + first);
    fail("does not begin with __label__, expected __label__LABEL text as on line " + first);
  }

  FileReader file_;
  std::uint64_t left_ = 0;  // bytes of the file that are not in the buffer yet
  std::size_t longest_line_;
  std::string buffer_;
  std::size_t next_ = 0;  // where in the buffer the next line begins
  Index line_ = 0;
  Index first_line_ = 0;  // with an example; 0 before it
  Format format_ = Format::kTabs;
};

/// All examples of a file whose labels are all among `labels`.
/// Errors: as the reader's, `... line 3 has the label 'x', expected one of 'a', 'b'`.
[[nodiscard]] inline std::vector<LabelledText> read_labelled_text(
    const std::string& path, const std::vector<std::string>& labels,
    std::size_t longest_line = LabelledTextReader::kLongestLine) {
  LabelledTextReader reader(path, longest_line);
  std::vector<LabelledText> examples;
  for (LabelledText example; reader.next(example);) {
    if (std::find(labels.begin(), labels.end(), example.label) == labels.end()) {
      std::string known;
      for (const std::string& label : labels) known += (known.empty() ? "" : ", ") + detail::in_quotes(label);
      reader.fail("has the label " + detail::in_quotes(example.label) + ", expected one of " + known);
    }
    examples.push_back(example);
  }
  return examples;
}

/// All examples of a file.
[[nodiscard]] inline std::vector<LabelledText> read_labelled_text(
    const std::string& path, std::size_t longest_line = LabelledTextReader::kLongestLine) {
  LabelledTextReader reader(path, longest_line);
  std::vector<LabelledText> examples;
  for (LabelledText example; reader.next(example);) examples.push_back(example);
  return examples;
}

}  // namespace MAT_ABI
}  // namespace mat
