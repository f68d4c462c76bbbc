#pragma once

#include <mat/blocks/transformer_decoder.hpp>
#include <mat/blocks/transformer_encoder.hpp>

namespace mat {
inline namespace MAT_ABI {

/// An encoder and a decoder that attends to its output, each with a norm at its end.
///
///     memory = encoder(src),   y = decoder(tgt, memory)
///
/// What PyTorch calls memory is the encoder's output for this src and nothing that lasts. Tokens are embedded already,
/// with their positions; `Translator` adds that, and an output.
///
/// Source:  Vaswani et al. (2017), "Attention is all you need", figure 1; PyTorch nn.Transformer, with its names.
///          Unlike there, the layers start as nn.TransformerEncoder's and nn.TransformerDecoder's do.
/// Shapes:  src [src tokens, d_model]; tgt, y [tgt tokens, d_model]; as many sequences of either.
/// Errors:  ValueError for sizes that do not fit; ShapeError if an input or dy does not.
/// Threads: const; one model serves any number of threads, each with a cache of its own.
template <class T>
class Transformer {
 public:
  struct Config {
    TransformerLayerConfig<T> layer;
    Index num_encoder_layers = 6;
    Index num_decoder_layers = 6;
  };

  struct Parameters {
    TransformerEncoder<T> encoder;
    TransformerDecoder<T> decoder;

    template <class Visitor, class... P>
    static void visit(Visitor&& visitor, P&... p) {
      visit_layer("encoder", visitor, p.encoder...);
      visit_layer("decoder", visitor, p.decoder...);
    }
  };

  struct Inputs {
    ConstMatrixView<T> src;  ///< [src tokens, d_model]
    ConstMatrixView<T> tgt;  ///< [tgt tokens, d_model]
    const Sequences* src_sequences = nullptr;
    const Sequences* tgt_sequences = nullptr;
  };

  /// The masks of the three attentions, and training's dropout.
  struct Call {
    AttentionMask<T> src_mask, tgt_mask, memory_mask;
    Dropout dropout;
  };

  struct Cache {
    typename TransformerEncoder<T>::Cache encoder;
    typename TransformerDecoder<T>::Cache decoder;
  };

  /// The gradients of the two inputs, living in the cache.
  struct InputGradients {
    ConstMatrixView<T> dsrc, dtgt;
  };

  Transformer(const Config& config, const Random& random)
      : config_(config),
        parameters_{
            TransformerEncoder<T>({config.layer, config.num_encoder_layers, /*final_norm=*/true}, random.split(0)),
            TransformerDecoder<T>({config.layer, config.num_decoder_layers, /*final_norm=*/true}, random.split(1))} {}

  [[nodiscard]] const Config& config() const { return config_; }
  [[nodiscard]] const Parameters& parameters() const { return parameters_; }
  [[nodiscard]] Parameters& parameters() { return parameters_; }

  ConstMatrixView<T> forward(const Inputs& inputs, const Call& call, Cache& cache) const {
    check_sequences("Transformer::forward: src", inputs.src.rows(), inputs.src_sequences);
    const auto memory = parameters_.encoder.forward(inputs.src, *inputs.src_sequences,
                                                    {call.src_mask, call.dropout.split(0)}, cache.encoder);
    return parameters_.decoder.forward({inputs.tgt, memory, inputs.tgt_sequences, inputs.src_sequences},
                                       {call.tgt_mask, call.memory_mask, call.dropout.split(1)}, cache.decoder);
  }

  InputGradients backward(ConstMatrixView<T> dy, Cache& cache, Parameters& grads) const {
    const auto d = parameters_.decoder.backward(dy, cache.decoder, grads.decoder.parameters());
    return {parameters_.encoder.backward(d.dmemory, cache.encoder, grads.encoder.parameters()), d.dtgt};
  }

 private:
  Config config_;
  Parameters parameters_;
};

}  // namespace MAT_ABI
}  // namespace mat
