#pragma once

#include <mat/blocks/transformer_layer_config.hpp>
#include <mat/ops/residual.hpp>

#include <optional>

namespace mat {
inline namespace MAT_ABI {

/// What a decoder reads: its own tokens, tgt, and those that they attend to, memory. PyTorch calls so the output of the
/// encoder; it is no memory in the sense of the folder of that name.
template <class T>
struct DecoderInputs {
  ConstMatrixView<T> tgt;     ///< [tgt tokens, d_model]
  ConstMatrixView<T> memory;  ///< [memory tokens, d_model]
  const Sequences* tgt_sequences = nullptr;
  const Sequences* memory_sequences = nullptr;
  /// [memory tokens, d_model]: what the values are made of, if not of the memory itself, of which the keys are made.
  std::optional<ConstMatrixView<T>> memory_values{};
};

/// What differs from call to call of a decoder: the masks of both attentions, and training's dropout.
template <class T>
struct DecoderCall {
  AttentionMask<T> tgt_mask;     ///< Which tokens of tgt a token of tgt sees: usually AttentionMask<T>::causal().
  AttentionMask<T> memory_mask;  ///< Which tokens of memory.
  Dropout dropout;
};

/// The gradients of DecoderInputs, living in the cache; dmemory_values is empty where there are none.
template <class T>
struct DecoderGradients {
  ConstMatrixView<T> dtgt, dmemory, dmemory_values;
};

/// One layer of a Transformer decoder: attention among the tokens of tgt, attention to memory, and a feed-forward
/// network, each with a residual and a norm.
///
///     norm_first = false:  x1 = norm1(tgt + drop(self_attn(tgt)))
///                          x2 = norm2(x1 + drop(multihead_attn(x1, memory)))
///                          y = norm3(x2 + drop(ff(x2)))
///     norm_first = true:   x1 = tgt + drop(self_attn(norm1(tgt)))
///                          x2 = x1 + drop(multihead_attn(norm2(x1), memory))
///                          y = x2 + drop(ff(norm3(x2)))
///
/// Source:  Vaswani et al. (2017), "Attention is all you need", section 3.1; Xiong et al. (2020), "On layer
///          normalization in the Transformer architecture" (norm_first); PyTorch nn.TransformerDecoderLayer, its names.
/// Shapes:  tgt, y [tgt tokens, d_model]; memory [memory tokens, d_model]; as many sequences of either.
/// Errors:  ValueError for sizes that do not fit; ShapeError if an input or dy does not.
/// Threads: const; one layer serves any number of threads, each with a cache of its own.
template <class T>
class DecoderLayer {
 public:
  /// ALiBi and rotary positions are for self_attn alone.
  using Config = TransformerLayerConfig<T>;

  struct Parameters {
    MultiHeadAttention<T> self_attn, multihead_attn;
    FeedForward<T> feed_forward;  // named linear1 and linear2 (and linear3, the gate), without a prefix
    LayerNorm<T> norm1, norm2, norm3;

    template <class Visitor, class... P>
    static void visit(Visitor&& visitor, P&... p) {
      visit_layer("self_attn", visitor, p.self_attn...);
      visit_layer("multihead_attn", visitor, p.multihead_attn...);
      FeedForward<T>::Parameters::visit(visitor, p.feed_forward.parameters()...);
      visit_layer("norm1", visitor, p.norm1...);
      visit_layer("norm2", visitor, p.norm2...);
      visit_layer("norm3", visitor, p.norm3...);
    }
  };

  /// What one forward leaves for its backward; the inputs stay with the caller and must live until then.
  struct Cache {
    Dropout dropout;
    bool separate_values = false;
    typename MultiHeadAttention<T>::Cache self_attn, multihead_attn;
    typename FeedForward<T>::Cache feed_forward;
    typename LayerNorm<T>::Cache norm1, norm2, norm3;
    Matrix<T> sum1, sum2, sum3;  // after the residuals: [tgt tokens, d_model]
    Matrix<T> dsum;              // the gradient of one of them after the other: [tgt tokens, d_model]
    Matrix<T> dbranch;           // of what a residual adds, if dropout changes it: [tgt tokens, d_model]
  };

  DecoderLayer(const Config& config, const Random& random)
      : config_(config),
        parameters_{MultiHeadAttention<T>(config.self_attention_config(), random.split(0)),
                    MultiHeadAttention<T>(config.cross_attention_config(), random.split(1)),
                    FeedForward<T>(config.feed_forward_config(), random.split(2)),
                    LayerNorm<T>(config.norm_config()),
                    LayerNorm<T>(config.norm_config()),
                    LayerNorm<T>(config.norm_config())} {}

  [[nodiscard]] const Config& config() const { return config_; }
  [[nodiscard]] const Parameters& parameters() const { return parameters_; }
  [[nodiscard]] Parameters& parameters() { return parameters_; }

  /// Each sequence of tgt attends to itself and to its sequence of memory, as the masks of the call allow.
  ConstMatrixView<T> forward(const DecoderInputs<T>& inputs, const DecoderCall<T>& call, Cache& cache) const {
    check_sequences("DecoderLayer::forward: tgt", inputs.tgt.rows(), inputs.tgt_sequences);
    check_sequences("DecoderLayer::forward: memory", inputs.memory.rows(), inputs.memory_sequences);
    const Parameters& p = parameters_;
    cache.dropout = call.dropout;
    cache.separate_values = inputs.memory_values.has_value();
    const auto drop = [&](std::uint64_t place) { return call.dropout.split(place); };
    const AttentionCall<T> self_call{call.tgt_mask, drop(0)};
    const auto x = inputs.tgt;
    if (config_.norm_first) {
      const auto n1 = p.norm1.forward(x, cache.norm1);
      const auto a = p.self_attn.forward(n1, *inputs.tgt_sequences, self_call, cache.self_attn);
      residual_forward<T>(x, a, drop(1), cache.sum1);
      const auto n2 = p.norm2.forward(cache.sum1, cache.norm2);
      residual_forward<T>(cache.sum1, attend_to_memory(n2, inputs, call, cache), drop(3), cache.sum2);
      const auto n3 = p.norm3.forward(cache.sum2, cache.norm3);
      residual_forward<T>(cache.sum2, p.feed_forward.forward(n3, drop(4), cache.feed_forward), drop(5), cache.sum3);
      return cache.sum3;
    }
    const auto a = p.self_attn.forward(x, *inputs.tgt_sequences, self_call, cache.self_attn);
    residual_forward<T>(x, a, drop(1), cache.sum1);
    const auto x1 = p.norm1.forward(cache.sum1, cache.norm1);
    residual_forward<T>(x1, attend_to_memory(x1, inputs, call, cache), drop(3), cache.sum2);
    const auto x2 = p.norm2.forward(cache.sum2, cache.norm2);
    residual_forward<T>(x2, p.feed_forward.forward(x2, drop(4), cache.feed_forward), drop(5), cache.sum3);
    return p.norm3.forward(cache.sum3, cache.norm3);
  }

  /// dkey_bias [memory tokens], if not empty, receives the gradient of memory_mask's key_bias.
  DecoderGradients<T> backward(ConstMatrixView<T> dy, Cache& cache, Parameters& grads,
                               VectorView<T> dkey_bias = {}) const {
    const Parameters& p = parameters_;
    const bool first = config_.norm_first;
    typename MultiHeadAttention<T>::ExtraGradients extra;
    extra.dkey_bias = dkey_bias;
    // Gradients of the sums after the residuals, from the last to the first: each goes on to its branch and past it.
    cache.dsum.resize(dy.shape());
    if (!first) dy = p.norm3.backward(dy, cache.norm3, grads.norm3.parameters());
    const auto dff = residual_backward<T>(dy, cache.dropout.split(5), cache.dbranch);
    auto dbranch = p.feed_forward.backward(dff, cache.feed_forward, grads.feed_forward.parameters());
    if (first) dbranch = p.norm3.backward(dbranch, cache.norm3, grads.norm3.parameters());
    add<T>(dy, dbranch, cache.dsum);

    dy = first ? cache.dsum.view() : p.norm2.backward(cache.dsum, cache.norm2, grads.norm2.parameters());
    const auto dcross = residual_backward<T>(dy, cache.dropout.split(3), cache.dbranch);
    const auto d =
        p.multihead_attn.backward_inputs(dcross, cache.multihead_attn, grads.multihead_attn.parameters(), extra);
    dbranch = first ? p.norm2.backward(d.dquery, cache.norm2, grads.norm2.parameters()) : d.dquery;
    add<T>(dy, dbranch, cache.dsum);

    dy = first ? cache.dsum.view() : p.norm1.backward(cache.dsum, cache.norm1, grads.norm1.parameters());
    const auto dself = residual_backward<T>(dy, cache.dropout.split(1), cache.dbranch);
    dbranch = p.self_attn.backward(dself, cache.self_attn, grads.self_attn.parameters());
    if (first) dbranch = p.norm1.backward(dbranch, cache.norm1, grads.norm1.parameters());
    add<T>(dy, dbranch, cache.dsum);
    if (cache.separate_values) return {cache.dsum, d.dkey, d.dvalue};
    Matrix<T>& dmemory = cache.multihead_attn.dkey;
    add<T>(dmemory, d.dvalue, dmemory);
    return {cache.dsum, dmemory, {}};
  }

 private:
  [[nodiscard]] ConstMatrixView<T> attend_to_memory(ConstMatrixView<T> queries, const DecoderInputs<T>& inputs,
                                                    const DecoderCall<T>& call, Cache& cache) const {
    return parameters_.multihead_attn.forward({queries, inputs.memory, inputs.memory_values.value_or(inputs.memory),
                                               inputs.tgt_sequences, inputs.memory_sequences},
                                              {call.memory_mask, call.dropout.split(2)}, cache.multihead_attn);
  }

  Config config_;
  Parameters parameters_;
};

}  // namespace MAT_ABI
}  // namespace mat
