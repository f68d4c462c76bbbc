#pragma once

#include <mat/core/error.hpp>
#include <mat/io/utf8.hpp>

#include <charconv>
#include <limits>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace mat {
inline namespace MAT_ABI {

/// A number of a JSON text. Without fraction and exponent it is an int64, else a uint64, if one of them can hold it.
using JsonNumber = std::variant<std::int64_t, std::uint64_t, double>;

/// Reads a JSON text value by value, in the order of the text, and holds none of it.
///
/// The caller says what comes next: read_object calls member(key) for each member and read_array calls element() for
/// each element, and these read exactly one value with the same reader. After the last value comes `read_end`.
///
/// Strict: RFC 8259 with valid UTF-8 and whole surrogate pairs; no byte order mark, comment, trailing comma, leading
/// zero, NaN, infinity, number outside of double, repeated key, nor more than kMaxDepth open brackets.
///
/// Source:  RFC 8259, "The JavaScript Object Notation (JSON) Data Interchange Format".
/// Errors:  FileError, `PLACE byte 12 is 'x', expected ',' or ']'`, where bytes count from 0.
class JsonReader {
 public:
  enum class Kind { kNull, kBoolean, kNumber, kString, kArray, kObject };
  static constexpr int kMaxDepth = 64;

  /// `text` must outlive the reader; every message begins with `place`.
  JsonReader(std::string_view text, std::string place) : text_(text), place_(std::move(place)) {}

  /// What the next value is, judged by its first byte.
  [[nodiscard]] Kind kind() {
    switch (skip_space()) {
      case '{':
        return Kind::kObject;
      case '[':
        return Kind::kArray;
      case '"':
        return Kind::kString;
      case 't':
      case 'f':
        return Kind::kBoolean;
      case 'n':
        return Kind::kNull;
      case '-':
        return Kind::kNumber;
      default:
        break;
    }
    if (!is_digit(at_)) fail(at_, "a value");
    return Kind::kNumber;
  }

  void read_null() {
    skip_space();
    read_word("null");
  }

  [[nodiscard]] bool read_boolean() {
    const bool value = skip_space() == 't';
    read_word(value ? "true" : "false");
    return value;
  }

  [[nodiscard]] JsonNumber read_number() {
    skip_space();
    const std::size_t begin = at_;
    const bool negative = take('-');
    if (!take('0')) read_digits();
    bool integer = true;
    if (take('.')) {
      integer = false;
      read_digits();
    }
    if (take('e') || take('E')) {
      integer = false;
      if (!take('+')) take('-');
      read_digits();
    }
    const std::string_view digits = text_.substr(begin, at_ - begin);
    std::int64_t as_signed = 0;
    std::uint64_t as_unsigned = 0;
    double as_double = 0;
    // "-0" is no integer: only a double keeps its sign.
    if (integer && digits != "-0" && convert(digits, as_signed)) return as_signed;
    if (integer && !negative && convert(digits, as_unsigned)) return as_unsigned;
    if (!convert(digits, as_double)) fail(begin, "a number in the range of double", "a number out of range");
    return as_double;
  }

  /// A whole number from 0 to 2^63 - 1, written without fraction and exponent.
  [[nodiscard]] Index read_index() {
    skip_space();
    const std::size_t begin = at_;
    const JsonNumber number = read_number();
    const std::int64_t* value = std::get_if<std::int64_t>(&number);
    if (value == nullptr || *value < 0) {
      fail(begin, "a whole number from 0 to 9223372036854775807", detail::in_quotes(text_.substr(begin, at_ - begin)));
    }
    return static_cast<Index>(*value);
  }

  [[nodiscard]] std::string read_string() {
    skip_space();
    expect('"', "a string");
    std::string value;
    while (!take('"')) {
      const auto byte = static_cast<unsigned char>(peek());
      if (byte == '\\') {
        read_escape(value);
        continue;
      }
      if (at_ >= text_.size()) fail(at_, "'\"'");
      if (byte < 0x20) fail(at_, "no control character in a string");
      const std::size_t length = utf8_length(text_, at_);
      if (length == 0) fail(at_, "valid UTF-8");
      value.append(text_, at_, length);
      at_ += length;
    }
    return value;
  }

  template <class Element>
  void read_array(Element&& element) {
    open('[', "an array");
    if (skip_space() != ']') {
      do element();
      while (comma());
    }
    close(']', "',' or ']'");
  }

  template <class Member>
  void read_object(Member&& member) {
    open('{', "an object");
    std::set<std::string, std::less<>> keys;
    if (skip_space() != '}') {
      do {
        skip_space();
        const std::size_t begin = at_;
        const auto [key, is_new] = keys.insert(read_string());
        if (!is_new) fail(begin, "each key once", "the key " + detail::in_quotes(*key) + " again");
        skip_space();
        expect(':', "':'");
        member(*key);
      } while (comma());
    }
    close('}', "',' or '}'");
  }

  /// Nothing but white space may be left.
  void read_end() {
    skip_space();
    if (at_ < text_.size()) fail(at_, "the end");
  }

  /// Throws the FileError that says what stands at byte `position`, and what should.
  [[noreturn]] void fail(std::size_t position, std::string_view expected) const {
    fail(position, expected, describe(position));
  }

 private:
  [[noreturn]] void fail(std::size_t position, std::string_view expected, const std::string& actual) const {
    throw FileError(place_ + "byte " + std::to_string(position) + " is " + actual + ", expected " +
                    std::string(expected));
  }

  [[nodiscard]] std::string describe(std::size_t position) const {
    if (position >= text_.size()) return "the end";
    const auto byte = static_cast<unsigned char>(text_[position]);
    if (byte >= 0x20 && byte < 0x7F) return std::string("'") + text_[position] + "'";
    std::array<char, 8> hex{};
    std::snprintf(hex.data(), hex.size(), "0x%02X", static_cast<unsigned>(byte));
    return hex.data();
  }

  /// The byte to be read next, or 0 at the end.
  [[nodiscard]] char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  [[nodiscard]] bool is_digit(std::size_t i) const { return i < text_.size() && text_[i] >= '0' && text_[i] <= '9'; }

  char skip_space() {
    while (peek() == ' ' || peek() == '\t' || peek() == '\n' || peek() == '\r') ++at_;
    return peek();
  }
  bool take(char c) {
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  void expect(char c, std::string_view expected) {
    if (!take(c)) fail(at_, expected);
  }
  bool comma() {
    skip_space();
    return take(',');
  }

  void open(char bracket, std::string_view expected) {
    skip_space();
    expect(bracket, expected);
    if (++depth_ > kMaxDepth) {
      fail(at_ - 1, "at most " + std::to_string(kMaxDepth), "open bracket " + std::to_string(depth_));
    }
  }
  void close(char bracket, std::string_view expected) {
    skip_space();
    expect(bracket, expected);
    --depth_;
  }

  void read_word(std::string_view word) {
    for (const char c : word) expect(c, detail::in_quotes(word));
  }
  void read_digits() {
    if (!is_digit(at_)) fail(at_, "a digit");
    while (is_digit(at_)) ++at_;
  }

  template <class Number>
  [[nodiscard]] static bool convert(std::string_view digits, Number& value) {
    const std::from_chars_result result = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    return result.ec == std::errc() && result.ptr == digits.data() + digits.size();
  }

  void read_escape(std::string& value) {
    const std::size_t begin = at_++;
    switch (peek()) {
      case '"':
        value += '"';
        break;
      case '\\':
        value += '\\';
        break;
      case '/':
        value += '/';
        break;
      case 'b':
        value += '\b';
        break;
      case 'f':
        value += '\f';
        break;
      case 'n':
        value += '\n';
        break;
      case 'r':
        value += '\r';
        break;
      case 't':
        value += '\t';
        break;
      case 'u':
        append_utf8(value, read_code_point(begin));
        return;
      default:
        fail(at_, "one of \"\\/bfnrtu after a backslash");
    }
    ++at_;
  }

  /// What follows a backslash: "u0041", or "ud83d\ude00", a surrogate pair.
  [[nodiscard]] std::uint32_t read_code_point(std::size_t begin) {
    const std::uint32_t high = read_unit();
    if (high < 0xD800 || high > 0xDFFF) return high;
    if (high <= 0xDBFF && take('\\')) {
      const std::uint32_t low = read_unit();
      if (low >= 0xDC00 && low <= 0xDFFF) return 0x10000u + ((high - 0xD800u) << 10) + (low - 0xDC00u);
    }
    fail(begin, "a surrogate pair", "a lone surrogate");
  }
  [[nodiscard]] std::uint32_t read_unit() {
    expect('u', "'u' of the second half of a surrogate pair");
    std::uint32_t unit = 0;
    for (int i = 0; i < 4; ++i, ++at_) {
      const char c = peek();
      std::uint32_t digit = 0;
      if (c >= '0' && c <= '9')
        digit = static_cast<std::uint32_t>(c - '0');
      else if (c >= 'a' && c <= 'f')
        digit = static_cast<std::uint32_t>(c - 'a') + 10;
      else if (c >= 'A' && c <= 'F')
        digit = static_cast<std::uint32_t>(c - 'A') + 10;
      else
        fail(at_, "a hexadecimal digit");
      unit = unit * 16 + digit;
    }
    return unit;
  }

  std::string_view text_;
  std::string place_;
  std::size_t at_ = 0;  // the byte to be read next
  int depth_ = 0;       // open brackets
};

}  // namespace MAT_ABI
}  // namespace mat
