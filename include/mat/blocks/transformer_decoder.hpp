#pragma once

#include <mat/blocks/decoder_layer.hpp>

#include <deque>

namespace mat {
inline namespace MAT_ABI {

/// A stack of decoder layers that all attend to the same memory, with an optional norm at its end.
///
///     y = norm(layer_{n-1}(... layer_0(tgt, memory) ..., memory))
///
/// Source:  PyTorch nn.TransformerDecoder, with its names. Unlike there, the layers start from different weights.
/// Shapes:  tgt, y [tgt tokens, d_model]; memory [memory tokens, d_model].
/// Errors:  ValueError for sizes that do not fit; ShapeError if an input or dy does not.
/// Threads: const; one decoder serves any number of threads, each with a cache of its own.
template <class T>
class TransformerDecoder {
 public:
  struct Config {
    typename DecoderLayer<T>::Config layer;
    Index num_layers = 1;
    bool final_norm = false;
  };

  struct Parameters {
    std::deque<DecoderLayer<T>> layers;  // which, unlike a vector, moves no layer as it grows
    std::optional<LayerNorm<T>> norm;

    template <class Visitor, class... P>
    static void visit(Visitor&& visitor, P&... p) {
      visit_layers("layers", visitor, p.layers...);
      visit_optional_layer("norm", visitor, p.norm...);
    }
  };

  struct Cache {
    std::deque<typename DecoderLayer<T>::Cache> layers;  // one for each layer; two for inference
    typename LayerNorm<T>::Cache norm;
    Shape<2> memory_shape{};
    bool separate_values = false;
    Matrix<T> dmemory, dmemory_values;  // of all layers together: [memory tokens, d_model]
  };

  TransformerDecoder(const Config& config, const Random& random) : config_(config) {
    check_value(config.num_layers >= 0, "TransformerDecoder: num_layers", config.num_layers, "at least 0");
    for (Index i = 0; i < config.num_layers; ++i) {
      parameters_.layers.emplace_back(config.layer, random.split(static_cast<std::uint64_t>(i)));
    }
    if (config.final_norm) parameters_.norm.emplace(config.layer.norm_config());
  }

  [[nodiscard]] const Config& config() const { return config_; }
  [[nodiscard]] const Parameters& parameters() const { return parameters_; }
  [[nodiscard]] Parameters& parameters() { return parameters_; }

  /// Keeps what every layer needs for `backward`.
  ConstMatrixView<T> forward(const DecoderInputs<T>& inputs, const DecoderCall<T>& call, Cache& cache) const {
    return run(inputs, call, cache, parameters_.layers.size());
  }

  /// The same numbers without what backward needs: two layers' memory, however deep the stack is.
  ConstMatrixView<T> infer(const DecoderInputs<T>& inputs, const DecoderCall<T>& call, Cache& cache) const {
    return run(inputs, call, cache, std::min<std::size_t>(2, parameters_.layers.size()));
  }

  /// dkey_bias [memory tokens], if not empty, receives the gradient of memory_mask's key_bias, of all layers.
  DecoderGradients<T> backward(ConstMatrixView<T> dy, Cache& cache, Parameters& grads,
                               VectorView<T> dkey_bias = {}) const {
    if (config_.final_norm) dy = parameters_.norm->backward(dy, cache.norm, grads.norm->parameters());
    cache.dmemory.resize(cache.memory_shape);
    cache.dmemory.fill(T(0));
    cache.dmemory_values.resize(cache.separate_values ? cache.memory_shape : Shape<2>{});
    cache.dmemory_values.fill(T(0));
    for (std::size_t i = parameters_.layers.size(); i-- > 0;) {
      const auto d = parameters_.layers[i].backward(dy, cache.layers[i], grads.layers[i].parameters(), dkey_bias);
      dy = d.dtgt;
      add<T>(cache.dmemory, d.dmemory, cache.dmemory);
      if (cache.separate_values) add<T>(cache.dmemory_values, d.dmemory_values, cache.dmemory_values);
    }
    return {dy, cache.dmemory, cache.dmemory_values};
  }

 private:
  /// A layer writes to the caches in turn: the one it reads from belongs to the layer before.
  [[nodiscard]] ConstMatrixView<T> run(DecoderInputs<T> inputs, const DecoderCall<T>& call, Cache& cache,
                                       std::size_t caches) const {
    if (cache.layers.size() < caches) cache.layers.resize(caches);
    cache.memory_shape = inputs.memory.shape();
    cache.separate_values = inputs.memory_values.has_value();
    for (std::size_t i = 0; i < parameters_.layers.size(); ++i) {
      const DecoderCall<T> layer_call{call.tgt_mask, call.memory_mask, call.dropout.split(i)};
      inputs.tgt = parameters_.layers[i].forward(inputs, layer_call, cache.layers[i % caches]);
    }
    return config_.final_norm ? parameters_.norm->forward(inputs.tgt, cache.norm) : inputs.tgt;
  }

  Config config_;
  Parameters parameters_;
};

}  // namespace MAT_ABI
}  // namespace mat
