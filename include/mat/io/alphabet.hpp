#pragma once

#include <mat/core/types.hpp>
#include <mat/io/utf8.hpp>

#include <algorithm>
#include <map>
#include <vector>

namespace mat {
inline namespace MAT_ABI {

/// The characters of a text as ids: the model's view of a text, character by character.
///
/// A character is a UTF-8 sequence; a byte that begins none is a character too, so any bytes can be read. Id 0 stands
/// for all characters that the alphabet does not have, and is written as U+FFFD.
class Alphabet {
 public:
  Alphabet() = default;
  /// Of these characters, whose ids are 1, 2, ... in this order.
  explicit Alphabet(std::vector<std::string> characters) : characters_(std::move(characters)) {
    for (std::size_t i = 0; i < characters_.size(); ++i) ids_.emplace(characters_[i], static_cast<Index>(i) + 1);
  }
  /// Of the characters that a text has, in the order of their bytes.
  [[nodiscard]] static Alphabet of(std::string_view text) {
    std::map<std::string, Index, std::less<>> found;
    for_each_character(text, [&](std::string_view c) {
      if (found.find(c) == found.end()) found.emplace(c, 0);
    });
    std::vector<std::string> characters;
    for (const auto& [character, unused] : found) characters.push_back(character);
    return Alphabet(std::move(characters));
  }

  /// The number of ids.
  [[nodiscard]] Index size() const { return static_cast<Index>(characters_.size()) + 1; }
  /// The characters of the ids 1, 2, ...
  [[nodiscard]] const std::vector<std::string>& characters() const { return characters_; }

  /// Appends the ids of a text.
  void encode(std::string_view text, std::vector<Index>& ids) const {
    for_each_character(text, [&](std::string_view c) {
      const auto found = ids_.find(c);
      ids.push_back(found == ids_.end() ? 0 : found->second);
    });
  }
  [[nodiscard]] std::vector<Index> encode(std::string_view text) const {
    std::vector<Index> ids;
    encode(text, ids);
    return ids;
  }
  /// The character of an id; that of 0 for an id beyond the alphabet.
  [[nodiscard]] std::string_view decode(Index id) const {
    return id >= 1 && id < size() ? std::string_view(characters_[static_cast<std::size_t>(id) - 1]) : "\xEF\xBF\xBD";
  }

 private:
  template <class Function>
  static void for_each_character(std::string_view text, const Function& fn) {
    for (std::size_t i = 0; i < text.size();) {
      const std::size_t length = std::max<std::size_t>(1, utf8_length(text, i));
      fn(text.substr(i, length));
      i += length;
    }
  }

  std::vector<std::string> characters_;
  std::map<std::string, Index, std::less<>> ids_;
};

}  // namespace MAT_ABI
}  // namespace mat
