#pragma once

#include <mat/layers/embedding.hpp>
#include <mat/memory/recurrent_encoder.hpp>

namespace mat {
inline namespace MAT_ABI {

/// Tells the next token of a sequence of any length, read segment by segment with a memory between segments.
///
///     y = decoder(embedding(tokens)),   logits = y W^T        W: the head's weight, or with `tied` the embedding's
///
/// Source:  Vaswani et al. (2017), "Attention is all you need", sections 3.1 (causal) and 3.4; Press & Wolf (2017),
///          "Using the output embedding to improve language models" (tied); the memories have their own.
/// Shapes:  tokens [tokens]; logits [tokens, vocabulary].
/// Errors:  ValueError for sizes that do not fit or an id outside of the vocabulary; ShapeError if dlogits or a state
///          does not fit.
/// Threads: const; one model serves any number of threads, each with states and caches of its own.
template <class T, class Memory>
class LanguageModel {
 public:
  using Decoder = RecurrentEncoder<T, Memory>;

  struct Config {
    Index vocabulary = 0;
    typename Decoder::Config decoder;  ///< Causal in any case.
    bool tied = false;
    double initial_scale = 0.1;  ///< Standard deviation of the first embedding.
  };

  struct Parameters {
    Embedding<T> embedding;
    Decoder decoder;
    std::optional<Linear<T>> head;  // without a bias; none if tied

    template <class Visitor, class... P>
    static void visit(Visitor&& visitor, P&... p) {
      visit_layer("embedding", visitor, p.embedding...);
      visit_layer("decoder", visitor, p.decoder...);
      visit_optional_layer("head", visitor, p.head...);
    }
  };

  using State = typename Decoder::State;
  using Output = ConstMatrixView<T>;

  /// The tokens of a segment: sequence b of the batch goes on with its tokens, if it has any.
  struct Segment {
    ConstVectorView<Index> tokens;
    const Sequences* sequences = nullptr;
  };

  /// What the forward of one segment leaves for its backward; the tokens and the states must live until then.
  struct Cache {
    Dropout dropout;
    typename Embedding<T>::Cache embedding;
    Matrix<T> embedded, dembedded;  // with dropout: [tokens, d_model]
    ConstMatrixView<T> dx;          // after a backward, the gradient of the embedded tokens: [tokens, d_model]
    typename Decoder::Cache decoder;
    ConstMatrixView<T> y;  // [tokens, d_model]
    typename Linear<T>::Cache head;
    Matrix<T> logits, dy;  // if tied: [tokens, vocabulary], [tokens, d_model]
  };

  LanguageModel(const Config& config, const Random& random)
      : config_(complete(config)),
        parameters_{Embedding<T>({config.vocabulary, width(config), std::nullopt, false}, random.split(0)),
                    Decoder(config_.decoder, random.split(1)), std::nullopt} {
    Matrix<T>& weight = parameters_.embedding.parameters().weight;
    initialize_normal<T>(weight, config.initial_scale, random.split(0));
    if (!config.tied)
      parameters_.head.emplace(typename Linear<T>::Config{width(config), config.vocabulary, false}, random.split(2));
  }

  [[nodiscard]] const Config& config() const { return config_; }
  [[nodiscard]] const Parameters& parameters() const { return parameters_; }
  [[nodiscard]] Parameters& parameters() { return parameters_; }

  void initial(Index batch, State& state) const { parameters_.decoder.initial(batch, state); }
  void initial_backward(const State& dstate, Parameters& grads) const {
    parameters_.decoder.initial_backward(dstate, grads.decoder.parameters());
  }

  /// The logits of one segment; `next` receives what is remembered after it, and may be null.
  ConstMatrixView<T> forward(const Segment& segment, const State& state, State* next, const Dropout& dropout,
                             Cache& cache) const {
    check_sequences("LanguageModel::forward: tokens", segment.tokens.size(), segment.sequences);
    check_dropout("LanguageModel::forward", dropout);
    cache.dropout = dropout;
    ConstMatrixView<T> x = parameters_.embedding.forward(segment.tokens, cache.embedding);
    if (dropout.rate > 0) {
      cache.embedded.resize(x.shape());
      dropout_forward<T>(dropout.split(0), x, cache.embedded);
      x = cache.embedded;
    }
    cache.y = parameters_.decoder.forward({x, segment.sequences}, state, next, dropout.split(1), cache.decoder);
    if (parameters_.head) return parameters_.head->forward(cache.y, cache.head);
    cache.logits.resize({x.rows(), config_.vocabulary});
    matmul<T>(cache.y, transposed<T>(parameters_.embedding.parameters().weight), cache.logits);
    return cache.logits;
  }

  /// Tokens have no gradient: nothing is returned. Adds to `dstate` and `grads`; `dnext` may be null.
  void backward(ConstMatrixView<T> dlogits, const State* dnext, const State& state, Cache& cache, State& dstate,
                Parameters& grads) const {
    check_shape("LanguageModel::backward: dlogits", dlogits, {cache.y.rows(), config_.vocabulary});
    const auto dy = head_backward(dlogits, cache, grads);
    ConstMatrixView<T> d =
        parameters_.decoder.backward(dy, dnext, state, cache.decoder, dstate, grads.decoder.parameters());
    if (cache.dropout.rate > 0) {
      cache.dembedded.resize(d.shape());
      dropout_backward<T>(cache.dropout.split(0), d, cache.dembedded);
      d = cache.dembedded;
    }
    cache.dx = d;
    parameters_.embedding.backward(d, cache.embedding, grads.embedding.parameters());
  }

 private:
  [[nodiscard]] static Index width(const Config& config) { return config.decoder.encoder.layer.d_model; }
  [[nodiscard]] static Config complete(Config config) {
    config.decoder.causal = true;
    return config;
  }
  [[nodiscard]] ConstMatrixView<T> head_backward(ConstMatrixView<T> dlogits, Cache& cache, Parameters& grads) const {
    if (parameters_.head) return parameters_.head->backward(dlogits, cache.head, grads.head->parameters());
    matmul_add<T>(transposed<T>(dlogits), cache.y, grads.embedding.parameters().weight);
    cache.dy.resize(cache.y.shape());
    matmul<T>(dlogits, parameters_.embedding.parameters().weight, cache.dy);
    return cache.dy;
  }

  Config config_;
  Parameters parameters_;
};

}  // namespace MAT_ABI
}  // namespace mat
