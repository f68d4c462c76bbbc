#pragma once

#include <mat/blocks/decoder_layer.hpp>
#include <mat/blocks/packed_cross_attention.hpp>
#include <mat/blocks/packed_self_attention.hpp>
#include <mat/layers/packed_feed_forward.hpp>

namespace mat {
inline namespace MAT_ABI {

/// A DecoderLayer for inference: the same numbers, from packed weights and without what a backward would need.
///
/// Shapes:  x, y [tokens, d_model].
/// Errors:  as PackedSelfAttention and PackedCrossAttention.
/// Threads: const; one layer serves any number of threads, each with a cache of its own.
template <class T>
class PackedDecoderLayer {
 public:
  using Earlier = typename PackedSelfAttention<T>::Memory;
  using Memory = typename PackedCrossAttention<T>::Memory;

  /// The tokens of a call: each continues a sequence of its own, and attends to a sequence of the memory, which several
  /// of them may share.
  struct Inputs {
    ConstMatrixView<T> x;               // [tokens, d_model]
    const Sequences& sequences;         // as the earlier tokens are divided
    const Sequences& memory_sequences;  // as the memory is
    const AttentionMask<T>& memory_mask;
  };

  /// Memory to work in.
  struct Cache {
    typename LayerNorm<T>::Cache norm1, norm2, norm3;
    typename PackedSelfAttention<T>::Cache self_attn;
    typename PackedCrossAttention<T>::Cache multihead_attn;
    typename PackedFeedForward<T>::Cache feed_forward;
    Matrix<T> branch, sum1, sum2, sum3;  // [tokens, d_model]
  };

  explicit PackedDecoderLayer(const DecoderLayer<T>& layer, WeightStorage storage = WeightStorage::full)
      : norm_first_(layer.config().norm_first),
        self_attn_(layer.parameters().self_attn, storage),
        multihead_attn_(layer.parameters().multihead_attn, storage),
        feed_forward_(layer.parameters().feed_forward, storage),
        norm1_(layer.parameters().norm1),
        norm2_(layer.parameters().norm2),
        norm3_(layer.parameters().norm3) {}

  /// Bytes of the weights that one token reads.
  [[nodiscard]] Index bytes() const { return self_attn_.bytes() + multihead_attn_.bytes() + feed_forward_.bytes(); }
  [[nodiscard]] Index kv_heads() const { return self_attn_.kv_heads(); }
  [[nodiscard]] Index head_dim() const { return self_attn_.head_dim(); }

  /// What the layer attends to, for all calls that read the same tokens.
  void remember(ConstMatrixView<T> keys, ConstMatrixView<T> values, const Sequences& sequences, Memory& memory) const {
    multihead_attn_.remember(keys, values, sequences, memory);
  }

  /// Causal: a token sees the earlier ones of its sequence and itself.
  ConstMatrixView<T> forward(const Inputs& inputs, const Earlier& earlier, const Memory& memory, Cache& cache) const {
    const auto self = [&](ConstMatrixView<T> x) {
      const auto attended =
          self_attn_.attend(x, inputs.sequences, AttentionMask<T>::causal(), &earlier, cache.self_attn);
      return self_attn_.project(attended, cache.branch);
    };
    const auto cross = [&](ConstMatrixView<T> x) {
      return multihead_attn_.forward(x, inputs.memory_sequences, inputs.memory_mask, memory, cache.multihead_attn);
    };
    const auto x = inputs.x;
    for (Matrix<T>* sum : {&cache.sum1, &cache.sum2, &cache.sum3}) sum->resize(x.shape());
    if (norm_first_) {
      add<T>(x, self(norm1_.forward(x, cache.norm1)), cache.sum1);
      add<T>(cache.sum1, cross(norm2_.forward(cache.sum1, cache.norm2)), cache.sum2);
      add<T>(cache.sum2, feed_forward_.forward(norm3_.forward(cache.sum2, cache.norm3), cache.feed_forward),
             cache.sum3);
      return cache.sum3;
    }
    add<T>(x, self(x), cache.sum1);
    const auto x1 = norm1_.forward(cache.sum1, cache.norm1);
    add<T>(x1, cross(x1), cache.sum2);
    const auto x2 = norm2_.forward(cache.sum2, cache.norm2);
    add<T>(x2, feed_forward_.forward(x2, cache.feed_forward), cache.sum3);
    return norm3_.forward(cache.sum3, cache.norm3);
  }

 private:
  bool norm_first_;
  PackedSelfAttention<T> self_attn_;
  PackedCrossAttention<T> multihead_attn_;
  PackedFeedForward<T> feed_forward_;
  LayerNorm<T> norm1_, norm2_, norm3_;
};

}  // namespace MAT_ABI
}  // namespace mat
