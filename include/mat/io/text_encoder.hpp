#pragma once

#include <mat/io/vocabulary.hpp>

namespace mat {
inline namespace MAT_ABI {

/// Turns a text that arrives in pieces into the tokens that Vocabulary::encode makes of the whole.
///
///     encoder.push(piece, tokens)     adds the tokens of all words but those that the next piece may go on with
///     encoder.end(tokens)             adds the rest and ends the text; the next push begins another one
///
/// What waits for the next piece begins after the last space, tab or other ASCII control character. It is at most
/// kLongestRun bytes: a longer run without any of them is cut there, and may become other words than in one piece.
///
/// Errors:  none; bytes that are no UTF-8 are read as Vocabulary reads them.
/// Threads: one encoder belongs to one thread at a time; the vocabulary is only read, and must outlive it.
class TextEncoder {
 public:
  static constexpr std::size_t kLongestRun = 1 << 16;

  explicit TextEncoder(const Vocabulary& vocabulary) : vocabulary_(&vocabulary) {}

  void push(std::string_view piece, TokenBatch& tokens) {
    constexpr std::size_t kPart = 1 << 12;  // what waits grows by no more at once
    for (; !piece.empty(); piece.remove_prefix(std::min(kPart, piece.size()))) {
      waiting_ += piece.substr(0, kPart);
      std::size_t end = waiting_.size();
      while (end > 0 && !ends_a_word(waiting_[end - 1])) --end;
      if (end == 0 && waiting_.size() > kLongestRun) end = end_of_characters();
      encode(end, tokens);
    }
  }

  void end(TokenBatch& tokens) {
    encode(waiting_.size(), tokens);
    tokens.end_text();
    before_.clear();
  }

 private:
  [[nodiscard]] static bool ends_a_word(char c) { return static_cast<unsigned char>(c) <= ' '; }
  /// Where the last character of what waits begins, unless its bytes are all there.
  [[nodiscard]] std::size_t end_of_characters() const {
    std::size_t begin = waiting_.size();
    const auto continues = [&] { return (static_cast<unsigned char>(waiting_[begin]) & 0xC0) == 0x80; };
    do --begin;
    while (begin + 4 > waiting_.size() && begin > 0 && continues());
    return utf8_length(waiting_, begin) > 0 ? waiting_.size() : std::max<std::size_t>(begin, 1);
  }
  /// Adds the words of the first `size` bytes that wait, which then wait no more.
  void encode(std::size_t size, TokenBatch& tokens) {
    if (size == 0) return;
    const std::size_t known = before_.size();
    for (std::string& word : split_words(std::string_view(waiting_).substr(0, size), vocabulary_->config())) {
      before_.push_back(std::move(word));
    }
    waiting_.erase(0, size);
    vocabulary_->encode_words(before_, known, tokens);
    const auto kept = static_cast<std::size_t>(vocabulary_->config().word_ngrams - 1);
    if (before_.size() > kept) before_.erase(before_.begin(), before_.end() - static_cast<std::ptrdiff_t>(kept));
  }

  const Vocabulary* vocabulary_;
  std::string waiting_;              // bytes of words that may go on
  std::vector<std::string> before_;  // the last words, as many as a feature of the next one may contain
};

}  // namespace MAT_ABI
}  // namespace mat
