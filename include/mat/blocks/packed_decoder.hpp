#pragma once

#include <mat/blocks/packed_decoder_layer.hpp>
#include <mat/blocks/packed_stack.hpp>
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
///          or one that is full; ShapeError if an input does not fit.
/// Threads: const; one decoder serves any number of threads, each with caches of its own.
template <class T>
class PackedDecoder : public PackedStack<T, PackedDecoderLayer<T>> {
  using Stack = PackedStack<T, PackedDecoderLayer<T>>;

 public:
  using typename Stack::Cache;

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

  explicit PackedDecoder(const TransformerDecoder<T>& decoder, WeightStorage storage = WeightStorage::full)
      : Stack(decoder, storage) {}

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
    const auto& layers = this->layers();
    memory.layers.resize(layers.size());
    for (std::size_t i = 0; i < layers.size(); ++i) layers[i].remember(keys, values, sequences, memory.layers[i]);
    memory.key_bias.assign(key_bias);
  }

  /// Each sequence of x continues that of the key/value cache, which then holds it too.
  ConstMatrixView<T> extend(const Inputs& inputs, const Memory& memory, KeyValueCache<T>& earlier, Cache& cache) const {
    this->check_earlier("PackedDecoder::extend", "decoder", earlier);
    check_value(static_cast<Index>(memory.layers.size()) == this->count(), "PackedDecoder::extend: memory's layers",
                static_cast<Index>(memory.layers.size()), "those of the decoder, ", this->count());
    check_sequences("PackedDecoder::extend: x", inputs.x.rows(), inputs.sequences);
    check_sequences("PackedDecoder::extend: x", inputs.x.rows(), inputs.memory_sequences);
    earlier.with_added(inputs.sequences, cache.keys);
    const AttentionMask<T> mask = AttentionMask<T>::none().and_key_bias(memory.key_bias);
    const auto y = this->run(
        inputs.x, cache, [&](Index i, const PackedDecoderLayer<T>& layer, ConstMatrixView<T> x, auto& layer_cache) {
          const typename PackedDecoderLayer<T>::Earlier kept{earlier.keys(i), earlier.values(i), cache.keys};
          return layer.forward({x, inputs.sequences, inputs.memory_sequences, mask}, kept,
                               memory.layers[static_cast<std::size_t>(i)], layer_cache);
        });
    earlier.advance(inputs.sequences);
    return y;
  }
};

}  // namespace MAT_ABI
}  // namespace mat
