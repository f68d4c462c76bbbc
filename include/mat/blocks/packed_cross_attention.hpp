#pragma once

#include <mat/layers/multi_head_attention.hpp>
#include <mat/layers/packed_linear.hpp>

namespace mat {
inline namespace MAT_ABI {

/// The attention of a MultiHeadAttention to other tokens, for inference: the same numbers, from packed weights.
///
/// The keys and values are computed once (`remember`) and read by any number of queries.
///
/// Shapes:  x, y [query tokens, embed_dim]; key [key tokens, embed_dim], value likewise.
/// Errors:  ValueError for a layer with keys or positions of its own, or weights that the storage cannot hold;
///          ShapeError if an input does not fit.
/// Threads: const; one layer serves any number of threads, each with a cache of its own.
template <class T>
class PackedCrossAttention {
 public:
  /// The keys and values of a batch of sequences.
  struct Memory {
    Sequences sequences;
    PackedKeys<T> keys;
    Matrix<T> values;  // [key tokens, kv_heads head_dim]
  };

  /// Memory to work in.
  struct Cache {
    Matrix<T> q, y;  // [query tokens, embed_dim]
    AttentionCache<T> attention;
  };

  explicit PackedCrossAttention(const MultiHeadAttention<T>& layer, WeightStorage storage)
      : config_(checked(layer.config())),
        q_proj_(projections(layer).query(), projections(layer).query_bias(), storage),
        k_proj_(projections(layer).key(), projections(layer).key_bias(), storage),
        v_proj_(projections(layer).value(), projections(layer).value_bias(), storage),
        out_proj_(layer.parameters().out_proj, storage) {}

  /// Bytes of the weights that one query reads.
  [[nodiscard]] Index bytes() const { return q_proj_.bytes() + out_proj_.bytes(); }

  void remember(ConstMatrixView<T> key, ConstMatrixView<T> value, const Sequences& sequences, Memory& memory) const {
    check_shape("PackedCrossAttention::remember: key", key, {kAny, config_.kdim});
    check_shape("PackedCrossAttention::remember: value", value, {key.rows(), config_.vdim});
    check_sequences("PackedCrossAttention::remember: key", key.rows(), sequences);
    memory.sequences = sequences;
    memory.keys.assign({sequences.count(), config_.kv_heads, head_dim(), std::max<Index>(1, sequences.longest())});
    k_proj_.forward(key, memory.values);
    for (Index b = 0; b < sequences.count(); ++b) {
      for (Index i = 0; i < sequences.length(b); ++i) {
        memory.keys.set(b, i, memory.values.view().row(sequences.begin(b) + i));
      }
    }
    v_proj_.forward(value, memory.values);
  }

  /// Sequence b of x attends to sequence b of the memory.
  ConstMatrixView<T> forward(ConstMatrixView<T> x, const Sequences& sequences, const AttentionMask<T>& mask,
                             const Memory& memory, Cache& cache) const {
    check_shape("PackedCrossAttention::forward: x", x, {kAny, config_.embed_dim});
    AttentionOptions<T> options;
    options.heads = config_.num_heads;
    options.kv_heads = config_.kv_heads;
    options.scale = config_.scale;
    options.softcap = config_.softcap;
    options.mask = mask;
    const auto q = q_proj_.forward(x, cache.q);
    const auto attended = attention_forward<T>(
        options, {q, {}, memory.values, sequences, memory.sequences, &memory.keys}, cache.attention);
    return out_proj_.forward(attended, cache.y);
  }

 private:
  [[nodiscard]] static const typename MultiHeadAttention<T>::Config& checked(
      const typename MultiHeadAttention<T>::Config& config) {
    check_value(!config.add_bias_kv && !config.add_zero_attn, "PackedCrossAttention: keys that the layer adds",
                Index{config.add_bias_kv} + Index{config.add_zero_attn}, "0");
    check_value(!config.rotary && !config.relative && !config.alibi, "PackedCrossAttention: positions of the layer",
                Index{1}, "0");
    return config;
  }
  [[nodiscard]] static auto projections(const MultiHeadAttention<T>& layer) {
    return detail::AttentionProjections<const typename MultiHeadAttention<T>::Parameters>{
        layer.parameters(), layer.config().embed_dim, layer.config().kv_heads * layer.head_dim()};
  }
  [[nodiscard]] Index head_dim() const { return config_.embed_dim / config_.num_heads; }

  typename MultiHeadAttention<T>::Config config_;
  PackedLinear<T> q_proj_, k_proj_, v_proj_, out_proj_;
};

}  // namespace MAT_ABI
}  // namespace mat
