#pragma once

#include <mat/core/sequences.hpp>
#include <mat/layers/linear.hpp>
#include <mat/ops/activation.hpp>
#include <mat/ops/residual.hpp>
#include <mat/ops/softmax.hpp>

namespace mat {
inline namespace MAT_ABI {

/// The article's attention: each token gets one score, the scores of a sequence become weights, and the weights
/// multiply the rows of the memory.
///
///     s_t = relu(x_t A1^T + a1) A2^T + a2,    alpha = softmax over the tokens of a sequence,    y_t = alpha_t M_t
///
/// The score of a token depends on that token alone: there is no query and no key. The weights add up to 1, so the rows
/// of y are of size 1 / length; their sum, `pool_forward`, is attention pooling. The bias a2 shifts all scores alike:
/// it has no effect, and its gradient is 0.
///
/// Source:  the article's SelfAttention, `softmax(fc2(relu(fc1(x))), dim=0) * memory`, with its names; the sum over the
///          tokens is the word attention of Yang et al. (2016), "Hierarchical attention networks", eq. 7.
/// Shapes:  x, memory, y [tokens, input_dim]; alpha [tokens, 1]; pooled [sequences, input_dim].
/// Errors:  ValueError for a size below 1; ShapeError if an input does not fit.
/// Threads: const; one layer serves any number of threads, each with a cache of its own.
template <class T>
class SelfAttention {
 public:
  struct Config {
    Index input_dim = 0;
    Index hidden_dim = 0;
  };

  struct Parameters {
    Linear<T> fc1, fc2;

    template <class Visitor, class... P>
    static void visit(Visitor&& visitor, P&... p) {
      visit_layer("fc1", visitor, p.fc1...);
      visit_layer("fc2", visitor, p.fc2...);
    }
  };

  /// What one forward leaves for its backward; x and memory stay with the caller and must live until then.
  struct Cache {
    ConstMatrixView<T> memory;  // [tokens, input_dim]
    Sequences sequences;
    typename Linear<T>::Cache fc1, fc2;
    Matrix<T> hidden, dhidden;   // [tokens, hidden_dim]
    Matrix<T> weights, dscores;  // alpha and the gradient of s: [tokens, 1]
    Matrix<T> y, dy, dmemory;    // [tokens, input_dim]
    Matrix<T> pooled;            // [sequences, input_dim]
    Matrix<T> log_weights;       // log alpha: [tokens, 1], after log_prior_forward
    Vector<T> log_prior;         // [tokens]
  };

  /// The gradients of the two inputs, living in the cache.
  struct InputGradients {
    ConstMatrixView<T> dx, dmemory;
  };

  SelfAttention(const Config& config, const Random& random)
      : config_(config),
        parameters_{Linear<T>({config.input_dim, config.hidden_dim}, random.split(0)),
                    Linear<T>({config.hidden_dim, 1}, random.split(1))} {}

  [[nodiscard]] const Config& config() const { return config_; }
  [[nodiscard]] const Parameters& parameters() const { return parameters_; }
  [[nodiscard]] Parameters& parameters() { return parameters_; }

  /// The weighted memory, row by row. The weights alpha are in cache.weights.
  ConstMatrixView<T> forward(ConstMatrixView<T> x, ConstMatrixView<T> memory, const Sequences& sequences,
                             Cache& cache) const {
    check_shape("SelfAttention::forward: memory", memory, {x.rows(), kAny});
    check_sequences("SelfAttention::forward: x", x.rows(), sequences);
    cache.memory = memory;
    cache.sequences = sequences;
    set_weights(score(x, cache), sequences, cache);
    cache.y.resize(memory.shape());
    for (Index t = 0; t < memory.rows(); ++t)
      simd::set_scaled(memory.cols(), cache.y.view().row(t), cache.weights(t, 0), memory.row(t));
    return cache.y;
  }

  /// After forward: the sum of the weighted memory over each sequence; 0 for an empty one.
  ConstMatrixView<T> pool_forward(Cache& cache) const {
    cache.pooled.resize({cache.sequences.count(), cache.y.cols()});
    cache.pooled.fill(T(0));
    for (Index b = 0; b < cache.sequences.count(); ++b) {
      for (Index t = cache.sequences.begin(b); t < cache.sequences.end(b); ++t) {
        simd::add_scaled(cache.y.cols(), cache.pooled.view().row(b), T(1), cache.y.view().row(t));
      }
    }
    return cache.pooled;
  }

  /// The gradient of y for a gradient of the pooled sum: that of its sequence, for every token.
  ConstMatrixView<T> pool_backward(ConstMatrixView<T> dpooled, Cache& cache) const {
    check_shape("SelfAttention::pool_backward: dpooled", dpooled, {cache.sequences.count(), cache.y.cols()});
    cache.dy.resize(cache.y.shape());
    for (Index b = 0; b < cache.sequences.count(); ++b) {
      for (Index t = cache.sequences.begin(b); t < cache.sequences.end(b); ++t) {
        std::copy_n(dpooled.row(b), dpooled.cols(), cache.dy.view().row(t));
      }
    }
    return cache.dy;
  }

  /// `dscores` is a gradient of the scores from elsewhere, or empty. After forward the scores are scores_of(cache).
  InputGradients backward(ConstMatrixView<T> dy, Cache& cache, Parameters& grads,
                          ConstMatrixView<T> dscores = {}) const {
    check_shape("SelfAttention::backward: dy", dy, cache.y.shape());
    if (!dscores.empty()) check_shape("SelfAttention::backward: dscores", dscores, cache.weights.shape());
    cache.dmemory.resize(dy.shape());
    cache.dscores.resize(cache.weights.shape());
    for (Index t = 0; t < dy.rows(); ++t) {
      cache.dscores(t, 0) = simd::dot(dy.cols(), dy.row(t), cache.memory.row(t));
      simd::set_scaled(dy.cols(), cache.dmemory.view().row(t), cache.weights(t, 0), dy.row(t));
    }
    softmax_over_tokens_backward<T>(cache.weights, cache.sequences, cache.dscores, cache.dscores);
    if (!dscores.empty()) add<T>(cache.dscores, dscores, cache.dscores);
    return {score_backward(cache.dscores, cache, grads), cache.dmemory};
  }
  [[nodiscard]] static ConstMatrixView<T> scores_of(const Cache& cache) { return cache.fc2.y; }

  /// The scores of x alone, for who takes the softmax elsewhere: over a stream, for example.
  ConstMatrixView<T> scores_forward(ConstMatrixView<T> x, Cache& cache) const { return score(x, cache); }
  ConstMatrixView<T> scores_backward(ConstMatrixView<T> dscores, Cache& cache, Parameters& grads) const {
    check_shape("SelfAttention::scores_backward: dscores", dscores, cache.fc2.y.shape());
    return score_backward(dscores, cache, grads);
  }

  /// The weights as a prior for an attention that adds it to its scores: 0 where they are uniform.
  ///
  ///     prior_t = log(n alpha_t) = s_t - log(1/n sum_u e^s_u),   n the tokens of the sequence
  ///     ds_t = dprior_t - alpha_t sum_u dprior_u
  ///
  /// The weights alpha are in cache.weights.
  ConstVectorView<T> log_prior_forward(ConstMatrixView<T> x, const Sequences& sequences, Cache& cache) const {
    check_sequences("SelfAttention::log_prior_forward: x", x.rows(), sequences);
    cache.sequences = sequences;
    const auto scores = score(x, cache);
    set_weights(scores, sequences, cache);
    cache.log_weights.resize(scores.shape());
    log_softmax_over_tokens_forward<T>(scores, sequences, cache.log_weights);
    cache.log_prior.resize({scores.rows()});
    for (Index b = 0; b < sequences.count(); ++b) {
      const T log_length = std::log(static_cast<T>(std::max<Index>(1, sequences.length(b))));
      for (Index t = sequences.begin(b); t < sequences.end(b); ++t) {
        cache.log_prior(t) = cache.log_weights(t, 0) + log_length;
      }
    }
    return cache.log_prior;
  }

  /// The gradient of x for one of the prior.
  ConstMatrixView<T> log_prior_backward(ConstVectorView<T> dprior, Cache& cache, Parameters& grads) const {
    check_shape("SelfAttention::log_prior_backward: dprior", dprior, cache.log_prior.shape());
    cache.dscores.resize(cache.log_weights.shape());
    log_softmax_over_tokens_backward<T>(cache.log_weights, cache.sequences,
                                        ConstMatrixView<T>(dprior.data(), cache.log_weights.shape()), cache.dscores);
    return score_backward(cache.dscores, cache, grads);
  }

 private:
  [[nodiscard]] ConstMatrixView<T> score(ConstMatrixView<T> x, Cache& cache) const {
    const auto before = parameters_.fc1.forward(x, cache.fc1);
    cache.hidden.resize(before.shape());
    activation_forward<T>(Activation::relu, before, cache.hidden);
    return parameters_.fc2.forward(cache.hidden, cache.fc2);
  }
  /// The gradient of x.
  [[nodiscard]] ConstMatrixView<T> score_backward(ConstMatrixView<T> dscores, Cache& cache, Parameters& grads) const {
    const auto dhidden = parameters_.fc2.backward(dscores, cache.fc2, grads.fc2.parameters());
    cache.dhidden.resize(dhidden.shape());
    activation_backward<T>(Activation::relu, cache.fc1.y, cache.hidden, dhidden, cache.dhidden);
    return parameters_.fc1.backward(cache.dhidden, cache.fc1, grads.fc1.parameters());
  }
  static void set_weights(ConstMatrixView<T> scores, const Sequences& sequences, Cache& cache) {
    cache.weights.resize(scores.shape());
    softmax_over_tokens_forward<T>(scores, sequences, cache.weights);
  }

  Config config_;
  Parameters parameters_;
};

}  // namespace MAT_ABI
}  // namespace mat
