#pragma once

#include <mat/core/error.hpp>

#include <string>
#include <vector>

namespace mat {
inline namespace MAT_ABI {

/// Texts as numbers, one after the other: a word id for each token, and any number of features of each token (hashed
/// parts of the word, runs of words). A plain value that serves as a whole data set and as one batch of it.
///
///     TokenBatch batch;
///     batch.append(data, 7);    // text 7 of another TokenBatch
///
/// Both lists of begins have one element more than there are tokens or texts, the end of the last one. `clear` keeps
/// the memory, so a loop over batches stops allocating once it has seen the largest one.
///
/// Errors: ValueError for a text that is not there.
struct TokenBatch {
  std::vector<Index> words;              // ids: [tokens]
  std::vector<Index> features;           // ids: [features], those of a token side by side
  std::vector<Index> feature_begins{0};  // token t has features [feature_begins[t], feature_begins[t + 1])
  std::vector<Index> lengths;            // tokens of each text: [texts], for Sequences
  std::vector<Index> token_begins{0};    // text i has tokens [token_begins[i], token_begins[i + 1])

  [[nodiscard]] Index size() const { return static_cast<Index>(lengths.size()); }
  [[nodiscard]] Index tokens() const { return static_cast<Index>(words.size()); }

  void clear() {
    words.clear();
    features.clear();
    feature_begins.assign(1, 0);
    lengths.clear();
    token_begins.assign(1, 0);
  }

  /// Adds one token to the text that is being written; its features are what was put into `features` since the last.
  void add_token(Index word) {
    words.push_back(word);
    feature_begins.push_back(static_cast<Index>(features.size()));
  }
  /// Ends the text whose tokens were added since the last end: without any, an empty text.
  void end_text() {
    lengths.push_back(tokens() - token_begins.back());
    token_begins.push_back(tokens());
  }

  /// Adds the tokens [first, first + count) of another batch to the text that is being written.
  void add_tokens(const TokenBatch& from, Index first, Index count) {
    check_value(first >= 0 && count >= 0 && first + count <= from.tokens(), "TokenBatch::add_tokens: the last token",
                first + count, "at most ", from.tokens());
    for (Index t = first; t < first + count; ++t) {
      const auto token = static_cast<std::size_t>(t);
      for (Index f = from.feature_begins[token]; f < from.feature_begins[token + 1]; ++f) {
        features.push_back(from.features[static_cast<std::size_t>(f)]);
      }
      add_token(from.words[token]);
    }
  }
  /// Appends text `i` of another batch.
  void append(const TokenBatch& from, Index i) {
    if (i < 0 || i >= from.size()) {
      check_value(false, "TokenBatch::append: text", i, "in [0, " + std::to_string(from.size()) + ")");
    }
    const auto text = static_cast<std::size_t>(i);
    add_tokens(from, from.token_begins[text], from.lengths[text]);
    end_text();
  }

  friend bool operator==(const TokenBatch& a, const TokenBatch& b) {
    return a.words == b.words && a.features == b.features && a.feature_begins == b.feature_begins &&
           a.lengths == b.lengths;  // the begins of the texts follow
  }
  friend bool operator!=(const TokenBatch& a, const TokenBatch& b) { return !(a == b); }
};

}  // namespace MAT_ABI
}  // namespace mat
