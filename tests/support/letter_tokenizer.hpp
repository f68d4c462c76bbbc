#pragma once

#include <mat/core/types.hpp>

#include <string>
#include <vector>

namespace mat::test {

/// Each printable character of ASCII is a token; white space is none.
struct LetterTokenizer {
  [[nodiscard]] Index size() const { return 3 + 95; }
  [[nodiscard]] Index unknown() const { return 0; }
  [[nodiscard]] Index begin() const { return 1; }
  [[nodiscard]] Index end() const { return 2; }
  [[nodiscard]] std::vector<Index> encode(const std::string& text) const {
    std::vector<Index> ids;
    for (const char c : text) {
      if (c > ' ' && c <= '~') ids.push_back(c - ' ' + 3);
    }
    return ids;
  }
  [[nodiscard]] std::string decode(const std::vector<Index>& ids) const {
    std::string text;
    for (const Index id : ids) text += static_cast<char>(id - 3 + ' ');
    return text;
  }
};

}  // namespace mat::test
