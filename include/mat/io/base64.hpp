#pragma once

#include <mat/core/error.hpp>

#include <cstdint>
#include <string>
#include <string_view>

namespace mat {
inline namespace MAT_ABI {

/// Bytes as text, four characters for three bytes: how they travel in JSON.
/// Source: RFC 4648, section 4, with padding.
[[nodiscard]] inline std::string to_base64(std::string_view bytes) {
  constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    std::uint32_t group = 0;
    for (std::size_t j = i; j < i + 3; ++j) {
      group = group << 8 | (j < bytes.size() ? static_cast<unsigned char>(bytes[j]) : 0u);
    }
    for (std::size_t j = 0; j < 4; ++j) {
      text += i + j <= bytes.size() ? kAlphabet[group >> (18 - 6 * j) & 0x3Fu] : '=';
    }
  }
  return text;
}

/// The bytes that to_base64 made the text of.
/// Errors: FileError for any other text, naming the character.
[[nodiscard]] inline std::string from_base64(std::string_view text) {
  if (text.size() % 4 != 0) {
    throw FileError("from_base64: the text has " + std::to_string(text.size()) +
                    " characters, expected a multiple of 4");
  }
  const std::size_t padding =
      text.empty() ? 0 : (text[text.size() - 1] == '=' ? 1 : 0) + (text[text.size() - 2] == '=' ? 1 : 0);
  std::string bytes;
  bytes.reserve(text.size() / 4 * 3);
  std::uint32_t group = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    std::uint32_t value = 64;
    if (c >= 'A' && c <= 'Z') value = static_cast<std::uint32_t>(c - 'A');
    if (c >= 'a' && c <= 'z') value = static_cast<std::uint32_t>(c - 'a') + 26;
    if (c >= '0' && c <= '9') value = static_cast<std::uint32_t>(c - '0') + 52;
    if (c == '+') value = 62;
    if (c == '/') value = 63;
    if (i >= text.size() - padding) value = 0;
    if (value == 64) throw FileError("from_base64: character " + std::to_string(i) + " is none of base64");
    group = group << 6 | value;
    if (i % 4 != 3) continue;
    for (int shift = 16; shift >= 0; shift -= 8) bytes += static_cast<char>(static_cast<unsigned char>(group >> shift));
    group = 0;
  }
  bytes.resize(bytes.size() - padding);
  return bytes;
}

}  // namespace MAT_ABI
}  // namespace mat
