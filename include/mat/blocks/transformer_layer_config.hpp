#pragma once

#include <mat/layers/feed_forward.hpp>
#include <mat/layers/layer_norm.hpp>
#include <mat/layers/multi_head_attention.hpp>

namespace mat {
inline namespace MAT_ABI {

/// What a layer of an encoder and one of a decoder are told, and what they tell the layers inside them.
///
/// Source:  PyTorch nn.TransformerEncoderLayer and nn.TransformerDecoderLayer, with their names and defaults.
template <class T>
struct TransformerLayerConfig {
  Index d_model = 0;
  Index nhead = 1;
  Index dim_feedforward = 2048;
  Activation activation = Activation::relu;
  double layer_norm_eps = 1e-5;
  bool norm_first = false;
  bool bias = true;
  bool gated = false;  ///< A gated feed-forward: SwiGLU with silu, GEGLU with gelu.
  /// What PyTorch's layer has no word for: shared key/value heads, softcap, ALiBi, rotary positions. Its embed_dim,
  /// num_heads and bias are taken from above.
  typename MultiHeadAttention<T>::Config attention;

  [[nodiscard]] typename MultiHeadAttention<T>::Config self_attention_config() const {
    auto config = attention;
    config.embed_dim = d_model;
    config.num_heads = nhead;
    config.bias = bias;
    return config;
  }
  /// Attention to the tokens of another sequence: their positions have nothing to do with those of the queries.
  [[nodiscard]] typename MultiHeadAttention<T>::Config cross_attention_config() const {
    auto config = self_attention_config();
    config.alibi = false;
    config.rotary.reset();
    config.relative.reset();
    return config;
  }
  [[nodiscard]] typename FeedForward<T>::Config feed_forward_config() const {
    typename FeedForward<T>::Config config;
    config.features = d_model;
    config.hidden = dim_feedforward;
    config.activation = activation;
    config.bias = bias;
    config.gated = gated;
    return config;
  }
  [[nodiscard]] typename LayerNorm<T>::Config norm_config() const {
    typename LayerNorm<T>::Config config;
    config.features = d_model;
    config.epsilon = layer_norm_eps;
    config.bias = bias;
    return config;
  }
};

}  // namespace MAT_ABI
}  // namespace mat
