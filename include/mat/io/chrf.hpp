#pragma once

#include <mat/core/error.hpp>
#include <mat/io/tokenize_13a.hpp>

#include <algorithm>
#include <array>
#include <unordered_map>

namespace mat {
inline namespace MAT_ABI {

/// How much the runs of 1 to 6 characters of translations are those of references, white space aside: chrF2, sentence
/// by sentence, in percent.
///
///     chrF2 = 100 * 5 P R / (4 P + R)      P, R: precision and recall, each the mean over the orders that both have
///
/// Of several references the one counts that scores best for its sentence.
///
/// Source: Popovic (2015), "chrF: character n-gram F-score for automatic MT evaluation"; sacrebleu's metrics.CHRF with
///         its defaults, to which the score is equal.
/// Errors: ValueError for a sentence without a reference.
class Chrf {
 public:
  static constexpr std::size_t kOrders = 6;

  /// Takes in one sentence, in UTF-8, with all its references.
  void add(std::string_view hypothesis, const std::vector<std::string>& references) {
    check_value(!references.empty(), "Chrf::add: the number of references", Index{0}, "at least 1");
    const std::u32string characters = characters_of(hypothesis);
    double best = -1.0;
    Statistics chosen{};
    for (const std::string& reference : references) {
      const Statistics statistics = compare(characters, characters_of(reference));
      const double f = f_score(statistics);
      if (f <= best) continue;
      best = f;
      chosen = statistics;
    }
    for (std::size_t n = 0; n < kOrders; ++n) sum_[n] += chosen[n];
  }
  void add(std::string_view hypothesis, const std::string& reference) {
    add(hypothesis, std::vector<std::string>{reference});
  }

  /// The score of all sentences so far.
  [[nodiscard]] double score() const { return f_score(sum_); }

 private:
  struct Counts {
    Index hypothesis = 0, reference = 0, match = 0;

    Counts& operator+=(const Counts& other) {
      hypothesis += other.hypothesis;
      reference += other.reference;
      match += other.match;
      return *this;
    }
  };
  using Statistics = std::array<Counts, kOrders>;

  [[nodiscard]] static std::u32string characters_of(std::string_view text) {
    std::u32string characters;
    for (const std::string& part : split_at_white_space(text)) {
      for (std::size_t i = 0, length = 0; i < part.size(); i += std::max<std::size_t>(length, 1)) {
        length = utf8_length(part, i);
        characters += static_cast<char32_t>(length == 0 ? 0xFFFDu : detail::utf8_code_point(part, i, length));
      }
    }
    return characters;
  }

  [[nodiscard]] static std::unordered_map<std::u32string_view, Index> count_runs(std::u32string_view text,
                                                                                 std::size_t order) {
    std::unordered_map<std::u32string_view, Index> counts;
    for (std::size_t begin = 0; begin + order <= text.size(); ++begin) ++counts[text.substr(begin, order)];
    return counts;
  }

  [[nodiscard]] static Statistics compare(const std::u32string& hypothesis, const std::u32string& reference) {
    const auto runs = [](const std::u32string& text, std::size_t order) {
      return static_cast<Index>(text.size() < order ? 0 : text.size() - order + 1);
    };
    Statistics statistics{};
    for (std::size_t order = 1; order <= kOrders; ++order) {
      Counts& counts = statistics[order - 1];
      counts.reference = runs(reference, order);
      if (counts.reference == 0) continue;  // such runs of the hypothesis do not count either
      counts.hypothesis = runs(hypothesis, order);
      const auto known = count_runs(reference, order);
      for (const auto& [run, count] : count_runs(hypothesis, order)) {
        const auto found = known.find(run);
        if (found != known.end()) counts.match += std::min(count, found->second);
      }
    }
    return statistics;
  }

  [[nodiscard]] static double f_score(const Statistics& statistics) {
    constexpr double kFactor = 4.0;  // beta squared
    double precision = 0.0, recall = 0.0, orders = 0.0;
    for (const Counts& counts : statistics) {
      if (counts.hypothesis == 0 || counts.reference == 0) continue;
      precision += static_cast<double>(counts.match) / static_cast<double>(counts.hypothesis);
      recall += static_cast<double>(counts.match) / static_cast<double>(counts.reference);
      orders += 1.0;
    }
    if (orders == 0.0) return 0.0;
    precision /= orders;
    recall /= orders;
    if (precision + recall == 0.0) return 0.0;
    const double score = (1.0 + kFactor) * precision * recall;
    return 100.0 * (score / (kFactor * precision + recall));
  }

  Statistics sum_{};
};

}  // namespace MAT_ABI
}  // namespace mat
