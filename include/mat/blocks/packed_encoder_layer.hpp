#pragma once

#include <mat/blocks/encoder_layer.hpp>
#include <mat/layers/packed_linear.hpp>

#include <deque>

namespace mat {
inline namespace MAT_ABI {

/// An EncoderLayer for inference: the same numbers, from packed weights and without what a backward would need.
///
/// Tokens may attend to earlier ones of their sequence, whose keys and values the caller keeps.
///
/// Shapes:  x, y [tokens, d_model].
/// Errors:  ValueError for a layer with keys of its own (add_bias_kv, add_zero_attn), or weights that the storage
/// cannot
///          hold; ShapeError if x does not fit.
/// Threads: const; one layer serves any number of threads, each with a cache of its own.
template <class T>
class PackedEncoderLayer {
 public:
  /// What one thread needs for a chunk of tokens.
  struct Chunk {
    Matrix<T> branch, sum, hidden, gate;  // [rows, d_model] twice, [rows, dim_feedforward] twice
    typename LayerNorm<T>::Cache norm;
  };
  /// Memory to work in.
  struct Cache {
    typename LayerNorm<T>::Cache norm1;  // with the norms first
    Matrix<T> qkv;                       // [tokens, d_model + 2 kv_dim]
    Vector<Index> first_queries, first_keys;
    typename RotaryPosition<T>::Cache rotary_queries, rotary_keys;
    AttentionCache<T> attention;
    std::deque<Chunk> chunks;  // of each thread
    Matrix<T> y;               // [tokens, d_model]
  };

  /// Where the keys and values of a sequence's tokens lie, the new ones' places included.
  struct Memory {
    PackedKeys<T>& keys;
    MatrixView<T> values;  // [rows of `sequences`, kv_dim]
    const Sequences& sequences;
  };

  explicit PackedEncoderLayer(const EncoderLayer<T>& layer, WeightStorage storage = WeightStorage::full)
      : config_(layer.parameters().self_attn.config()),
        activation_(layer.config().activation),
        norm_first_(layer.config().norm_first),
        in_proj_(checked(layer).in_proj_weight, checked(layer).in_proj_bias, storage),
        out_proj_(layer.parameters().self_attn.parameters().out_proj, storage),
        linear1_(layer.parameters().feed_forward.parameters().linear1, storage),
        linear2_(layer.parameters().feed_forward.parameters().linear2, storage),
        norm1_(layer.parameters().norm1),
        norm2_(layer.parameters().norm2) {
    const auto& gate = layer.parameters().feed_forward.parameters().linear3;
    if (gate) linear3_.emplace(*gate, storage);
    if (config_.rotary) rotary_.emplace(*config_.rotary);
    if (config_.alibi) alibi_slopes_ = alibi_slopes<T>(config_.num_heads);
  }

  /// Bytes of the weights that one token reads.
  [[nodiscard]] Index bytes() const {
    return in_proj_.bytes() + out_proj_.bytes() + linear1_.bytes() + linear2_.bytes() +
           (linear3_ ? linear3_->bytes() : 0);
  }
  [[nodiscard]] Index kv_heads() const { return config_.kv_heads; }
  [[nodiscard]] Index head_dim() const { return config_.embed_dim / config_.num_heads; }

  /// Without a memory each sequence attends to itself.
  ConstMatrixView<T> forward(ConstMatrixView<T> x, const Sequences& sequences, const AttentionMask<T>& mask,
                             const Memory* memory, Cache& cache) const {
    check_shape("PackedEncoderLayer::forward: x", x, {kAny, config_.embed_dim});
    check_sequences("PackedEncoderLayer::forward: x", x.rows(), sequences);
    if (memory != nullptr) check_memory(sequences, *memory);
    const auto attended = attend(norm_first_ ? norm1_.forward(x, cache.norm1) : x, sequences, mask, memory, cache);
    cache.y.resize(x.shape());
    const auto threads = static_cast<std::size_t>(max_threads());
    if (cache.chunks.size() < threads) cache.chunks.resize(threads);
    // Everything after attention is done for some tokens at a time, so that what lies between stays near the processor.
    const Index most = chunk_rows(), chunks = (x.rows() + most - 1) / most;
    parallel_for(chunks, x.rows() * bytes() / static_cast<Index>(sizeof(T)), [&](Index i, Index thread) {
      const Index first = i * most, rows = std::min(most, x.rows() - first);
      after_attention(x.middle_rows(first, rows), attended.middle_rows(first, rows),
                      cache.y.view().middle_rows(first, rows), cache.chunks[static_cast<std::size_t>(thread)]);
    });
    return cache.y;
  }

 private:
  [[nodiscard]] static const typename MultiHeadAttention<T>::Parameters& checked(const EncoderLayer<T>& layer) {
    const MultiHeadAttention<T>& attention = layer.parameters().self_attn;
    check_value(attention.added_keys() == 0, "PackedEncoderLayer: keys that the layer adds", attention.added_keys(),
                "0");
    check_value(!attention.parameters().in_proj_weight.empty(), "PackedEncoderLayer: kdim", attention.config().kdim,
                "that of the queries, ", attention.config().embed_dim);
    return attention.parameters();
  }

  void check_memory(const Sequences& sequences, const Memory& memory) const {
    constexpr std::string_view kWhat = "PackedEncoderLayer::forward: memory's";
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

  /// The heads' outputs, before the projection.
  [[nodiscard]] ConstMatrixView<T> attend(ConstMatrixView<T> x, const Sequences& sequences,
                                          const AttentionMask<T>& mask, const Memory* memory, Cache& cache) const {
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

  /// Tokens of a chunk: half a MiB of what the feed-forward holds, and enough to pay for reading its weights.
  [[nodiscard]] Index chunk_rows() const {
    const Index fits = 512 * 1024 / (linear1_.out_features() * static_cast<Index>(sizeof(T)));
    return std::clamp<Index>(fits, 96, 480) / 24 * 24;
  }

  void after_attention(ConstMatrixView<T> x, ConstMatrixView<T> attended, MatrixView<T> y, Chunk& chunk) const {
    chunk.sum.resize(x.shape());
    add<T>(x, out_proj_.forward(attended, chunk.branch), chunk.sum);
    if (norm_first_) {
      const auto branch = feed_forward(norm2_.forward(chunk.sum, chunk.norm), chunk);
      return add<T>(chunk.sum, branch, y);
    }
    const auto x1 = norm1_.forward(chunk.sum, chunk.norm);
    add<T>(x1, feed_forward(x1, chunk), chunk.sum);
    const auto& p = norm2_.parameters();
    layer_norm_forward<T>(chunk.sum, {p.weight, p.bias}, norm2_.config().epsilon, y, chunk.norm.statistics);
  }

  [[nodiscard]] ConstMatrixView<T> feed_forward(ConstMatrixView<T> x, Chunk& chunk) const {
    linear1_.forward(x, chunk.hidden);
    activation_forward<T>(activation_, chunk.hidden, chunk.hidden);
    if (linear3_) gate_forward<T>(chunk.hidden, linear3_->forward(x, chunk.gate), chunk.hidden);
    return linear2_.forward(chunk.hidden, chunk.branch);
  }

  typename MultiHeadAttention<T>::Config config_;
  Activation activation_;
  bool norm_first_;
  PackedLinear<T> in_proj_, out_proj_, linear1_, linear2_;
  std::optional<PackedLinear<T>> linear3_;  // if gated
  LayerNorm<T> norm1_, norm2_;
  std::optional<RotaryPosition<T>> rotary_;
  Vector<T> alibi_slopes_;  // [num_heads], or empty
};

}  // namespace MAT_ABI
}  // namespace mat
