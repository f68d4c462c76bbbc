#pragma once

#include <mat/core/simd.hpp>
#include <mat/layers/initialize.hpp>
#include <mat/layers/parameters.hpp>
#include <mat/models/token_batch.hpp>
#include <mat/ops/dropout.hpp>
#include <mat/ops/gather.hpp>

#include <cmath>

namespace mat {
inline namespace MAT_ABI {

/// Which words and features a training step leaves out.
struct TokenDropout {
  double words = 0;     ///< A word becomes the unknown word with this probability, in [0, 1).
  double features = 0;  ///< A feature is left out with this probability, in [0, 1).
  Random random;
};

/// A vector for each token: that of its word and those of its features, so that a rare word is understood by its parts.
///
///     y_t = weight_{word_t} + 1/sqrt(n_t) sum_{f in features_t} feature_weight_f      n_t: how many features t has
///     dweight_{word_t} += dy_t,   dfeature_weight_f += dy_t / sqrt(n_t)
///
/// Source:  Bojanowski et al. (2017), "Enriching word vectors with subword information", section 3.2; Joulin et al.
///          (2017), "Bag of tricks for efficient text classification", section 2 (hashed n-grams). They take the mean;
///          the root keeps the size of the sum the same for any number of features.
/// Shapes:  y [tokens, dim]; weight [vocabulary, dim]; feature_weight [buckets, dim].
/// Errors:  ValueError for a size below 1 (buckets: below 0), an id outside of its table or a rate outside of [0, 1);
///          ShapeError if dy has another shape than y.
/// Threads: const; one layer serves any number of threads, each with a cache of its own.
template <class T>
class TokenEmbedding {
 public:
  struct Config {
    Index vocabulary = 0;  ///< Word ids are below; id 0 is the unknown word.
    Index buckets = 0;     ///< Feature ids are below; 0 if there are no features.
    Index dim = 0;
    double initial_scale = 0.1;  ///< Standard deviation of the first weights.
  };

  struct Parameters {
    Matrix<T> weight;          // [vocabulary, dim]
    Matrix<T> feature_weight;  // [buckets, dim], or empty

    template <class Visitor, class... P>
    static void visit(Visitor&& visitor, P&... p) {
      visit_tensor("weight", visitor, p.weight...);
      visit_tensor("feature_weight", visitor, p.feature_weight...);
    }
  };

  /// What one forward leaves for its backward: the ids that dropout kept.
  struct Cache {
    Vector<Index> words;           // [tokens]
    Vector<Index> features;        // [kept features], in an array as long as all of them
    Vector<Index> feature_begins;  // [tokens + 1]
    Matrix<T> y;                   // [tokens, dim]
  };

  TokenEmbedding(const Config& config, const Random& random) : config_(config) {
    check_value(config.vocabulary >= 1, "TokenEmbedding: vocabulary", config.vocabulary, "at least 1");
    check_value(config.buckets >= 0, "TokenEmbedding: buckets", config.buckets, "at least 0");
    check_value(config.dim >= 1, "TokenEmbedding: dim", config.dim, "at least 1");
    parameters_.weight.resize({config.vocabulary, config.dim});
    initialize_normal<T>(parameters_.weight, config.initial_scale, random.split(0));
    if (config.buckets == 0) return;
    parameters_.feature_weight.resize({config.buckets, config.dim});
    initialize_normal<T>(parameters_.feature_weight, config.initial_scale, random.split(1));
  }

  [[nodiscard]] const Config& config() const { return config_; }
  [[nodiscard]] const Parameters& parameters() const { return parameters_; }
  [[nodiscard]] Parameters& parameters() { return parameters_; }

  ConstMatrixView<T> forward(const TokenBatch& batch, const TokenDropout& dropout, Cache& cache) const {
    check(batch, dropout);
    keep(batch, dropout, cache);
    const Index d = config_.dim;
    cache.y.resize({batch.tokens(), d});
    detail::for_each_row(batch.tokens(), 2 * d, [&](Index t) {
      T* y = cache.y.view().row(t);
      std::copy_n(parameters_.weight.view().row(cache.words.data()[t]), d, y);
      const T factor = feature_factor(cache, t);
      for (Index f = cache.feature_begins.data()[t]; f < cache.feature_begins.data()[t + 1]; ++f) {
        simd::add_scaled(d, y, factor, parameters_.feature_weight.view().row(cache.features.data()[f]));
      }
    });
    return cache.y;
  }

  /// Ids have no gradient: nothing is returned. Sums are in the order of the tokens, for any number of threads.
  void backward(ConstMatrixView<T> dy, Cache& cache, Parameters& grads) const {
    check_shape("TokenEmbedding::backward: dy", dy, cache.y.shape());
    scatter_add_rows<T>(cache.words, dy, grads.weight);
    detail::for_each_column_block(config_.dim, cache.features.size(), [&](Index first, Index count) {
      for (Index t = 0; t < dy.rows(); ++t) {
        const T factor = feature_factor(cache, t);
        for (Index f = cache.feature_begins.data()[t]; f < cache.feature_begins.data()[t + 1]; ++f) {
          T* row = grads.feature_weight.view().row(cache.features.data()[f]);
          simd::add_scaled(count, row + first, factor, dy.row(t) + first);
        }
      }
    });
  }

 private:
  void check(const TokenBatch& batch, const TokenDropout& dropout) const {
    const auto check_rate = [](std::string_view what, double rate) {
      check_value(rate >= 0 && rate < 1, what, rate, "in [0, 1)");
    };
    check_rate("TokenEmbedding::forward: dropout of words", dropout.words);
    check_rate("TokenEmbedding::forward: dropout of features", dropout.features);
    detail::check_ids("TokenEmbedding::forward: words", ids(batch.words), config_.vocabulary);
    detail::check_ids("TokenEmbedding::forward: features", ids(batch.features), config_.buckets);
  }
  [[nodiscard]] static ConstVectorView<Index> ids(const std::vector<Index>& values) {
    return {values, {static_cast<Index>(values.size())}};
  }

  static void keep(const TokenBatch& batch, const TokenDropout& dropout, Cache& cache) {
    DropoutScales<T> words(dropout.words, dropout.random.split(0)), features(dropout.features, dropout.random.split(1));
    const auto is_kept = [](DropoutScales<T>& scales, Index i) { return scales(static_cast<std::uint64_t>(i)) > 0; };
    const Index tokens = batch.tokens();
    cache.words.resize({tokens});
    cache.features.resize({static_cast<Index>(batch.features.size())});
    cache.feature_begins.resize({tokens + 1});
    Index kept = 0;
    for (Index t = 0; t < tokens; ++t) {
      const auto token = static_cast<std::size_t>(t);
      cache.words.data()[t] = is_kept(words, t) ? batch.words[token] : 0;
      cache.feature_begins.data()[t] = kept;
      for (Index f = batch.feature_begins[token]; f < batch.feature_begins[token + 1]; ++f) {
        if (is_kept(features, f)) cache.features.data()[kept++] = batch.features[static_cast<std::size_t>(f)];
      }
    }
    cache.feature_begins.data()[tokens] = kept;
  }
  [[nodiscard]] static T feature_factor(const Cache& cache, Index t) {
    const Index count = cache.feature_begins.data()[t + 1] - cache.feature_begins.data()[t];
    return T(1) / std::sqrt(static_cast<T>(std::max<Index>(1, count)));
  }

  Config config_;
  Parameters parameters_;
};

}  // namespace MAT_ABI
}  // namespace mat
