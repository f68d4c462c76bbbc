#pragma once

#include <mat/core/random.hpp>
#include <mat/core/simd.hpp>
#include <mat/core/tensor.hpp>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

namespace mat {
inline namespace MAT_ABI {

/// How a token is drawn from the scores of all tokens.
struct SamplingConfig {
  double temperature = 1;  ///< Scores are divided by it: below 1 is bolder, 0 takes the highest score.
  Index top_k = 0;         ///< Only the k highest scores are left, ties included by number; 0 is all.
  double top_p = 1;        ///< Only the most probable tokens that together reach p; 1 is all.
};

/// Throws ValueError for a setting out of range.
inline void check_sampling(std::string_view what, const SamplingConfig& config) {
  check_value(config.temperature >= 0, {what, "temperature"}, config.temperature, "at least 0");
  check_value(config.top_k >= 0, {what, "top_k"}, config.top_k, "at least 0");
  check_value(config.top_p > 0 && config.top_p <= 1, {what, "top_p"}, config.top_p, "in (0, 1]");
}

/// Memory to work in: each thread its own.
struct SamplingCache {
  std::vector<Index> order;           // tokens by falling score
  std::vector<double> probabilities;  // of the tokens as they stand in `order`, not normalised
};

/// Draws a token: softmax(logits / temperature), of what top_k and then top_p leave, with random number `index`.
///
/// Source:  Fan et al. (2018), "Hierarchical neural story generation", section 5 (top-k); Holtzman et al. (2020), "The
///          curious case of neural text degeneration", section 3.1 (top-p).
/// Shapes:  logits [tokens]; minus infinity forbids a token.
/// Errors:  ValueError for a setting out of range, no tokens, or none that is allowed.
template <class T>
[[nodiscard]] Index sample_token(ConstVectorView<T> logits, const SamplingConfig& config, const Random& random,
                                 std::uint64_t index, SamplingCache& cache) {
  check_sampling("sample_token", config);
  check_value(logits.size() >= 1, "sample_token: logits", logits.size(), "at least 1 token");
  const T* x = logits.data();
  const Index n = logits.size();
  const T highest = simd::largest_of(n, x);
  check_value(std::isfinite(highest), "sample_token: the highest logit", static_cast<double>(highest), "finite");
  if (config.temperature == 0) return std::find(x, x + n, highest) - x;

  cache.order.resize(static_cast<std::size_t>(n));
  std::iota(cache.order.begin(), cache.order.end(), Index{0});
  const auto before = [x](Index a, Index b) { return x[a] > x[b] || (x[a] == x[b] && a < b); };
  const Index k = config.top_k == 0 ? n : std::min(config.top_k, n);
  if (config.top_p < 1) {
    std::partial_sort(cache.order.begin(), cache.order.begin() + k, cache.order.end(), before);
  } else if (k < n) {
    std::nth_element(cache.order.begin(), cache.order.begin() + k, cache.order.end(), before);
    std::sort(cache.order.begin(), cache.order.begin() + k);  // so that a draw does not depend on nth_element
  }
  cache.probabilities.clear();
  for (Index i = 0; i < k; ++i) {
    const double score = static_cast<double>(x[cache.order[static_cast<std::size_t>(i)]] - highest);
    cache.probabilities.push_back(std::exp(score / config.temperature));
  }
  double total = std::accumulate(cache.probabilities.begin(), cache.probabilities.end(), 0.0);
  if (config.top_p < 1) {
    double nucleus = 0;
    std::size_t kept = 0;
    while (kept < cache.probabilities.size() && nucleus < config.top_p * total) nucleus += cache.probabilities[kept++];
    cache.probabilities.resize(kept);
    total = nucleus;
  }
  double rest = random.uniform(index) * total;
  std::size_t chosen = 0;
  for (std::size_t i = 0; i < cache.probabilities.size(); ++i) {
    if (cache.probabilities[i] == 0) continue;
    chosen = i;  // the last one also takes what rounding leaves over
    if (rest < cache.probabilities[i]) break;
    rest -= cache.probabilities[i];
  }
  return cache.order[chosen];
}
template <class T>
[[nodiscard]] Index sample_token(ConstVectorView<T> logits, const SamplingConfig& config, const Random& random,
                                 std::uint64_t index) {
  SamplingCache cache;
  return sample_token<T>(logits, config, random, index, cache);
}

}  // namespace MAT_ABI
}  // namespace mat
