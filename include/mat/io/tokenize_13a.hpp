#pragma once

#include <mat/io/utf8.hpp>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mat {
inline namespace MAT_ABI {

namespace detail {

/// The bytes of the white space that begins at `position`, 0 if there is none there: what Python's str.split splits at.
[[nodiscard]] inline std::size_t white_space_length(std::string_view text, std::size_t position) {
  const auto byte = [&](std::size_t i) -> unsigned {
    return position + i < text.size() ? static_cast<unsigned char>(text[position + i]) : 0u;
  };
  const unsigned a = byte(0), b = byte(1), c = byte(2);
  if (a < 0x80) return a == ' ' || (a >= 0x09 && a <= 0x0D) || (a >= 0x1C && a <= 0x1F) ? 1 : 0;
  if (a == 0xC2) return b == 0x85 || b == 0xA0 ? 2 : 0;  // U+0085, U+00A0
  if (a == 0xE1) return b == 0x9A && c == 0x80 ? 3 : 0;  // U+1680
  if (a == 0xE3) return b == 0x80 && c == 0x80 ? 3 : 0;  // U+3000
  if (a != 0xE2) return 0;
  if (b == 0x80) return (c >= 0x80 && c <= 0x8A) || c == 0xA8 || c == 0xA9 || c == 0xAF ? 3 : 0;  // U+2000 ... U+202F
  return b == 0x81 && c == 0x9F ? 3 : 0;                                                          // U+205F
}

/// Replaces every `from`, left to right.
inline void replace_all(std::string& text, std::string_view from, std::string_view to) {
  for (std::size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
}

}  // namespace detail

/// The parts of a text between white space of any kind.
[[nodiscard]] inline std::vector<std::string> split_at_white_space(std::string_view text) {
  std::vector<std::string> parts;
  std::size_t begin = 0;
  const auto end_part = [&](std::size_t end) {
    if (end > begin) parts.emplace_back(text.substr(begin, end - begin));
  };
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t space = detail::white_space_length(text, i);
    if (space > 0) {
      end_part(i);
      begin = i + space;
    }
    i += space > 0 ? space : 1;
  }
  end_part(text.size());
  return parts;
}

/// The tokens of a text that BLEU scores are compared by: punctuation of ASCII stands alone, but for apostrophes,
/// hyphens, and points and commas within a number; &quot; &amp; &lt; and &gt; are what they stand for.
///
/// Source: NIST's mteval-v13a.pl as sacrebleu's tokenizer "13a" has it, to which the result is equal.
[[nodiscard]] inline std::vector<std::string> tokenize_13a(std::string_view text) {
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  const auto is_point = [](char c) { return c == '.' || c == ','; };
  const auto between = [](char c, char low, char high) { return c >= low && c <= high; };
  const auto is_mark = [&](char c) {
    return between(c, ' ', '&') || between(c, '(', '+') || c == '/' || between(c, ':', '@') || between(c, '[', '`') ||
           between(c, '{', '~');
  };
  // A line without its end: white space there would keep the hyphen of "-\n".
  std::size_t end = 0;
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t space = detail::white_space_length(text, i);
    i += space > 0 ? space : 1;
    if (space == 0) end = i;
  }
  std::string line(text.substr(0, end));
  for (const auto& [from, to] : {std::pair<const char*, const char*>{"<skipped>", ""},
                                 {"-\n", ""},
                                 {"\n", " "},
                                 {"&quot;", "\""},
                                 {"&amp;", "&"},
                                 {"&lt;", "<"},
                                 {"&gt;", ">"}}) {
    detail::replace_all(line, from, to);
  }

  // Each pass works on what the one before it left; a pair that fits is passed over as a whole.
  const auto pass = [](const std::string& from, const auto& fits, const char* before, const char* after) {
    std::string to;
    for (std::size_t i = 0; i < from.size(); ++i) {
      if (i + 1 < from.size() && fits(from[i], from[i + 1])) {
        to += before;
        (to += from[i]) += ' ';
        (to += from[++i]) += after;
      } else {
        to += from[i];
      }
    }
    return to;
  };
  std::string result = " ";
  for (const char c : line) result += is_mark(c) ? std::string{' ', c, ' '} : std::string{c};
  result += ' ';
  result = pass(
      result, [&](char a, char b) { return !is_digit(a) && is_point(b); }, "", " ");
  result = pass(
      result, [&](char a, char b) { return is_point(a) && !is_digit(b); }, " ", "");
  result = pass(
      result, [&](char a, char b) { return is_digit(a) && b == '-'; }, "", " ");
  return split_at_white_space(result);
}

}  // namespace MAT_ABI
}  // namespace mat
