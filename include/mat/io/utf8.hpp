#pragma once

#include <mat/version.hpp>

#include <array>
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>

namespace mat {
inline namespace MAT_ABI {

/// The number of bytes (1 to 4) of the UTF-8 sequence that begins at `position`, or 0 if there is no valid one:
/// overlong forms, surrogates, numbers above U+10FFFF, stray and missing continuation bytes are not valid.
/// Source: RFC 3629, section 4.
[[nodiscard]] inline std::size_t utf8_length(std::string_view text, std::size_t position) {
  const auto byte = [&](std::size_t i) -> unsigned {
    return position + i < text.size() ? static_cast<unsigned char>(text[position + i]) : 0u;
  };
  const auto between = [&](std::size_t i, unsigned low, unsigned high) { return byte(i) >= low && byte(i) <= high; };
  const auto continues = [&](std::size_t i) { return between(i, 0x80, 0xBF); };
  if (position >= text.size()) return 0;
  const unsigned lead = byte(0);
  if (lead < 0x80) return 1;
  if (lead < 0xC2 || lead > 0xF4) return 0;
  if (lead < 0xE0) return continues(1) ? 2 : 0;
  if (lead < 0xF0) {
    const unsigned low = lead == 0xE0 ? 0xA0 : 0x80, high = lead == 0xED ? 0x9F : 0xBF;
    return between(1, low, high) && continues(2) ? 3 : 0;
  }
  const unsigned low = lead == 0xF0 ? 0x90 : 0x80, high = lead == 0xF4 ? 0x8F : 0xBF;
  return between(1, low, high) && continues(2) && continues(3) ? 4 : 0;
}

/// Appends the code point as UTF-8. It must be below 0x110000 and no surrogate.
inline void append_utf8(std::string& text, std::uint32_t code_point) {
  const auto append = [&](std::uint32_t byte) { text += static_cast<char>(static_cast<unsigned char>(byte)); };
  const auto append_low_bits = [&](int shift) { append(0x80u | ((code_point >> shift) & 0x3Fu)); };
  if (code_point < 0x80) {
    append(code_point);
  } else if (code_point < 0x800) {
    append(0xC0u | (code_point >> 6));
    append_low_bits(0);
  } else if (code_point < 0x10000) {
    append(0xE0u | (code_point >> 12));
    append_low_bits(6);
    append_low_bits(0);
  } else {
    append(0xF0u | (code_point >> 18));
    append_low_bits(12);
    append_low_bits(6);
    append_low_bits(0);
  }
}

namespace detail {

/// The code point of `length` bytes of valid UTF-8 (see utf8_length).
[[nodiscard]] inline std::uint32_t utf8_code_point(std::string_view text, std::size_t position, std::size_t length) {
  const auto byte = [&](std::size_t i) { return std::uint32_t{static_cast<unsigned char>(text[position + i])}; };
  std::uint32_t code_point = length == 1 ? byte(0) : byte(0) & (0x7Fu >> length);
  for (std::size_t i = 1; i < length; ++i) code_point = code_point << 6 | (byte(i) & 0x3Fu);
  return code_point;
}

/// A name from a file as a message may show it: in quotes, control characters as "\x1B", cut after about 100 bytes.
[[nodiscard]] inline std::string in_quotes(std::string_view name) {
  constexpr std::size_t kLongest = 100;
  std::string text = "'";
  for (std::size_t i = 0; i < name.size(); ++i) {
    const auto byte = static_cast<unsigned char>(name[i]);
    if (i >= kLongest && (byte & 0xC0) != 0x80) return text + "...'";
    if (byte < 0x20 || byte == 0x7F) {
      std::array<char, 8> escape{};
      std::snprintf(escape.data(), escape.size(), "\\x%02X", static_cast<unsigned>(byte));
      text += escape.data();
    } else {
      text += name[i];
    }
  }
  return text + "'";
}

}  // namespace detail

}  // namespace MAT_ABI
}  // namespace mat
