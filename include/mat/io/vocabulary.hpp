#pragma once

#include <mat/io/utf8.hpp>
#include <mat/models/token_batch.hpp>

#include <algorithm>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace mat {
inline namespace MAT_ABI {

/// How a text becomes words and features.
struct VocabularyConfig {
  Index min_count = 2;      ///< Words that occur less often in the texts of `fit` are unknown.
  Index max_words = 50000;  ///< At most so many words, beside the unknown one: the most frequent.
  bool lowercase = false;   ///< Latin, Greek and Cyrillic letters; it costs accuracy where capitals tell names.
  bool digits = false;      ///< Keeps digits apart; else each of them is read as 0, "1984" as "0000".
  Index word_ngrams = 3;    ///< Features: runs of 2 to so many words that end at the token; 1: none.
  Index min_chars = 3;      ///< Features: parts of the word of min_chars to max_chars characters, its ends marked.
  Index max_chars = 5;      ///< 0: no such parts.
  Index buckets = 20000;    ///< Features are hashed to so many ids; 0: no features.
};

namespace detail {

/// Where the hash of nothing begins.
inline constexpr std::uint64_t kFnvStart = 0xCBF29CE484222325u;

/// FNV-1a of `bytes` after those that gave `hash`: the same number on every machine.
/// Source: Fowler, Noll & Vo; RFC 9923, the 64-bit FNV-1a.
[[nodiscard]] inline std::uint64_t fnv1a(std::string_view bytes, std::uint64_t hash = kFnvStart) {
  for (const char byte : bytes) hash = (hash ^ static_cast<unsigned char>(byte)) * 0x100000001B3u;
  return hash;
}

/// The small letter of a capital one: ASCII, Latin-1, Latin Extended-A, Greek and Cyrillic.
[[nodiscard]] inline std::uint32_t lowercase_of(std::uint32_t c) {
  const auto between = [c](std::uint32_t low, std::uint32_t high) { return c >= low && c <= high; };
  if (between('A', 'Z') || (between(0xC0, 0xDE) && c != 0xD7)) return c + 32;
  if (between(0x391, 0x3A9) && c != 0x3A2) return c + 32;
  if (between(0x410, 0x42F)) return c + 32;
  if (between(0x400, 0x40F)) return c + 80;
  const bool even_is_capital = (between(0x100, 0x137) && c != 0x130) || between(0x14A, 0x177);
  const bool odd_is_capital = between(0x139, 0x148) || between(0x179, 0x17E);
  if ((even_is_capital && c % 2 == 0) || (odd_is_capital && c % 2 == 1)) return c + 1;
  return c == 0x178 ? 0xFF : c;
}

enum class CharacterKind { space, word, punctuation };

/// What a code point is in the middle of a text. Beyond ASCII everything is a letter that is no known punctuation.
[[nodiscard]] inline CharacterKind kind_of(std::uint32_t c) {
  const auto between = [c](std::uint32_t low, std::uint32_t high) { return c >= low && c <= high; };
  if (c <= 0x20 || between(0x7F, 0xA0) || between(0x2000, 0x200B) || between(0x2028, 0x202F) || c == 0x3000) {
    return CharacterKind::space;
  }
  if (between('0', '9') || between('A', 'Z') || between('a', 'z')) return CharacterKind::word;
  if (c == 0xAA || c == 0xB5 || c == 0xBA) return CharacterKind::word;
  if (c < 0xC0 || c == 0xD7 || c == 0xF7 || between(0x2010, 0x206F) || between(0x20A0, 0x20CF)) {
    return CharacterKind::punctuation;
  }
  if (between(0x3001, 0x303F) || between(0xFF01, 0xFF0F) || c == 0xFFFD) return CharacterKind::punctuation;
  return CharacterKind::word;
}

}  // namespace detail

/// The words of a text: runs of letters and digits, and runs of one punctuation mark ("...").
///
/// An apostrophe before a letter belongs to the word, as in "don't" and "'s". Bytes that are no UTF-8 are read as
/// U+FFFD, so every word is UTF-8.
[[nodiscard]] inline std::vector<std::string> split_words(std::string_view text, const VocabularyConfig& config) {
  using detail::CharacterKind;
  constexpr std::uint32_t kReplacement = 0xFFFD;
  std::vector<std::string> words;
  CharacterKind before = CharacterKind::space;
  std::uint32_t mark_before = 0;
  for (std::size_t i = 0, length = 0; i < text.size(); i += std::max<std::size_t>(length, 1)) {
    length = utf8_length(text, i);
    std::uint32_t c = length == 0 ? kReplacement : detail::utf8_code_point(text, i, length);
    CharacterKind kind = detail::kind_of(c);
    const std::size_t next = i + length, next_length = utf8_length(text, next);
    if (c == '\'' && next_length > 0 &&
        detail::kind_of(detail::utf8_code_point(text, next, next_length)) == CharacterKind::word) {
      kind = CharacterKind::word;
    }
    const bool continues = kind == before && (kind == CharacterKind::word || c == mark_before);
    before = kind;
    mark_before = c;
    if (kind == CharacterKind::space) continue;
    if (!continues) words.emplace_back();
    if (config.lowercase) c = detail::lowercase_of(c);
    if (!config.digits && c >= '0' && c <= '9') c = '0';
    append_utf8(words.back(), c);
  }
  return words;
}

/// Turns texts into word ids and hashed features. It is pure data: its settings and its words in the order of their ids
/// make it again.
///
/// Word 0 is the unknown word. A feature's id is the 64-bit FNV-1a of its bytes modulo the buckets, so features that
/// were never seen need no list, and some share an id.
///
/// Source:  Bojanowski et al. (2017), "Enriching word vectors with subword information", section 3.2; Weinberger et al.
///          (2009), "Feature hashing for large scale multitask learning", eq. 1.
/// Errors:  ValueError for a setting out of range, no words at all or a word that occurs twice.
/// Threads: all functions are const.
class Vocabulary {
 public:
  using Config = VocabularyConfig;
  static constexpr const char* kUnknownWord = "<unknown>";  // never the result of split_words

  /// As it was saved: words()[i] has id i, the first being the unknown word.
  Vocabulary(const Config& config, std::vector<std::string> words) : config_(config), words_(std::move(words)) {
    check(config);
    check_value(!words_.empty(), "Vocabulary: the number of words", size(), "at least 1, the unknown word");
    for (std::size_t i = 0; i < words_.size(); ++i) {
      if (ids_.emplace(words_[i], static_cast<Index>(i)).second) continue;
      throw ValueError("Vocabulary: word " + std::to_string(i) + " is " + detail::in_quotes(words_[i]) +
                       ", expected one that is not yet there");
    }
  }

  /// Learns the words of texts: the most frequent first, equal ones in the order of their bytes.
  [[nodiscard]] static Vocabulary fit(const std::vector<std::string>& texts, const Config& config = {}) {
    check(config);
    std::unordered_map<std::string, Index> counts;
    for (const std::string& text : texts) {
      for (std::string& word : split_words(text, config)) ++counts[std::move(word)];
    }
    std::vector<std::pair<std::string, Index>> order;
    for (const auto& entry : counts) {
      if (entry.second >= config.min_count) order.push_back(entry);
    }
    std::sort(order.begin(), order.end(), [](const auto& a, const auto& b) {
      return a.second != b.second ? b.second < a.second : a.first < b.first;
    });
    if (static_cast<Index>(order.size()) > config.max_words) order.resize(static_cast<std::size_t>(config.max_words));
    std::vector<std::string> words{kUnknownWord};
    for (auto& entry : order) words.push_back(std::move(entry.first));
    return Vocabulary(config, std::move(words));
  }

  [[nodiscard]] const Config& config() const { return config_; }
  [[nodiscard]] const std::vector<std::string>& words() const { return words_; }
  [[nodiscard]] Index size() const { return static_cast<Index>(words_.size()); }
  /// 0 for a word that is not there.
  [[nodiscard]] Index id(const std::string& word) const {
    const auto found = ids_.find(word);
    return found == ids_.end() ? 0 : found->second;
  }

  /// Appends one text to the batch.
  void encode(std::string_view text, TokenBatch& batch) const {
    encode_words(split_words(text, config_), 0, batch);
    batch.end_text();
  }
  /// Adds words[first], words[first + 1] ... to the text that is being written; those before stand before them in it.
  void encode_words(const std::vector<std::string>& words, std::size_t first, TokenBatch& batch) const {
    for (std::size_t i = first; i < words.size(); ++i) {
      if (config_.buckets > 0) {
        add_runs(words, i, batch);
        add_parts(words[i], batch);
      }
      batch.add_token(id(words[i]));
    }
  }

  friend bool operator==(const Vocabulary& a, const Vocabulary& b) {
    const Config &c = a.config_, &d = b.config_;
    return a.words_ == b.words_ && c.min_count == d.min_count && c.max_words == d.max_words &&
           c.lowercase == d.lowercase && c.digits == d.digits && c.word_ngrams == d.word_ngrams &&
           c.min_chars == d.min_chars && c.max_chars == d.max_chars && c.buckets == d.buckets;
  }
  friend bool operator!=(const Vocabulary& a, const Vocabulary& b) { return !(a == b); }

 private:
  static void check(const Config& c) {
    check_value(c.min_count >= 1, "Vocabulary: min_count", c.min_count, "at least 1");
    check_value(c.max_words >= 0, "Vocabulary: max_words", c.max_words, "at least 0");
    check_value(c.word_ngrams >= 1, "Vocabulary: word_ngrams", c.word_ngrams, "at least 1");
    check_value(c.min_chars >= 1, "Vocabulary: min_chars", c.min_chars, "at least 1");
    check_value(c.max_chars == 0 || c.max_chars >= c.min_chars, "Vocabulary: max_chars", c.max_chars,
                "0 or at least min_chars, " + std::to_string(c.min_chars));
    check_value(c.buckets >= 0, "Vocabulary: buckets", c.buckets, "at least 0");
  }

  void add_feature(std::uint64_t hash, TokenBatch& batch) const {
    batch.features.push_back(static_cast<Index>((hash ^ hash >> 32) % static_cast<std::uint64_t>(config_.buckets)));
  }
  /// The run of words that ends at word `i`, longer and longer; one run begins before the first word.
  void add_runs(const std::vector<std::string>& words, std::size_t i, TokenBatch& batch) const {
    std::uint64_t hash = detail::fnv1a(words[i], detail::fnv1a("words "));
    const auto longest = static_cast<std::size_t>(config_.word_ngrams);
    for (std::size_t back = 1; back < longest && back <= i + 1; ++back) {
      hash = detail::fnv1a(" ", hash);
      if (back <= i) hash = detail::fnv1a(words[i - back], hash);
      add_feature(hash, batch);
    }
  }
  void add_parts(const std::string& word, TokenBatch& batch) const {
    if (config_.max_chars == 0) return;
    const std::string marked = "<" + word + ">";
    const auto shortest = static_cast<std::size_t>(config_.min_chars);
    const auto longest = static_cast<std::size_t>(config_.max_chars);
    for (std::size_t begin = 0; begin < marked.size(); begin += utf8_length(marked, begin)) {
      std::uint64_t hash = detail::fnv1a("part ");
      std::size_t end = begin;
      for (std::size_t chars = 1; chars <= longest && end < marked.size(); ++chars) {
        const std::size_t length = utf8_length(marked, end);
        hash = detail::fnv1a(std::string_view(marked).substr(end, length), hash);
        end += length;
        if (chars >= shortest) add_feature(hash, batch);
      }
    }
  }

  Config config_;
  std::vector<std::string> words_;
  std::unordered_map<std::string, Index> ids_;
};

}  // namespace MAT_ABI
}  // namespace mat
