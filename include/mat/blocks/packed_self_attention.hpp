#pragma once

#include <mat/layers/multi_head_attention.hpp>
#include <mat/layers/packed_linear.hpp>

namespace mat {
inline namespace MAT_ABI {

/// The self-attention of a MultiHeadAttention for inference: the same numbers, from packed weights.
///
/// Tokens may attend to earlier ones of their sequence, whose keys and values the caller keeps.
///
/// Shapes:  x, y [tokens, embed_dim].
/// Errors:  ValueError for a layer with keys or relative positions of its own, or weights that the storage cannot hold;
///          ShapeError if x does not fit.
/// Threads: const; one layer serves any number of threads, each with a cache of its own.
template <class T>
class PackedSelfAttention {
 public:
  /// Memory to work in.
  struct Cache {
    Matrix<T> qkv;  // [tokens, embed_dim + 2 kv_heads head_dim]
    Vector<Index> first_queries, first_keys;
    typename RotaryPosition<T>::Cache rotary_queries, rotary_keys;
    AttentionCache<T> attention;
  };

  /// Where the keys and values of a sequence's tokens lie, the new ones' places included.
  struct Memory {
    PackedKeys<T>& keys;
    MatrixView<T> values;  // [rows of `sequences`, kv_heads head_dim]
    const Sequences& sequences;
  };

  explicit PackedSelfAttention(const MultiHeadAttention<T>& layer, WeightStorage storage)
      : config_(layer.config()),
        in_proj_(checked(layer).in_proj_weight, checked(layer).in_proj_bias, storage),
        out_proj_(layer.parameters().out_proj, storage) {
    if (config_.rotary) rotary_.emplace(*config_.rotary);
    if (config_.alibi) alibi_slopes_ = alibi_slopes<T>(config_.num_heads);
  }

  /// Bytes of the weights that one token reads.
  [[nodiscard]] Index bytes() const { return in_proj_.bytes() + out_proj_.bytes(); }
  [[nodiscard]] Index embed_dim() const { return config_.embed_dim; }
  [[nodiscard]] Index kv_heads() const { return config_.kv_heads; }
  [[nodiscard]] Index head_dim() const { return config_.embed_dim / config_.num_heads; }

  /// The heads' outputs, before `project`. Without a memory each sequence attends to itself alone.
  ConstMatrixView<T> attend(ConstMatrixView<T> x, const Sequences& sequences, const AttentionMask<T>& mask,
                            const Memory* memory, Cache& cache) const {
    check_shape("PackedSelfAttention::attend: x", x, {kAny, config_.embed_dim});
    check_sequences("PackedSelfAttention::attend: x", x.rows(), sequences);
    if (memory != nullptr) check_memory(sequences, *memory);
    const Index d = config_.embed_dim, kv = kv_heads() * head_dim();
    in_proj_.forward(x, cache.qkv);
    const MatrixView<T> q = cache.qkv.view().middle_cols(0, d), k = cache.qkv.view().middle_cols(d, kv),
                        v = cache.qkv.view().middle_cols(d + kv, kv);
    const Sequences& keys = memory == nullptr ? sequences : memory->sequences;
    if (rotary_) rotate(sequences, keys, mask, q, k, cache);
    if (memory != nullptr) {
      append(k, v, sequences, *memory);
    }
    AttentionOptions<T> options;
    options.heads = config_.num_heads;
    options.kv_heads = config_.kv_heads;
    options.scale = config_.scale;
    options.softcap = config_.softcap;
    options.mask = mask;
    options.alibi_slopes = alibi_slopes_;
    const AttentionInputs<T> inputs = memory == nullptr
                                          ? AttentionInputs<T>{q, k, v, sequences, keys}
                                          : AttentionInputs<T>{q, {}, memory->values, sequences, keys, &memory->keys};
    return attention_forward(options, inputs, cache.attention);
  }
  /// y = attended Wo^T + bo.
  ConstMatrixView<T> project(ConstMatrixView<T> attended, Matrix<T>& y) const { return out_proj_.forward(attended, y); }

 private:
  [[nodiscard]] static const typename MultiHeadAttention<T>::Parameters& checked(const MultiHeadAttention<T>& layer) {
    check_value(layer.added_keys() == 0, "PackedSelfAttention: keys that the layer adds", layer.added_keys(), "0");
    check_value(!layer.config().relative, "PackedSelfAttention: relative positions", Index{1}, "0");
    check_value(!layer.parameters().in_proj_weight.empty(), "PackedSelfAttention: kdim", layer.config().kdim,
                "that of the queries, ", layer.config().embed_dim);
    return layer.parameters();
  }

  void check_memory(const Sequences& sequences, const Memory& memory) const {
    constexpr std::string_view kWhat = "PackedSelfAttention::attend: memory's";
    const auto& keys = memory.keys.config();
    check_value(keys.kv_heads == kv_heads(), {kWhat, "kv_heads"}, keys.kv_heads, "those of the layer, ", kv_heads());
    check_value(keys.head_dim == head_dim(), {kWhat, "head_dim"}, keys.head_dim, "that of the layer, ", head_dim());
    check_value(keys.batch == sequences.count(), {kWhat, "batch"}, keys.batch, "the number of sequences, ",
                sequences.count());
    check_value(memory.sequences.count() == sequences.count(), {kWhat, "sequences"}, memory.sequences.count(),
                "as many as those of x, ", sequences.count());
    check_shape({kWhat, "values"}, memory.values, {memory.sequences.rows(), kv_heads() * head_dim()});
    for (Index b = 0; b < sequences.count(); ++b) {
      const Index all = memory.sequences.length(b);
      check_value(all <= keys.capacity, {kWhat, "tokens of a sequence"}, all, "at most its capacity, ", keys.capacity);
      check_value(all >= sequences.length(b), {kWhat, "tokens of a sequence"}, all, "at least those of x, ",
                  sequences.length(b));
    }
  }

  /// As MultiHeadAttention, where keys are counted from 0; only new keys are rotated, each once.
  void rotate(const Sequences& sequences, const Sequences& keys, const AttentionMask<T>& mask, MatrixView<T> q,
              MatrixView<T> k, Cache& cache) const {
    cache.first_queries.resize({sequences.count()});
    cache.first_keys.resize({sequences.count()});
    for (Index b = 0; b < sequences.count(); ++b) {
      cache.first_queries(b) = mask.offset(sequences.length(b), keys.length(b));
      cache.first_keys(b) = keys.length(b) - sequences.length(b);
    }
    rotary_->prepare(sequences, cache.first_queries, cache.rotary_queries);
    rotary_->prepare(sequences, cache.first_keys, cache.rotary_keys);
    rotary_->forward(q, q, cache.rotary_queries);
    rotary_->forward(k, k, cache.rotary_keys);
  }

  /// The new keys and values become the last ones of their sequences.
  static void append(ConstMatrixView<T> k, ConstMatrixView<T> v, const Sequences& sequences, const Memory& memory) {
    for (Index b = 0; b < sequences.count(); ++b) {
      const Index first = memory.sequences.length(b) - sequences.length(b);
      for (Index i = 0; i < sequences.length(b); ++i) {
        const Index row = sequences.begin(b) + i;
        memory.keys.set(b, first + i, k.row(row));
        std::copy_n(v.row(row), v.cols(), memory.values.row(memory.sequences.begin(b) + first + i));
      }
    }
  }

  typename MultiHeadAttention<T>::Config config_;
  PackedLinear<T> in_proj_, out_proj_;
  std::optional<RotaryPosition<T>> rotary_;
  Vector<T> alibi_slopes_;  // [num_heads], or empty
};

}  // namespace MAT_ABI
}  // namespace mat
