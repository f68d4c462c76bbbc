#pragma once

#include <mat/models/decoding_batch.hpp>

#include <algorithm>
#include <cmath>

namespace mat {
inline namespace MAT_ABI {
namespace detail {

/// Beam search over a batch of sources, which the cache has read; each is searched as if it were alone.
template <class T>
class BeamSearch {
 public:
  using Tokens = std::vector<Index>;

  BeamSearch(const PackedTranslator<T>& model, const DecodingConfig& config, const Sequences& sources,
             const std::vector<Tokens>& prefixes, DecodingCache<T>& cache)
      : config_(config),
        batch_("translate", model, config, sources, prefixes, config.beam_size, cache),
        candidates_of_row_(std::min(config.beam_size + 1, batch_.vocabulary())) {
    check_value(config.n_best <= config.beam_size, "translate: n_best", config.n_best, "at most beam_size, ",
                config.beam_size);
  }

  [[nodiscard]] Hypotheses run() {
    Hypotheses found(static_cast<std::size_t>(batch_.sources()));
    while (batch_.step()) {
      set_candidates();
      std::size_t row = 0;
      for (Index b = 0; b < batch_.sources(); ++b) {
        const std::size_t first = row;
        while (row < batch_.rows().size() && batch_.rows()[row] / batch_.width() == b) ++row;
        if (row > first) advance(b, first, row, found[static_cast<std::size_t>(b)]);
      }
    }
    for (std::size_t b = 0; b < found.size(); ++b) {
      if (batch_.source_length(static_cast<Index>(b)) == 0) found[b].assign(1, Hypothesis());
      if (found[b].empty()) found[b].assign(1, nothing());
      if (static_cast<Index>(found[b].size()) > config_.n_best)
        found[b].resize(static_cast<std::size_t>(config_.n_best));
    }
    return found;
  }

 private:
  using Child = typename DecodingBatch<T>::Child;

  /// For scores among which there is none to choose: not numbers, or forbidden.
  [[nodiscard]] static Hypothesis nothing() {
    constexpr double kNever = -std::numeric_limits<double>::infinity();
    return {{}, kNever, kNever, /*finished=*/false};
  }

  /// The best continuations of each hypothesis: one more than the beam is wide, for one of them may be the end.
  void set_candidates() {
    const ConstMatrixView<T> scores = batch_.scores();
    candidates_.resize(static_cast<std::size_t>(scores.rows() * candidates_of_row_));
    counts_.resize(static_cast<std::size_t>(scores.rows()));
    for_each_row(scores.rows(), scores.cols() * kSoftmaxWork, [&](Index row) {
      const Index s = batch_.rows()[static_cast<std::size_t>(row)];
      Child* best = candidates_.data() + row * candidates_of_row_;
      const Index count = best_tokens(scores.row(row), best);
      const T highest = count > 0 ? scores(row, best[0].token) : T(0);
      const double before = batch_.log_probability(s) - log_sum_exp(scores.cols(), scores.row(row), highest);
      for (Index i = 0; i < count; ++i) {
        const auto score = static_cast<double>(scores(row, best[i].token));
        best[i] = {s, best[i].token, before + score, 0};
      }
      counts_[static_cast<std::size_t>(row)] = std::isfinite(before) ? count : 0;  // a NaN among them spoils all
    });
  }

  /// Sets the tokens of the highest scores, the highest first, equal ones by their number; returns how many.
  [[nodiscard]] Index best_tokens(const T* scores, Child* best) const {
    constexpr Index kBlock = 64;
    const Index n = batch_.vocabulary();
    Index count = 0;
    T least = -std::numeric_limits<T>::infinity();  // what a score must exceed to be among the best
    for (Index begin = 0; begin < n; begin += kBlock) {
      const Index end = std::min(n, begin + kBlock);
      if (!(simd::largest_of(end - begin, scores + begin) > least)) continue;
      for (Index token = begin; token < end; ++token) {
        if (!(scores[token] > least)) continue;
        if (count < candidates_of_row_) ++count;
        Index i = count - 1;
        for (; i > 0 && scores[token] > scores[best[i - 1].token]; --i) best[i].token = best[i - 1].token;
        best[i].token = token;
        if (count == candidates_of_row_) least = scores[best[count - 1].token];
      }
    }
    return count;
  }

  /// The hypotheses of source b, in rows [first, last), go on, or end in `found`.
  void advance(Index b, std::size_t first, std::size_t last, std::vector<Hypothesis>& found) {
    ranked_.clear();
    for (std::size_t row = first; row < last; ++row) {
      const auto begin = candidates_.begin() + static_cast<std::ptrdiff_t>(row) * candidates_of_row_;
      ranked_.insert(ranked_.end(), begin, begin + counts_[row]);
    }
    std::stable_sort(ranked_.begin(), ranked_.end(),
                     [](const Child& x, const Child& y) { return x.log_probability > y.log_probability; });
    next_.clear();
    for (std::size_t rank = 0; rank < ranked_.size(); ++rank) {
      if (ranked_[rank].token != config_.end_token) {
        if (static_cast<Index>(next_.size()) < config_.beam_size) next_.push_back(ranked_[rank]);
      } else if (static_cast<Index>(rank) < config_.beam_size) {
        found.push_back(batch_.hypothesis(ranked_[rank]));
      }
    }
    const auto by_score = [](const Hypothesis& x, const Hypothesis& y) { return x.score > y.score; };
    std::stable_sort(found.begin(), found.end(), by_score);
    if (next_.empty() || is_done(b, found)) return batch_.end(b);
    if (batch_.generated(next_.front().parent) + 1 < batch_.most_tokens(b)) return batch_.continue_with(b, next_);
    for (const Child& child : next_) found.push_back(batch_.hypothesis(child));
    std::stable_sort(found.begin(), found.end(), by_score);
    batch_.end(b);
  }

  [[nodiscard]] bool is_done(Index b, const std::vector<Hypothesis>& found) const {
    const auto count = static_cast<Index>(found.size());
    if (count < (config_.early_stopping ? config_.beam_size : config_.n_best)) return false;
    // More tokens only lower log p; the most that a greater length can do for it is that of the longest. A model that
    // is sure fills the beam with what it does not believe in: early stopping waits while the best is still open.
    const Child& best = next_.front();
    const Index length = config_.early_stopping ? batch_.generated(best.parent) + 1 : batch_.most_tokens(b);
    return batch_.score(best.log_probability, length) <= found[static_cast<std::size_t>(config_.n_best - 1)].score;
  }

  const DecodingConfig& config_;
  DecodingBatch<T> batch_;
  Index candidates_of_row_;
  std::vector<Child> candidates_;  // [rows, candidates_of_row_]
  std::vector<Index> counts_;      // of each row
  std::vector<Child> ranked_, next_;
};

}  // namespace detail
}  // namespace MAT_ABI
}  // namespace mat
