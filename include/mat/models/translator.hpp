#pragma once

#include <mat/blocks/transformer_decoder.hpp>
#include <mat/blocks/transformer_encoder.hpp>
#include <mat/models/source_memory.hpp>
#include <mat/models/token_input.hpp>

namespace mat {
inline namespace MAT_ABI {

/// A Transformer that translates: token ids of a source and of the translation so far to scores of the next token.
///
///     H = encoder(x),   Y = decoder(y, source_memory(H)),   logits = Y E^T + output_bias,
///     x, y = sqrt(d) embeddings + positions
///
/// Its kind says what the decoder attends to: H, as in a Transformer, or the article's memory of it (see SourceMemory).
///
/// Source:  Vaswani et al. (2017), "Attention is all you need"; Press & Wolf (2017), "Using the output embedding to
///          improve language models" (tied embeddings); the article's MemoryLayer and SelfAttention.
/// Shapes:  source [source tokens]; target [target tokens]; logits [target tokens, target_vocabulary].
/// Errors:  ValueError for sizes that do not fit or an id outside of its vocabulary; ShapeError if an input does not.
/// Threads: const; one model serves any number of threads, each with a cache of its own.
template <class T>
class Translator {
 public:
  struct Config {
    Index source_vocabulary = 0;
    Index target_vocabulary = 0;
    bool share_embeddings = true;  ///< One embedding for both sides, whose vocabularies are then one.
    bool tie_output = true;        ///< E is the target's embedding, instead of a matrix of its own.
    TransformerLayerConfig<T> layer = norms_first();
    Index num_encoder_layers = 3;
    Index num_decoder_layers = 3;
    TranslatorKind kind = TranslatorKind::vanilla;
    Index memory_hidden = 0;      ///< Hidden size of memory_layer and self_attention; 0 is dim_feedforward.
    bool memory_residual = true;  ///< Of mat_prior.

   private:
    [[nodiscard]] static TransformerLayerConfig<T> norms_first() {
      TransformerLayerConfig<T> layer;
      layer.norm_first = true;
      return layer;
    }
  };

  struct Parameters {
    Embedding<T> embedding;                        // of the source, and if shared of the target
    std::optional<Embedding<T>> target_embedding;  // if not shared
    TransformerEncoder<T> encoder;
    TransformerDecoder<T> decoder;
    SourceMemory<T> source_memory;  // named memory_layer and self_attention, without a prefix
    Matrix<T> output_weight;        // [target_vocabulary, d_model], if not tied
    Vector<T> output_bias;          // [target_vocabulary]

    template <class Visitor, class... P>
    static void visit(Visitor&& visitor, P&... p) {
      visit_layer("embedding", visitor, p.embedding...);
      visit_optional_layer("target_embedding", visitor, p.target_embedding...);
      visit_layer("encoder", visitor, p.encoder...);
      visit_layer("decoder", visitor, p.decoder...);
      SourceMemory<T>::Parameters::visit(visitor, p.source_memory.parameters()...);
      visit_tensor("output_weight", visitor, p.output_weight...);
      visit_tensor("output_bias", visitor, p.output_bias...);
    }
  };

  /// Sentences and what is known of their translations. The ids stay with the caller and must live until backward.
  struct Batch {
    ConstVectorView<Index> source;  ///< [source tokens]
    ConstVectorView<Index> target;  ///< [target tokens]: what the decoder reads, a token that begins it first.
    const Sequences* source_sequences = nullptr;
    const Sequences* target_sequences = nullptr;
  };

  struct Cache {
    typename TokenInput<T>::Cache source, target;
    typename TransformerEncoder<T>::Cache encoder;
    typename TransformerDecoder<T>::Cache decoder;
    typename SourceMemory<T>::Cache source_memory;
    ConstMatrixView<T> decoded;  // [target tokens, d_model]
    Matrix<T> logits;            // [target tokens, target_vocabulary]
    Matrix<T> ddecoded;          // [target tokens, d_model]
    Vector<T> dprior;            // [source tokens]
  };

  Translator(const Config& config, const Random& random)
      : config_(checked(config)), parameters_(initial(config_, random)), input_(config.layer.d_model) {}

  [[nodiscard]] const Config& config() const { return config_; }
  [[nodiscard]] const Parameters& parameters() const { return parameters_; }
  [[nodiscard]] Parameters& parameters() { return parameters_; }
  [[nodiscard]] const Embedding<T>& target_embedding() const { return target_embedding_of(parameters_); }
  /// E of the equation.
  [[nodiscard]] ConstMatrixView<T> output_weight() const { return output_weight_of(parameters_).view(); }

  /// Scores of the token that follows each token of the targets. They see the tokens before them and their source.
  ConstMatrixView<T> forward(const Batch& batch, const Dropout& dropout, Cache& cache) const {
    return forward_embedded(embed_source(batch, dropout, cache), batch, dropout, cache);
  }
  /// Ids have no gradient: nothing is returned.
  void backward(ConstMatrixView<T> dlogits, Cache& cache, Parameters& grads) const {
    embed_source_backward(backward_embedded(dlogits, cache, grads), cache, grads);
  }

  // The two halves of both, between which another model may read the source: x [source tokens, d_model].

  ConstMatrixView<T> embed_source(const Batch& batch, const Dropout& dropout, Cache& cache) const {
    check_ids(batch);
    return input_.forward(parameters_.embedding, batch.source, *batch.source_sequences, dropout.split(0), cache.source);
  }
  void embed_source_backward(ConstMatrixView<T> dx, Cache& cache, Parameters& grads) const {
    input_.backward(parameters_.embedding, dx, cache.source, grads.embedding.parameters());
  }
  /// The logits for what embed_source returned, or for rows that stand for it and live until backward_embedded.
  ConstMatrixView<T> forward_embedded(ConstMatrixView<T> x, const Batch& batch, const Dropout& dropout,
                                      Cache& cache) const {
    const Parameters& p = parameters_;
    check_shape("Translator::forward_embedded: x", x, {batch.source.size(), config_.layer.d_model});
    const auto encoded = p.encoder.forward(x, *batch.source_sequences, {{}, dropout.split(1)}, cache.encoder);
    const auto memory = p.source_memory.forward(encoded, *batch.source_sequences, cache.source_memory);
    const auto y =
        input_.forward(target_embedding(), batch.target, *batch.target_sequences, dropout.split(2), cache.target);
    cache.decoded = p.decoder.forward(
        {y, memory.keys, batch.target_sequences, batch.source_sequences, memory.values},
        {AttentionMask<T>::causal(), AttentionMask<T>::none().and_key_bias(memory.prior), dropout.split(3)},
        cache.decoder);
    cache.logits.resize({y.rows(), config_.target_vocabulary});
    matmul<T>(cache.decoded, transposed<T>(output_weight()), cache.logits, p.output_bias);
    return cache.logits;
  }
  /// The gradient of x.
  ConstMatrixView<T> backward_embedded(ConstMatrixView<T> dlogits, Cache& cache, Parameters& grads) const {
    check_shape("Translator::backward: dlogits", dlogits, cache.logits.shape());
    const Parameters& p = parameters_;
    matmul_add<T>(transposed<T>(dlogits), cache.decoded, output_weight_of(grads));
    add_column_sums<T>(dlogits, grads.output_bias);
    cache.ddecoded.resize(cache.decoded.shape());
    matmul<T>(dlogits, output_weight(), cache.ddecoded);
    const bool prior = config_.kind == TranslatorKind::mat_prior;
    cache.dprior.resize({prior ? cache.source.positions.y.rows() : 0});
    cache.dprior.fill(T(0));
    const auto d = p.decoder.backward(cache.ddecoded, cache.decoder, grads.decoder.parameters(), cache.dprior);
    input_.backward(target_embedding(), d.dtgt, cache.target, target_embedding_of(grads).parameters());
    const auto dencoded =
        p.source_memory.backward(d, cache.dprior, cache.source_memory, grads.source_memory.parameters());
    return p.encoder.backward(dencoded, cache.encoder, grads.encoder.parameters());
  }

  /// After forward: the weights with which the tokens of target b looked at those of their source, in one layer of the
  /// decoder: [nhead, target tokens, source tokens].
  [[nodiscard]] Tensor<T, 3> cross_attention(const Cache& cache, Index layer, Index b) const {
    check_value(layer >= 0 && layer < config_.num_decoder_layers, "Translator::cross_attention: layer", layer,
                "below num_decoder_layers, ", config_.num_decoder_layers);
    const auto i = static_cast<std::size_t>(layer);
    const auto& attention = parameters_.decoder.parameters().layers[i].parameters().multihead_attn;
    return attention.weights(cache.decoder.layers[i].multihead_attn, b);
  }
  /// After forward: alpha [source tokens, 1]; empty for a vanilla Transformer.
  [[nodiscard]] ConstMatrixView<T> source_weights(const Cache& cache) const {
    return cache.source_memory.self_attention.weights;
  }

 private:
  [[nodiscard]] static Config checked(Config config) {
    const Index source = config.source_vocabulary, target = config.target_vocabulary;
    check_value(source >= 1, "Translator: source_vocabulary", source, "at least 1");
    check_value(target >= 1, "Translator: target_vocabulary", target, "at least 1");
    check_value(!config.share_embeddings || source == target, "Translator: target_vocabulary with share_embeddings",
                target, "that of the source, ", source);
    check_value(config.layer.d_model >= 1, "Translator: d_model", config.layer.d_model, "at least 1");
    check_value(config.memory_hidden >= 0, "Translator: memory_hidden", config.memory_hidden, "at least 0");
    if (config.memory_hidden == 0) config.memory_hidden = config.layer.dim_feedforward;
    return config;
  }

  /// Embeddings of size 1 once they are scaled, and as an output of about that too.
  [[nodiscard]] static Parameters initial(const Config& c, const Random& random) {
    const Index d = c.layer.d_model;
    const double deviation = 1 / std::sqrt(static_cast<double>(d));
    const bool norm = c.layer.norm_first;
    Parameters p{Embedding<T>({c.source_vocabulary, d, {}, false}, random.split(0)),
                 {},
                 TransformerEncoder<T>({c.layer, c.num_encoder_layers, norm}, random.split(1)),
                 TransformerDecoder<T>({c.layer, c.num_decoder_layers, norm}, random.split(2)),
                 SourceMemory<T>({c.kind, d, c.memory_hidden, c.memory_residual}, random.split(5)),
                 {},
                 Vector<T>({c.target_vocabulary})};
    initialize_normal<T>(p.embedding.parameters().weight, deviation, random.split(0));
    if (!c.share_embeddings) {
      p.target_embedding.emplace(typename Embedding<T>::Config{c.target_vocabulary, d, {}, false}, random.split(3));
      initialize_normal<T>(p.target_embedding->parameters().weight, deviation, random.split(3));
    }
    if (!c.tie_output) {
      p.output_weight.resize({c.target_vocabulary, d});
      initialize_normal<T>(p.output_weight, deviation, random.split(4));
    }
    return p;
  }

  // For parameters and gradients alike.
  template <class P>
  [[nodiscard]] static auto& target_embedding_of(P& p) {
    return p.target_embedding ? *p.target_embedding : p.embedding;
  }
  template <class P>
  [[nodiscard]] static auto& output_weight_of(P& p) {
    return p.output_weight.empty() ? target_embedding_of(p).parameters().weight : p.output_weight;
  }

  void check_ids(const Batch& batch) const {
    detail::check_ids("Translator::forward: source", batch.source, config_.source_vocabulary);
    detail::check_ids("Translator::forward: target", batch.target, config_.target_vocabulary);
    check_sequences("Translator::forward: source", batch.source.size(), batch.source_sequences);
    check_sequences("Translator::forward: target", batch.target.size(), batch.target_sequences);
    check_value(batch.source_sequences->count() == batch.target_sequences->count(), "Translator::forward: targets",
                batch.target_sequences->count(), "as many as sources, ", batch.source_sequences->count());
  }

  Config config_;
  Parameters parameters_;
  TokenInput<T> input_;
};

}  // namespace MAT_ABI
}  // namespace mat
