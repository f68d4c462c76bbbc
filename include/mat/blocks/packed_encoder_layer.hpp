#pragma once

#include <mat/blocks/encoder_layer.hpp>
#include <mat/blocks/packed_self_attention.hpp>
#include <mat/layers/packed_feed_forward.hpp>

#include <deque>

namespace mat {
inline namespace MAT_ABI {

/// An EncoderLayer for inference: the same numbers, from packed weights and without what a backward would need.
///
/// Tokens may attend to earlier ones of their sequence, whose keys and values the caller keeps.
///
/// Shapes:  x, y [tokens, d_model].
/// Errors:  as PackedSelfAttention.
/// Threads: const; one layer serves any number of threads, each with a cache of its own.
template <class T>
class PackedEncoderLayer {
 public:
  /// What one thread needs for a chunk of tokens.
  struct Chunk {
    Matrix<T> branch, sum;  // [rows, d_model]
    typename PackedFeedForward<T>::Cache feed_forward;
    typename LayerNorm<T>::Cache norm;
  };
  /// Memory to work in.
  struct Cache {
    typename LayerNorm<T>::Cache norm1;  // with the norms first
    typename PackedSelfAttention<T>::Cache self_attn;
    std::deque<Chunk> chunks;  // of each thread
    Matrix<T> y;               // [tokens, d_model]
  };

  using Memory = typename PackedSelfAttention<T>::Memory;

  explicit PackedEncoderLayer(const EncoderLayer<T>& layer, WeightStorage storage = WeightStorage::full)
      : norm_first_(layer.config().norm_first),
        self_attn_(layer.parameters().self_attn, storage),
        feed_forward_(layer.parameters().feed_forward, storage),
        norm1_(layer.parameters().norm1),
        norm2_(layer.parameters().norm2) {}

  /// Bytes of the weights that one token reads.
  [[nodiscard]] Index bytes() const { return self_attn_.bytes() + feed_forward_.bytes(); }
  [[nodiscard]] Index kv_heads() const { return self_attn_.kv_heads(); }
  [[nodiscard]] Index head_dim() const { return self_attn_.head_dim(); }

  /// Without a memory each sequence attends to itself.
  ConstMatrixView<T> forward(ConstMatrixView<T> x, const Sequences& sequences, const AttentionMask<T>& mask,
                             const Memory* memory, Cache& cache) const {
    check_shape("PackedEncoderLayer::forward: x", x, {kAny, self_attn_.embed_dim()});
    const auto attended =
        self_attn_.attend(norm_first_ ? norm1_.forward(x, cache.norm1) : x, sequences, mask, memory, cache.self_attn);
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
  /// Tokens of a chunk: half a MiB of what the feed-forward holds, and enough to pay for reading its weights.
  [[nodiscard]] Index chunk_rows() const {
    const Index fits = 512 * 1024 / (feed_forward_.hidden() * static_cast<Index>(sizeof(T)));
    return std::clamp<Index>(fits, 96, 480) / 24 * 24;
  }

  void after_attention(ConstMatrixView<T> x, ConstMatrixView<T> attended, MatrixView<T> y, Chunk& chunk) const {
    chunk.sum.resize(x.shape());
    add<T>(x, self_attn_.project(attended, chunk.branch), chunk.sum);
    if (norm_first_) {
      const auto branch = feed_forward_.forward(norm2_.forward(chunk.sum, chunk.norm), chunk.feed_forward);
      return add<T>(chunk.sum, branch, y);
    }
    const auto x1 = norm1_.forward(chunk.sum, chunk.norm);
    add<T>(x1, feed_forward_.forward(x1, chunk.feed_forward), chunk.sum);
    const auto& p = norm2_.parameters();
    layer_norm_forward<T>(chunk.sum, {p.weight, p.bias}, norm2_.config().epsilon, y, chunk.norm.statistics);
  }

  bool norm_first_;
  PackedSelfAttention<T> self_attn_;
  PackedFeedForward<T> feed_forward_;
  LayerNorm<T> norm1_, norm2_;
};

}  // namespace MAT_ABI
}  // namespace mat
