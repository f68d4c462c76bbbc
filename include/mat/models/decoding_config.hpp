#pragma once

#include <mat/core/error.hpp>

#include <cmath>
#include <vector>

namespace mat {
inline namespace MAT_ABI {

/// How a model's scores become sentences.
struct DecodingConfig {
  Index begin_token = 0;         ///< What the decoder reads first.
  Index end_token = 0;           ///< What ends a sentence.
  std::vector<Index> forbidden;  ///< Tokens that are never chosen: padding, the unknown word.
  Index beam_size = 4;           ///< Hypotheses of a source that are followed; 1 is greedy.
  Index n_best = 1;              ///< Hypotheses of a source that are returned.
  /// A hypothesis scores log p / length^length_penalty, its end counted: 0 favours short ones, 1 takes the mean.
  double length_penalty = 1;
  /// A source is done with beam_size finished hypotheses of which n_best score better than all that are open; without,
  /// once nothing can overtake its n_best.
  bool early_stopping = true;
  // The most tokens of a translation are min(max_length, ratio * source tokens + extra): most_tokens().
  double max_length_ratio = 2;
  Index max_length_extra = 10;
  Index max_length = 256;
};

/// The most tokens of a translation of a source with so many, those of a prefix not counted.
[[nodiscard]] inline Index most_tokens(const DecodingConfig& c, Index source_tokens) {
  // Compared before it is converted: the product may be beyond every Index.
  const double most = c.max_length_ratio * static_cast<double>(source_tokens) + static_cast<double>(c.max_length_extra);
  return most < static_cast<double>(c.max_length) ? static_cast<Index>(most) : c.max_length;
}

/// A translation.
struct Hypothesis {
  std::vector<Index> tokens;   ///< Without those that begin and end it; a given prefix is a part of it.
  double log_probability = 0;  ///< Of the tokens after the prefix and of the end.
  double score = 0;            ///< With the length penalty: what hypotheses are sorted by.
  bool finished = true;        ///< False if it only ended because it was as long as it may be.
};

/// Of each source its hypotheses, the best first.
using Hypotheses = std::vector<std::vector<Hypothesis>>;

/// Throws ValueError for a setting out of range; `vocabulary` is the number of tokens.
inline void check_decoding(std::string_view what, const DecodingConfig& c, Index vocabulary) {
  const auto check_token = [&](std::string_view name, Index token) {
    check_value(token >= 0 && token < vocabulary, {what, name}, token, "in the vocabulary, below ", vocabulary);
  };
  check_token("begin_token", c.begin_token);
  check_token("end_token", c.end_token);
  for (const Index token : c.forbidden) {
    check_token("a forbidden token", token);
    check_value(token != c.end_token, {what, "a forbidden token"}, token, "not the end_token");
  }
  check_value(c.beam_size >= 1, {what, "beam_size"}, c.beam_size, "at least 1");
  check_value(c.n_best >= 1, {what, "n_best"}, c.n_best, "at least 1");
  check_value(c.length_penalty >= 0, {what, "length_penalty"}, c.length_penalty, "at least 0");
  check_value(c.max_length_ratio >= 0 && std::isfinite(c.max_length_ratio), {what, "max_length_ratio"},
              c.max_length_ratio, "a finite number of at least 0");
  check_value(c.max_length_extra >= 1, {what, "max_length_extra"}, c.max_length_extra, "at least 1");
  constexpr Index kLongest = Index{1} << 31;
  check_value(c.max_length >= 1 && c.max_length <= kLongest, {what, "max_length"}, c.max_length,
              "at least 1 and at most ", kLongest);
}

}  // namespace MAT_ABI
}  // namespace mat
