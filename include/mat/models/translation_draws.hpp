#pragma once

#include <mat/models/decoding_batch.hpp>
#include <mat/models/sampling.hpp>

namespace mat {
inline namespace MAT_ABI {

/// How translations are drawn.
struct DrawConfig {
  SamplingConfig sampling;
  Random random;
};

namespace detail {

/// n_best draws of each source of a batch.
template <class T>
class TranslationDraws {
 public:
  using Tokens = std::vector<Index>;

  TranslationDraws(const PackedTranslator<T>& model, const DecodingConfig& config, const DrawConfig& draw,
                   const std::vector<Tokens>& sources, const std::vector<Tokens>& prefixes, DecodingCache<T>& cache)
      : config_(config),
        draw_(draw),
        batch_("draw_translations", model, config, read_sources(model, sources, cache), prefixes, config.n_best,
               cache) {
    check_sampling("draw_translations", draw.sampling);
    for (const Tokens& source : sources) {
      Random random = draw.random;
      for (const Index token : source) random = random.split(static_cast<std::uint64_t>(token));
      randoms_.push_back(random);
    }
  }

  [[nodiscard]] Hypotheses run() {
    Hypotheses found;
    for (Index b = 0; b < batch_.sources(); ++b) {
      found.emplace_back(batch_.source_length(b) == 0 ? 1 : static_cast<std::size_t>(config_.n_best));
    }
    while (batch_.step()) {
      std::size_t row = 0;
      for (Index b = 0; b < batch_.sources(); ++b) {
        next_.clear();
        const std::size_t first = row;
        for (; row < batch_.rows().size() && batch_.rows()[row] / batch_.width() == b; ++row) {
          draw(b, static_cast<Index>(row), found[static_cast<std::size_t>(b)]);
        }
        if (row > first) batch_.continue_with(b, next_);
      }
    }
    return found;
  }

 private:
  /// The next token of the hypothesis in a row; the first row of a source is that of all its draws.
  void draw(Index b, Index row, std::vector<Hypothesis>& found) {
    const Index s = batch_.rows()[static_cast<std::size_t>(row)], step = batch_.generated(s);
    const ConstMatrixView<T> scores = batch_.scores().middle_rows(row, 1);
    const T highest = simd::largest_of(scores.cols(), scores.data());
    const double before = batch_.log_probability(s) - log_sum_exp(scores.cols(), scores.data(), highest);
    const Index first = step == 0 ? 0 : batch_.number(s), last = step == 0 ? config_.n_best : first + 1;
    for (Index number = first; number < last; ++number) {
      const Random random = randoms_[static_cast<std::size_t>(b)].split(static_cast<std::uint64_t>(number));
      const Index token = sample_token<T>({scores.data(), {scores.cols()}}, draw_.sampling, random,
                                          static_cast<std::uint64_t>(step), cache_);
      const typename DecodingBatch<T>::Child child{s, token, before + static_cast<double>(scores(0, token)), number};
      if (token == config_.end_token || step + 1 == batch_.most_tokens(b)) {
        found[static_cast<std::size_t>(number)] = batch_.hypothesis(child);
      } else {
        next_.push_back(child);
      }
    }
  }

  const DecodingConfig& config_;
  const DrawConfig& draw_;
  DecodingBatch<T> batch_;
  std::vector<Random> randoms_;  // of each source
  SamplingCache cache_;
  std::vector<typename DecodingBatch<T>::Child> next_;
};

}  // namespace detail
}  // namespace MAT_ABI
}  // namespace mat
