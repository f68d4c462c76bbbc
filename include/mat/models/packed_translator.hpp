#pragma once

#include <mat/blocks/packed_decoder.hpp>
#include <mat/blocks/packed_encoder.hpp>
#include <mat/models/translator.hpp>

namespace mat {
inline namespace MAT_ABI {

/// A Translator for inference: its weights are packed once, and may be stored in fewer bytes.
///
/// `read` reads the sources once, or in two halves between which another model may read them; `extend` reads tokens of
/// their translations after those that a KeyValueCache holds, and scores the next one. With WeightStorage::full the
/// scores are, bit for bit, those of Translator::forward over all tokens. Several translations of one source, side by
/// side, share what was read of it.
///
/// Shapes:  source [source tokens]; target [new tokens]; logits [sequences with new tokens, target_vocabulary].
/// Errors:  ValueError for an id outside of its vocabulary, layers that do not pack, weights that the storage cannot
///          hold, or a cache that is full; ShapeError if an input does not fit.
/// Threads: const; one model serves any number of threads, each with caches of its own.
template <class T>
class PackedTranslator {
 public:
  /// What the decoder attends to.
  using Memory = typename PackedDecoder<T>::Memory;

  /// New tokens of the translations.
  struct Inputs {
    ConstVectorView<Index> target;      // [new tokens]
    const Sequences& sequences;         // by sequences of the key/value cache
    const Sequences& source_sequences;  // by sources: the tokens of all translations of one lie side by side
  };

  /// Memory to work in.
  struct Cache {
    typename TokenInput<T>::Cache source, target;
    typename PackedEncoder<T>::Cache encoder;
    typename SourceMemory<T>::Cache source_memory;
    typename PackedDecoder<T>::Cache decoder;
    Vector<Index> first;  // positions: [sequences]
    Matrix<T> last;       // of the last tokens: [sequences with new tokens, d_model]
    Matrix<T> logits;     // [sequences with new tokens, target_vocabulary]
  };

  explicit PackedTranslator(const Translator<T>& model, WeightStorage storage = WeightStorage::full)
      : config_(model.config()),
        embedding_(model.parameters().embedding),
        target_embedding_(model.parameters().target_embedding),
        encoder_(model.parameters().encoder, storage),
        source_memory_(model.parameters().source_memory),
        decoder_(model.parameters().decoder, storage),
        output_(model.output_weight(), model.parameters().output_bias, storage),
        input_(config_.layer.d_model) {}

  [[nodiscard]] const typename Translator<T>::Config& config() const { return config_; }
  /// Bytes of the weights that one token of a translation reads.
  [[nodiscard]] Index bytes() const { return decoder_.bytes() + output_.bytes(); }
  /// An empty cache for `batch` translations of at most `capacity` tokens.
  [[nodiscard]] KeyValueCache<T> key_value_cache(Index batch, Index capacity) const {
    return decoder_.key_value_cache(batch, capacity);
  }
  [[nodiscard]] typename KeyValueCache<T>::Config key_value_config(Index batch, Index capacity) const {
    return decoder_.key_value_config(batch, capacity);
  }

  [[nodiscard]] Memory read(ConstVectorView<Index> source, const Sequences& sequences, Cache& cache) const {
    Memory memory;
    read(source, sequences, cache, memory);
    return memory;
  }
  /// The same into what may have been read of other sources.
  void read(ConstVectorView<Index> source, const Sequences& sequences, Cache& cache, Memory& memory) const {
    read_embedded(embed_source(source, sequences, cache), sequences, cache, memory);
  }
  /// The first half: [source tokens, d_model].
  [[nodiscard]] ConstMatrixView<T> embed_source(ConstVectorView<Index> source, const Sequences& sequences,
                                                Cache& cache) const {
    detail::check_ids("PackedTranslator::read: source", source, config_.source_vocabulary);
    return input_.forward(embedding_, source, sequences, ConstVectorView<Index>(), cache.source);
  }
  /// The second half, of x [source tokens, d_model].
  void read_embedded(ConstMatrixView<T> x, const Sequences& sequences, Cache& cache, Memory& memory) const {
    const auto encoded = encoder_.forward(x, sequences, AttentionMask<T>::none(), cache.encoder);
    const auto source_memory = source_memory_.forward(encoded, sequences, cache.source_memory);
    decoder_.remember(source_memory.keys, source_memory.values.value_or(source_memory.keys), sequences,
                      source_memory.prior, memory);
  }

  /// Scores of the token after the last one of each sequence that has new tokens, in their order. They may be written
  /// to.
  MatrixView<T> extend(const Inputs& inputs, const Memory& memory, KeyValueCache<T>& earlier, Cache& cache) const {
    detail::check_ids("PackedTranslator::extend: target", inputs.target, config_.target_vocabulary);
    check_value(earlier.config().batch == inputs.sequences.count(), "PackedTranslator::extend: sequences",
                inputs.sequences.count(), "the batch of the cache, ", earlier.config().batch);
    cache.first.resize({inputs.sequences.count()});
    for (Index b = 0; b < inputs.sequences.count(); ++b) cache.first(b) = earlier.length(b);
    const Embedding<T>& embedding = target_embedding_ ? *target_embedding_ : embedding_;
    const auto x = input_.forward(embedding, inputs.target, inputs.sequences, cache.first, cache.target);
    const auto y = decoder_.extend({x, inputs.sequences, inputs.source_sequences}, memory, earlier, cache.decoder);
    Index rows = 0;
    for (Index b = 0; b < inputs.sequences.count(); ++b) rows += inputs.sequences.length(b) > 0 ? 1 : 0;
    cache.last.resize({rows, y.cols()});
    rows = 0;
    for (Index b = 0; b < inputs.sequences.count(); ++b) {
      if (inputs.sequences.length(b) == 0) continue;
      std::copy_n(y.row(inputs.sequences.end(b) - 1), y.cols(), cache.last.view().row(rows++));
    }
    output_.forward(cache.last, cache.logits);
    return cache.logits;
  }

 private:
  typename Translator<T>::Config config_;
  Embedding<T> embedding_;
  std::optional<Embedding<T>> target_embedding_;  // if not shared
  PackedEncoder<T> encoder_;
  SourceMemory<T> source_memory_;
  PackedDecoder<T> decoder_;
  PackedLinear<T> output_;
  TokenInput<T> input_;
};

}  // namespace MAT_ABI
}  // namespace mat
