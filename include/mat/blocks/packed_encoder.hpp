#pragma once

#include <mat/blocks/packed_encoder_layer.hpp>
#include <mat/blocks/packed_stack.hpp>
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
///          or one that is full; ShapeError if x does not fit.
/// Threads: const; one encoder serves any number of threads, each with caches of its own.
template <class T>
class PackedEncoder : public PackedStack<T, PackedEncoderLayer<T>> {
  using Stack = PackedStack<T, PackedEncoderLayer<T>>;

 public:
  using typename Stack::Cache;

  explicit PackedEncoder(const TransformerEncoder<T>& encoder, WeightStorage storage = WeightStorage::full)
      : Stack(encoder, storage) {}

  /// Each sequence of x attends to itself, as the mask allows.
  ConstMatrixView<T> forward(ConstMatrixView<T> x, const Sequences& sequences, const AttentionMask<T>& mask,
                             Cache& cache) const {
    return this->run(x, cache,
                     [&](Index, const PackedEncoderLayer<T>& layer, ConstMatrixView<T> in, auto& layer_cache) {
                       return layer.forward(in, sequences, mask, nullptr, layer_cache);
                     });
  }

  /// Each sequence of x continues that of the key/value cache, which then holds it too.
  ConstMatrixView<T> extend(ConstMatrixView<T> x, const Sequences& sequences, const AttentionMask<T>& mask,
                            KeyValueCache<T>& earlier, Cache& cache) const {
    this->check_earlier("PackedEncoder::extend", "encoder", earlier);
    check_sequences("PackedEncoder::extend: x", x.rows(), sequences);
    earlier.with_added(sequences, cache.keys);
    const auto y =
        this->run(x, cache, [&](Index i, const PackedEncoderLayer<T>& layer, ConstMatrixView<T> in, auto& layer_cache) {
          const typename PackedEncoderLayer<T>::Memory memory{earlier.keys(i), earlier.values(i), cache.keys};
          return layer.forward(in, sequences, mask, &memory, layer_cache);
        });
    earlier.advance(sequences);
    return y;
  }
};

}  // namespace MAT_ABI
}  // namespace mat
