#pragma once

#include <mat/core/error.hpp>

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <string_view>
#include <vector>

namespace mat {
inline namespace MAT_ABI {

/// What stands in for a precision of 0, whose logarithm there is not.
enum class BleuSmoothing {
  none,   // nothing: BLEU is 0
  floor,  // smooth_value matches
  add_k,  // smooth_value more matches and n-grams, of every order above 1
  exp     // half a match, then a quarter, ... for each further order without one
};

struct BleuConfig {
  Index max_order = 4;
  BleuSmoothing smoothing = BleuSmoothing::exp;
  std::optional<double> smooth_value;  // by default 0.1 of floor, 1 of add_k
  bool effective_order = false;        // leave out orders that no hypothesis is long enough for
};

/// BLEU and all that it is made of; percent are in [0, 100].
struct BleuScore {
  double score = 0.0;
  std::vector<double> precisions;  // of each order, in percent
  std::vector<double> counts;      // n-grams that are in a reference, smoothing included: [max_order]
  std::vector<double> totals;      // n-grams, smoothing included: [max_order]
  double brevity_penalty = 1.0;
  Index length = 0, reference_length = 0;  // tokens
};

/// How much the n-grams of translations are those of references: corpus BLEU, sentence by sentence.
///
///     BLEU = bp exp(mean_n log p_n),   p_n = sum min(count, largest count in a reference) / sum count,
///     bp = min(1, exp(1 - reference_length / length))
///
/// The length of a reference is that of the one closest to the hypothesis, the shorter one of two as close.
///
/// Source: Papineni et al. (2002), "BLEU: a method for automatic evaluation of machine translation"; Chen & Cherry
///         (2014), methods 1 to 3, for the smoothing; sacrebleu's metrics.BLEU, to which all numbers are equal.
/// Errors: ValueError for a max_order below 1, a negative smooth_value or a sentence without a reference.
class Bleu {
 public:
  using Config = BleuConfig;
  using Tokens = std::vector<std::string>;

  explicit Bleu(const Config& config = {}) : config_(config) {
    check_value(config.max_order >= 1, "Bleu: max_order", config.max_order, "at least 1");
    const double value = config.smooth_value.value_or(0.0);
    check_value(value >= 0.0, "Bleu: smooth_value", value, "at least 0");
    matches_.assign(static_cast<std::size_t>(config.max_order), 0);
    totals_ = matches_;
  }

  [[nodiscard]] const Config& config() const { return config_; }

  /// Takes in one sentence with all its references.
  void add(const Tokens& hypothesis, const std::vector<Tokens>& references) {
    check_value(!references.empty(), "Bleu::add: the number of references", Index{0}, "at least 1");
    const auto length = static_cast<Index>(hypothesis.size());
    Index closest = static_cast<Index>(references.front().size());
    for (const Tokens& reference : references) {
      const auto candidate = static_cast<Index>(reference.size());
      const Index distance = std::abs(candidate - length), best = std::abs(closest - length);
      if (distance < best || (distance == best && candidate < closest)) closest = candidate;
    }
    length_ += length;
    reference_length_ += closest;
    for (Index order = 1; order <= config_.max_order; ++order) {
      Counts most;
      for (const Tokens& reference : references) {
        for (const auto& [ngram, count] : count_ngrams(reference, order)) most[ngram] = std::max(most[ngram], count);
      }
      const auto n = static_cast<std::size_t>(order - 1);
      for (const auto& [ngram, count] : count_ngrams(hypothesis, order)) {
        totals_[n] += count;
        const auto found = most.find(ngram);
        if (found != most.end()) matches_[n] += std::min(count, found->second);
      }
    }
  }
  void add(const Tokens& hypothesis, const Tokens& reference) { add(hypothesis, std::vector<Tokens>{reference}); }

  /// The score of all sentences so far.
  [[nodiscard]] BleuScore score() const {
    BleuScore result;
    result.length = length_;
    result.reference_length = reference_length_;
    result.counts.assign(matches_.begin(), matches_.end());
    result.totals.assign(totals_.begin(), totals_.end());
    result.precisions.assign(matches_.size(), 0.0);
    if (length_ < reference_length_) {
      const double ratio = static_cast<double>(reference_length_) / static_cast<double>(length_);
      result.brevity_penalty = length_ > 0 ? std::exp(1.0 - ratio) : 0.0;
    }
    const bool any = std::any_of(matches_.begin(), matches_.end(), [](Index count) { return count > 0; });
    if (any) result.score = result.brevity_penalty * mean_precision(result);
    return result;
  }

 private:
  using Ngram = std::vector<std::string_view>;
  using Counts = std::map<Ngram, Index>;

  [[nodiscard]] static Counts count_ngrams(const Tokens& tokens, Index order) {
    Counts counts;
    for (auto end = order; end <= static_cast<Index>(tokens.size()); ++end) {
      ++counts[Ngram(tokens.begin() + (end - order), tokens.begin() + end)];
    }
    return counts;
  }

  /// Sets the precisions, smooths, and returns their geometric mean.
  [[nodiscard]] double mean_precision(BleuScore& result) const {
    const BleuSmoothing smoothing = config_.smoothing;
    const double value = config_.smooth_value.value_or(smoothing == BleuSmoothing::floor ? 0.1 : 1.0);
    double halves = 1.0;
    std::size_t orders = matches_.size();
    for (std::size_t n = 0; n < matches_.size(); ++n) {
      double &count = result.counts[n], &total = result.totals[n], &precision = result.precisions[n];
      if (smoothing == BleuSmoothing::add_k && n > 0) {
        count += value;
        total += value;
      }
      if (total == 0.0) break;
      if (config_.effective_order) orders = n + 1;
      if (count > 0.0) {
        precision = 100.0 * count / total;
      } else if (smoothing == BleuSmoothing::exp) {
        halves *= 2.0;
        precision = 100.0 / (halves * total);
      } else if (smoothing == BleuSmoothing::floor) {
        precision = 100.0 * value / total;
      }
    }
    double sum = 0.0;
    for (std::size_t n = 0; n < orders; ++n) sum += std::log(result.precisions[n]);  // log 0 makes the mean 0
    return std::exp(sum / static_cast<double>(orders));
  }

  Config config_;
  std::vector<Index> matches_, totals_;  // [max_order]
  Index length_ = 0, reference_length_ = 0;
};

}  // namespace MAT_ABI
}  // namespace mat
