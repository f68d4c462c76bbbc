#pragma once

#include <mat/core/error.hpp>
#include <mat/io/utf8.hpp>

#include <array>
#include <charconv>
#include <cmath>
#include <string>
#include <string_view>

namespace mat {
inline namespace MAT_ABI {

/// Appends `text` to a JSON text as a string, with its quotes. The same text always gives the same bytes: only quotes,
/// backslashes and control characters are escaped.
/// Errors: ValueError if `text` is not UTF-8, for no reader would accept it.
inline void append_json_string(std::string& json, std::string_view text) {
  json += '"';
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t length = utf8_length(text, i);
    if (length == 0) {
      throw ValueError("append_json_string: byte " + std::to_string(i) + " of a string of " +
                       std::to_string(text.size()) + " bytes is not valid, expected UTF-8");
    }
    const auto byte = static_cast<unsigned char>(text[i]);
    const std::size_t short_escape = std::string_view("\"\\\b\f\n\r\t").find(text[i]);
    if (short_escape != std::string_view::npos) {
      json += '\\';
      json += "\"\\bfnrt"[short_escape];
    } else if (byte < 0x20) {
      std::array<char, 8> escape{};
      std::snprintf(escape.data(), escape.size(), "\\u%04x", static_cast<unsigned>(byte));
      json += escape.data();
    } else {
      json.append(text, i, length);
    }
    i += length;
  }
  json += '"';
}

/// Appends the shortest decimal that reads back as the same double, always with a point or an exponent.
/// Errors: ValueError for NaN and infinity, which JSON does not have.
inline void append_json_number(std::string& json, double number) {
  if (!std::isfinite(number)) {
    throw ValueError("append_json_number: the number is " + detail::number_to_string(number) +
                     ", expected a finite one");
  }
  std::array<char, 32> digits{};
  const std::to_chars_result result = std::to_chars(digits.data(), digits.data() + digits.size(), number);
  const std::string_view text(digits.data(), static_cast<std::size_t>(result.ptr - digits.data()));
  json += text;
  if (text.find_first_of(".e") == std::string_view::npos) json += ".0";
}

}  // namespace MAT_ABI
}  // namespace mat
