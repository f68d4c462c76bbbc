#pragma once

#include <mat/blocks/key_value_cache.hpp>
#include <mat/blocks/packed_decoder_layer.hpp>
#include <mat/blocks/transformer_decoder.hpp>

namespace mat {
inline namespace MAT_ABI {

/// A TransformerDecoder for inference: its weights are packed once, and may be stored in fewer bytes.
///
/// `remember` computes the keys and values of what it attends to, once; `extend` reads new tokens after those that a
/// KeyValueCache holds, one or many at a time. With WeightStorage::full its outputs are, bit for bit, those of
/// TransformerDecoder::infer over all tokens with a causal mask.
///
/// Shapes:  x, y [tokens, d_model]; keys, values [memory tokens, d_model].
/// Errors:  ValueError for a layer with keys of its own, weights that the storage cannot hold, a cache of other sizes
/// or
///          one that is full; ShapeError if an input does not fit.
/// Threads: const; one decoder serves any number of threads, each with caches of its own.
template <class T>
class PackedDecoder {
 public:
  /// What all layers attend to. A plain value.
  struct Memory {
    std::vector<typename PackedDecoderLayer<T>::Memory> layers;
    Vector<T> key_bias;  // [memory tokens], or empty: added to the scores of each of them
  };

  /// Tokens that continue sequences of a KeyValueCache. Those of one sequence of the memory lie side by side: sequence
  /// b of memory_sequences is all of them.
  struct Inputs {
    ConstMatrixView<T> x;               // [tokens, d_model]
    const Sequences& sequences;         // by sequences of the cache
    const Sequences& memory_sequences;  // by sequences of the memory
  };

  /// Memory to work in.
  struct Cache {
    std::deque<typename PackedDecoderLayer<T>::Cache> layers;  // two
    Sequences keys;
    typename LayerNorm<T>::Cache norm;
  };

  explicit PackedDecoder(const TransformerDecoder<T>& decoder, WeightStorage storage = WeightStorage::full)
      : norm_(decoder.parameters().norm) {
    for (const DecoderLayer<T>& layer : decoder.parameters().layers) layers_.emplace_back(layer, storage);
  }

  /// Bytes of the weights that one token reads.
  [[nodiscard]] Index bytes() const {
    Index bytes = 0;
    for (const PackedDecoderLayer<T>& layer : layers_) bytes += layer.bytes();
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

  [[nodiscard]] Memory remember(ConstMatrixView<T> keys, ConstMatrixView<T> values, const Sequences& sequences,
                                ConstVectorView<T> key_bias = {}) const {
    Memory memory;
    remember(keys, values, sequences, key_bias, memory);
    return memory;
  }
  /// The same in a memory that may have been of another batch.
  void remember(ConstMatrixView<T> keys, ConstMatrixView<T> values, const Sequences& sequences,
                ConstVectorView<T> key_bias, Memory& memory) const {
    if (!key_bias.empty()) check_shape("PackedDecoder::remember: key_bias", key_bias, {keys.rows()});
    memory.layers.resize(layers_.size());
    for (std::size_t i = 0; i < layers_.size(); ++i) layers_[i].remember(keys, values, sequences, memory.layers[i]);
    memory.key_bias.assign(key_bias);
  }

  /// Each sequence of x continues that of the key/value cache, which then holds it too.
  ConstMatrixView<T> extend(const Inputs& inputs, const Memory& memory, KeyValueCache<T>& earlier, Cache& cache) const {
    const auto count = static_cast<Index>(layers_.size());
    check_value(earlier.config().layers == count, "PackedDecoder::extend: cache's layers", earlier.config().layers,
                "those of the decoder, ", count);
    check_value(static_cast<Index>(memory.layers.size()) == count, "PackedDecoder::extend: memory's layers",
                static_cast<Index>(memory.layers.size()), "those of the decoder, ", count);
    check_sequences("PackedDecoder::extend: x", inputs.x.rows(), inputs.sequences);
    check_sequences("PackedDecoder::extend: x", inputs.x.rows(), inputs.memory_sequences);
    earlier.with_added(inputs.sequences, cache.keys);
    if (cache.layers.size() < 2) cache.layers.resize(2);
    const AttentionMask<T> mask = AttentionMask<T>::none().and_key_bias(memory.key_bias);
    ConstMatrixView<T> x = inputs.x;
    for (std::size_t i = 0; i < layers_.size(); ++i) {  // a layer reads from the cache of the one before
      const auto layer = static_cast<Index>(i);
      const typename PackedDecoderLayer<T>::Earlier kept{earlier.keys(layer), earlier.values(layer), cache.keys};
      x = layers_[i].forward({x, inputs.sequences, inputs.memory_sequences, mask}, kept, memory.layers[i],
                             cache.layers[i % 2]);
    }
    earlier.advance(inputs.sequences);
    return norm_ ? norm_->forward(x, cache.norm) : x;
  }

 private:
  std::deque<PackedDecoderLayer<T>> layers_;
  std::optional<LayerNorm<T>> norm_;
};

}  // namespace MAT_ABI
}  // namespace mat
