#pragma once

#include <mat/blocks/key_value_cache.hpp>
#include <mat/blocks/packed_encoder_layer.hpp>
#include <mat/blocks/transformer_encoder.hpp>

namespace mat {
inline namespace MAT_ABI {

/// A TransformerEncoder for inference: its weights are packed once, and may be stored in fewer bytes.
///
/// With WeightStorage::full `forward` has the bits of TransformerEncoder::infer, and is several times faster for few
/// tokens. `extend` reads new tokens after those that a KeyValueCache holds, one or many at a time: with a causal mask
/// its outputs are those of one forward over all tokens, with full storage bit for bit.
///
/// Shapes:  x, y [tokens, d_model].
/// Errors:  ValueError for a layer with keys of its own, weights that the storage cannot hold, a cache of other sizes
/// or
///          one that is full; ShapeError if x does not fit.
/// Threads: const; one encoder serves any number of threads, each with caches of its own.
template <class T>
class PackedEncoder {
 public:
  /// Memory to work in.
  struct Cache {
    std::deque<typename PackedEncoderLayer<T>::Cache> layers;  // two
    Sequences keys;
    typename LayerNorm<T>::Cache norm;
  };

  explicit PackedEncoder(const TransformerEncoder<T>& encoder, WeightStorage storage = WeightStorage::full)
      : norm_(encoder.parameters().norm) {
    for (const EncoderLayer<T>& layer : encoder.parameters().layers) layers_.emplace_back(layer, storage);
  }

  /// Bytes of the weights that one token reads.
  [[nodiscard]] Index bytes() const {
    Index bytes = 0;
    for (const PackedEncoderLayer<T>& layer : layers_) bytes += layer.bytes();
    return bytes;
  }
  /// An empty cache for `batch` sequences of at most `capacity` tokens.
  [[nodiscard]] KeyValueCache<T> key_value_cache(Index batch, Index capacity) const {
    return KeyValueCache<T>(key_value_config(batch, capacity));
  }
  [[nodiscard]] typename KeyValueCache<T>::Config key_value_config(Index batch, Index capacity) const {
    const bool empty = layers_.empty();
    return {static_cast<Index>(layers_.size()), empty ? 1 : layers_.front().kv_heads(),
            empty ? 1 : layers_.front().head_dim(), batch, capacity};
  }

  /// Each sequence of x attends to itself, as the mask allows.
  ConstMatrixView<T> forward(ConstMatrixView<T> x, const Sequences& sequences, const AttentionMask<T>& mask,
                             Cache& cache) const {
    return run(x, cache, [&](Index, const PackedEncoderLayer<T>& layer, ConstMatrixView<T> in, auto& layer_cache) {
      return layer.forward(in, sequences, mask, nullptr, layer_cache);
    });
  }

  /// Each sequence of x continues that of the key/value cache, which then holds it too.
  ConstMatrixView<T> extend(ConstMatrixView<T> x, const Sequences& sequences, const AttentionMask<T>& mask,
                            KeyValueCache<T>& earlier, Cache& cache) const {
    check_value(earlier.config().layers == static_cast<Index>(layers_.size()), "PackedEncoder::extend: cache's layers",
                earlier.config().layers, "those of the encoder, ", static_cast<Index>(layers_.size()));
    if (!layers_.empty()) {
      check_value(earlier.config().kv_heads == layers_.front().kv_heads(), "PackedEncoder::extend: cache's kv_heads",
                  earlier.config().kv_heads, "those of the encoder, ", layers_.front().kv_heads());
      check_value(earlier.config().head_dim == layers_.front().head_dim(), "PackedEncoder::extend: cache's head_dim",
                  earlier.config().head_dim, "that of the encoder, ", layers_.front().head_dim());
    }
    check_sequences("PackedEncoder::extend: x", x.rows(), sequences);
    earlier.with_added(sequences, cache.keys);
    const auto y =
        run(x, cache, [&](Index i, const PackedEncoderLayer<T>& layer, ConstMatrixView<T> in, auto& layer_cache) {
          const typename PackedEncoderLayer<T>::Memory memory{earlier.keys(i), earlier.values(i), cache.keys};
          return layer.forward(in, sequences, mask, &memory, layer_cache);
        });
    earlier.advance(sequences);
    return y;
  }

 private:
  /// A layer writes to the caches in turn: the one it reads from belongs to the layer before.
  template <class Layer>
  [[nodiscard]] ConstMatrixView<T> run(ConstMatrixView<T> x, Cache& cache, const Layer& layer) const {
    if (cache.layers.size() < 2) cache.layers.resize(2);
    for (std::size_t i = 0; i < layers_.size(); ++i) {
      x = layer(static_cast<Index>(i), layers_[i], x, cache.layers[i % 2]);
    }
    return norm_ ? norm_->forward(x, cache.norm) : x;
  }

  std::deque<PackedEncoderLayer<T>> layers_;
  std::optional<LayerNorm<T>> norm_;
};

}  // namespace MAT_ABI
}  // namespace mat
