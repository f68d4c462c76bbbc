#pragma once

#include <mat/core/simd.hpp>
#include <mat/layers/sinusoidal_position.hpp>
#include <mat/models/token_embedding.hpp>
#include <mat/ops/residual.hpp>

namespace mat {
inline namespace MAT_ABI {

/// Positions of the tokens, as the classifier's encoder learns them.
enum class ClassifierPositions { none, sinusoidal };

/// All that a training step drops; without values nothing is, as in inference.
struct ClassifierDropout {
  double words = 0;      ///< Words that become the unknown word.
  double features = 0;   ///< Features that are left out.
  double embedding = 0;  ///< Of the embedded tokens.
  double encoder = 0;    ///< Inside of the encoder.
  double pooled = 0;     ///< Of what the linear classifier reads.
  Random random;

  /// The same rates with independent masks, a function of these and `key`.
  [[nodiscard]] ClassifierDropout split(std::uint64_t key) const {
    ClassifierDropout dropout = *this;
    dropout.random = random.split(key);
    return dropout;
  }
};

namespace detail {

/// x itself at rate 0.
template <class T>
[[nodiscard]] ConstMatrixView<T> dropped(const Dropout& dropout, ConstMatrixView<T> x, Matrix<T>& y) {
  if (dropout.rate == 0) return x;
  y.resize(x.shape());
  dropout_forward<T>(dropout, x, y);
  return y;
}

}  // namespace detail

/// What a text classifier makes of its tokens: vectors at their positions for an encoder, and vectors alone, which lack
/// the same elements, for a convolution.
///
///     e = embedding(tokens),   x = dropout(e + positions),   words = dropout(e)
///
/// Source:  see TokenEmbedding and SinusoidalPosition.
/// Shapes:  x, words [tokens, dim].
/// Errors:  ValueError for sizes, ids or rates that do not fit; ShapeError if dx or dwords does not.
/// Threads: const; one layer serves any number of threads, each with a cache of its own.
template <class T>
class ClassifierInput {
 public:
  struct Config {
    typename TokenEmbedding<T>::Config embedding;
    ClassifierPositions positions = ClassifierPositions::sinusoidal;
    bool words = true;  ///< Something reads `words`.
  };

  using Parameters = typename TokenEmbedding<T>::Parameters;

  struct Output {
    ConstMatrixView<T> x, words;  // words is empty if nothing reads it
  };

  /// What one forward leaves for its backward.
  struct Cache {
    Dropout dropout;
    typename TokenEmbedding<T>::Cache embedding;
    typename SinusoidalPosition<T>::Cache positions;
    Matrix<T> x, dx;          // with dropout: [tokens, dim]
    Matrix<T> words, dwords;  // the same of the words: [tokens, dim]
    Matrix<T> dtokens;        // the gradient of the embedding: [tokens, dim]
  };

  ClassifierInput(const Config& config, const Random& random)
      : config_(config), embedding_(config.embedding, random), positions_({config.embedding.dim}) {}

  [[nodiscard]] const Config& config() const { return config_; }
  [[nodiscard]] const Parameters& parameters() const { return embedding_.parameters(); }
  [[nodiscard]] Parameters& parameters() { return embedding_.parameters(); }

  Output forward(const TokenBatch& batch, const Sequences& sequences, const ClassifierDropout& dropout,
                 Cache& cache) const {
    cache.dropout = {dropout.embedding, dropout.random.split(1)};
    const TokenDropout token_dropout{dropout.words, dropout.features, dropout.random.split(0)};
    const ConstMatrixView<T> tokens = embedding_.forward(batch, token_dropout, cache.embedding);
    ConstMatrixView<T> x = tokens;
    if (config_.positions == ClassifierPositions::sinusoidal) x = positions_.forward(x, sequences, cache.positions);
    x = detail::dropped(cache.dropout, x, cache.x);
    return {x, config_.words ? detail::dropped(cache.dropout, tokens, cache.words) : ConstMatrixView<T>()};
  }

  /// Tokens have no gradient: nothing is returned. `dwords` is not read if nothing read the words.
  void backward(ConstMatrixView<T> dx, ConstMatrixView<T> dwords, Cache& cache, Parameters& grads) const {
    ConstMatrixView<T> d = detail::dropped(cache.dropout, dx, cache.dx);
    if (config_.words) {
      sum<T>(d, detail::dropped(cache.dropout, dwords, cache.dwords), cache.dtokens);
      d = cache.dtokens;
    }
    embedding_.backward(d, cache.embedding, grads);
  }

 private:
  Config config_;
  TokenEmbedding<T> embedding_;
  SinusoidalPosition<T> positions_;
};

}  // namespace MAT_ABI
}  // namespace mat
