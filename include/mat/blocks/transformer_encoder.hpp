#pragma once

#include <mat/blocks/encoder_layer.hpp>

#include <deque>
#include <optional>

namespace mat {
inline namespace MAT_ABI {

/// A stack of encoder layers, with an optional norm at its end.
///
///     y = norm(layer_{n-1}(... layer_0(x)))
///
/// Source:  PyTorch nn.TransformerEncoder, with its names. Unlike there, the layers start from different weights.
/// Shapes:  x, y [tokens, d_model].
/// Errors:  ValueError for sizes that do not fit; ShapeError if x or dy does not.
/// Threads: const; one encoder serves any number of threads, each with a cache of its own.
template <class T>
class TransformerEncoder {
 public:
  struct Config {
    typename EncoderLayer<T>::Config layer;
    Index num_layers = 1;
    bool final_norm = false;
  };

  struct Parameters {
    std::deque<EncoderLayer<T>> layers;  // which, unlike a vector, moves no layer as it grows
    std::optional<LayerNorm<T>> norm;

    template <class Visitor, class... P>
    static void visit(Visitor&& visitor, P&... p) {
      visit_layers("layers", visitor, p.layers...);
      visit_optional_layer("norm", visitor, p.norm...);
    }
  };

  struct Cache {
    std::deque<typename EncoderLayer<T>::Cache> layers;  // one for each layer; two for inference
    typename LayerNorm<T>::Cache norm;
  };

  TransformerEncoder(const Config& config, const Random& random) : config_(config) {
    check_value(config.num_layers >= 0, "TransformerEncoder: num_layers", config.num_layers, "at least 0");
    for (Index i = 0; i < config.num_layers; ++i) {
      parameters_.layers.emplace_back(config.layer, random.split(static_cast<std::uint64_t>(i)));
    }
    if (!config.final_norm) return;
    parameters_.norm.emplace(config.layer.norm_config());
  }

  [[nodiscard]] const Config& config() const { return config_; }
  [[nodiscard]] const Parameters& parameters() const { return parameters_; }
  [[nodiscard]] Parameters& parameters() { return parameters_; }

  /// Keeps what every layer needs for `backward`.
  ConstMatrixView<T> forward(ConstMatrixView<T> x, const Sequences& sequences, const AttentionCall<T>& call,
                             Cache& cache) const {
    return run(x, sequences, call, cache, parameters_.layers.size());
  }

  /// The same numbers without what backward needs: two layers' memory, however deep the stack is.
  ConstMatrixView<T> infer(ConstMatrixView<T> x, const Sequences& sequences, const AttentionCall<T>& call,
                           Cache& cache) const {
    return run(x, sequences, call, cache, std::min<std::size_t>(2, parameters_.layers.size()));
  }

  ConstMatrixView<T> backward(ConstMatrixView<T> dy, Cache& cache, Parameters& grads) const {
    if (config_.final_norm) {
      dy = parameters_.norm->backward(dy, cache.norm, grads.norm->parameters());
    }
    for (std::size_t i = parameters_.layers.size(); i-- > 0;) {
      dy = parameters_.layers[i].backward(dy, cache.layers[i], grads.layers[i].parameters());
    }
    return dy;
  }

 private:
  /// A layer writes to the caches in turn: the one it reads from belongs to the layer before.
  [[nodiscard]] ConstMatrixView<T> run(ConstMatrixView<T> x, const Sequences& sequences, const AttentionCall<T>& call,
                                       Cache& cache, std::size_t caches) const {
    if (cache.layers.size() < caches) cache.layers.resize(caches);
    for (std::size_t i = 0; i < parameters_.layers.size(); ++i) {
      const AttentionCall<T> layer_call{call.mask, call.dropout.split(i)};
      x = parameters_.layers[i].forward(x, sequences, layer_call, cache.layers[i % caches]);
    }
    return config_.final_norm ? parameters_.norm->forward(x, cache.norm) : x;
  }

  Config config_;
  Parameters parameters_;
};

}  // namespace MAT_ABI
}  // namespace mat
