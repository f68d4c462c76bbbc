#pragma once

#include <mat/io/tokenize_13a.hpp>
#include <mat/models/decoding.hpp>

#include <numeric>

namespace mat {
inline namespace MAT_ABI {

/// A translation of a text and how probable the model takes it to be: see Hypothesis.
struct TextTranslation {
  std::string text;
  double score = 0.0;
};

/// How texts are translated; the tokens of `decoding` are set by the tokenizer.
struct TextTranslatorConfig {
  DecodingConfig decoding;
  Index batch_tokens = 2048;  ///< Most source tokens that are translated together; no result depends on it.
  Index longest = 200;        ///< Source tokens; a longer text is translated in parts.
};

/// Translates texts with a model and a tokenizer.
///
/// A text without a token, empty or white space, gives an empty translation. One with more than `longest` tokens is cut
/// where a sentence ends, else between words, else anywhere, and the translations of its parts are put together with a
/// space: models know only lengths that they have seen. The i-th best of a text is then made of the i-th best of its
/// parts, and its score is their sum.
///
/// A Tokenizer is a value with encode(text), decode(ids), size(), and the ids unknown(), begin() and end(), for example
/// SentencePieceTokenizer.
///
/// Errors:  ValueError for a tokenizer whose size is not the model's vocabulary or a setting out of range.
/// Threads: const.
template <class T, class Tokenizer>
class TextTranslator {
 public:
  using Config = TextTranslatorConfig;

  TextTranslator(const Translator<T>& model, Tokenizer tokenizer, const Config& config = {})
      : config_(config), tokenizer_(std::move(tokenizer)), model_(model) {
    check_value(tokenizer_.size() == model.config().source_vocabulary, "TextTranslator: the tokenizer's size",
                tokenizer_.size(), std::to_string(model.config().source_vocabulary) + ", that of the model");
    check_value(config.batch_tokens >= 1, "TextTranslator: batch_tokens", config.batch_tokens, "at least 1");
    check_value(config.longest >= 1, "TextTranslator: longest", config.longest, "at least 1");
    config_.decoding.begin_token = tokenizer_.begin();
    config_.decoding.end_token = tokenizer_.end();
    config_.decoding.forbidden = {tokenizer_.begin(), tokenizer_.unknown()};
  }

  [[nodiscard]] const Config& config() const { return config_; }
  [[nodiscard]] const Tokenizer& tokenizer() const { return tokenizer_; }

  /// The n_best translations of each text, the best first: [texts][n_best].
  [[nodiscard]] std::vector<std::vector<TextTranslation>> translate(const std::vector<std::string>& texts) const {
    DecodingCache<T> cache;
    return translate(texts, cache);
  }
  /// The same in a cache that is kept, for texts that come in turns.
  [[nodiscard]] std::vector<std::vector<TextTranslation>> translate(const std::vector<std::string>& texts,
                                                                    DecodingCache<T>& cache) const {
    std::vector<std::vector<Index>> parts;
    std::vector<std::size_t> text_of;  // of each part
    for (std::size_t i = 0; i < texts.size(); ++i) {
      for (std::vector<Index>& part : parts_of(texts[i])) {
        part.push_back(tokenizer_.end());
        parts.push_back(std::move(part));
        text_of.push_back(i);
      }
    }
    const Hypotheses found = translate_parts(parts, cache);
    const auto n_best = static_cast<std::size_t>(config_.decoding.n_best);
    std::vector<std::vector<TextTranslation>> result(texts.size());
    for (std::size_t i = 0; i < texts.size(); ++i) result[i].resize(n_best);
    for (std::size_t p = 0; p < parts.size(); ++p) {
      for (std::size_t n = 0; n < n_best; ++n) {
        if (found[p].empty()) continue;
        const Hypothesis& hypothesis = found[p][std::min(n, found[p].size() - 1)];
        TextTranslation& whole = result[text_of[p]][n];
        if (p > 0 && text_of[p] == text_of[p - 1]) whole.text += ' ';
        whole.text += tokenizer_.decode(hypothesis.tokens);
        whole.score += hypothesis.score;
      }
    }
    return result;
  }

  /// The tokens of a text, in parts of at most `longest`.
  [[nodiscard]] std::vector<std::vector<Index>> parts_of(const std::string& text) const {
    const auto longest = static_cast<std::size_t>(config_.longest);
    std::vector<std::vector<Index>> parts;
    std::vector<Index> all = tokenizer_.encode(text);
    if (all.empty()) return parts;
    if (all.size() <= longest) {
      parts.push_back(std::move(all));
      return parts;
    }
    std::vector<Index> open;   // the part that is being filled
    std::size_t sentence = 0;  // its tokens up to the end of its last sentence
    const auto close = [&](std::size_t tokens) {
      const auto cut = open.begin() + static_cast<std::ptrdiff_t>(tokens);
      parts.emplace_back(open.begin(), cut);
      open.erase(open.begin(), cut);
      sentence = 0;
    };
    for (const std::string& word : split_at_white_space(text)) {
      const std::vector<Index> ids = tokenizer_.encode(word);
      if (open.size() + ids.size() > longest && !open.empty()) close(2 * sentence >= longest ? sentence : open.size());
      if (open.size() + ids.size() > longest && !open.empty()) close(open.size());
      open.insert(open.end(), ids.begin(), ids.end());
      while (open.size() > longest) close(longest);
      if (std::string_view(".!?").find(word.back()) != std::string_view::npos) sentence = open.size();
    }
    if (!open.empty()) close(open.size());
    return parts;
  }

 private:
  /// Parts of about the same length share a batch; each comes back in its place.
  [[nodiscard]] Hypotheses translate_parts(const std::vector<std::vector<Index>>& parts,
                                           DecodingCache<T>& cache) const {
    std::vector<std::size_t> order(parts.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(),
                     [&](std::size_t a, std::size_t b) { return parts[a].size() < parts[b].size(); });
    Hypotheses result(parts.size());
    for (std::size_t begin = 0; begin < order.size();) {
      std::vector<std::vector<Index>> batch;
      std::size_t tokens = 0, end = begin;
      while (end < order.size()) {
        tokens += parts[order[end]].size();
        if (end > begin && tokens > static_cast<std::size_t>(config_.batch_tokens)) break;
        batch.push_back(parts[order[end++]]);
      }
      Hypotheses found = mat::translate(model_, batch, config_.decoding, {}, cache);
      for (std::size_t i = begin; i < end; ++i) result[order[i]] = std::move(found[i - begin]);
      begin = end;
    }
    return result;
  }

  Config config_;
  Tokenizer tokenizer_;
  PackedTranslator<T> model_;
};

}  // namespace MAT_ABI
}  // namespace mat
