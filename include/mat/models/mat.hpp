#pragma once

#include <mat/blocks/transformer_encoder.hpp>
#include <mat/memory/memory_layer.hpp>
#include <mat/memory/self_attention.hpp>

namespace mat {
inline namespace MAT_ABI {

/// The article's Memory-Augmented Transformer.
///
///     H = transformer_encoder(x),   M = memory_layer(H)
///     y = self_attention(H, M) = softmax over tokens(score(H)) * M
///
/// What the article leaves open: `TransformerEncoder(input_dim, hidden_dim)` is read as d_model = input_dim and
/// dim_feedforward = hidden_dim; heads, layers and norms are in the Config. The input is embedded already, and
/// positions are the caller's: without them the model sees a bag of tokens.
///
/// What the article's code does not do: it remembers nothing. Its memory is computed anew from each input, so two calls
/// with the same x give the same y, whatever came between.
///
/// Source:  the article's MAT, with its names: transformer_encoder, memory_layer.fc1, self_attention.fc1, ...
/// Shapes:  x, y [tokens, input_dim]; pooled [sequences, input_dim].
/// Errors:  ValueError for sizes that do not fit; ShapeError if x or dy does not.
/// Threads: const; one model serves any number of threads, each with a cache of its own.
template <class T>
class MAT {
 public:
  struct Config {
    Index input_dim = 0;
    Index hidden_dim = 0;
    Index nhead = 1;
    Index num_layers = 1;
    Activation activation = Activation::relu;
    double layer_norm_eps = 1e-5;
    bool norm_first = false;
    bool final_norm = false;

    [[nodiscard]] typename TransformerEncoder<T>::Config encoder_config() const {
      typename TransformerEncoder<T>::Config encoder;
      encoder.layer.d_model = input_dim;
      encoder.layer.dim_feedforward = hidden_dim;
      encoder.layer.nhead = nhead;
      encoder.layer.activation = activation;
      encoder.layer.layer_norm_eps = layer_norm_eps;
      encoder.layer.norm_first = norm_first;
      encoder.num_layers = num_layers;
      encoder.final_norm = final_norm;
      return encoder;
    }
  };

  struct Parameters {
    TransformerEncoder<T> transformer_encoder;
    MemoryLayer<T> memory_layer;
    SelfAttention<T> self_attention;

    template <class Visitor, class... P>
    static void visit(Visitor&& visitor, P&... p) {
      visit_layer("transformer_encoder", visitor, p.transformer_encoder...);
      visit_layer("memory_layer", visitor, p.memory_layer...);
      visit_layer("self_attention", visitor, p.self_attention...);
    }
  };

  struct Cache {
    typename TransformerEncoder<T>::Cache transformer_encoder;
    typename MemoryLayer<T>::Cache memory_layer;
    typename SelfAttention<T>::Cache self_attention;
    Matrix<T> dencoded;  // the gradient of H: [tokens, input_dim]
  };

  MAT(const Config& config, const Random& random)
      : config_(config),
        parameters_{TransformerEncoder<T>(config.encoder_config(), random.split(0)),
                    MemoryLayer<T>({config.input_dim, config.hidden_dim}, random.split(1)),
                    SelfAttention<T>({config.input_dim, config.hidden_dim}, random.split(2))} {}

  [[nodiscard]] const Config& config() const { return config_; }
  [[nodiscard]] const Parameters& parameters() const { return parameters_; }
  [[nodiscard]] Parameters& parameters() { return parameters_; }

  /// The weighted memory of every token, as the article returns it.
  ConstMatrixView<T> forward(ConstMatrixView<T> x, const Sequences& sequences, const AttentionCall<T>& call,
                             Cache& cache) const {
    const auto encoded = parameters_.transformer_encoder.forward(x, sequences, call, cache.transformer_encoder);
    return attend(encoded, sequences, cache);
  }
  ConstMatrixView<T> forward(ConstMatrixView<T> x, const Sequences& sequences, Cache& cache) const {
    return forward(x, sequences, {}, cache);
  }
  /// The same numbers as forward, without what backward needs.
  ConstMatrixView<T> infer(ConstMatrixView<T> x, const Sequences& sequences, Cache& cache) const {
    return attend(parameters_.transformer_encoder.infer(x, sequences, {}, cache.transformer_encoder), sequences, cache);
  }

  /// After forward or infer: one vector for each sequence, the sum of its weighted memory. For classification.
  ConstMatrixView<T> pooled(Cache& cache) const {
    return parameters_.self_attention.pool_forward(cache.self_attention);
  }

  ConstMatrixView<T> backward(ConstMatrixView<T> dy, Cache& cache, Parameters& grads) const {
    const Parameters& p = parameters_;
    const auto d = p.self_attention.backward(dy, cache.self_attention, grads.self_attention.parameters());
    const auto dmemory = p.memory_layer.backward(d.dmemory, cache.memory_layer, grads.memory_layer.parameters());
    sum<T>(d.dx, dmemory, cache.dencoded);
    return p.transformer_encoder.backward(cache.dencoded, cache.transformer_encoder,
                                          grads.transformer_encoder.parameters());
  }
  /// The backward of pooled().
  ConstMatrixView<T> pooled_backward(ConstMatrixView<T> dpooled, Cache& cache, Parameters& grads) const {
    return backward(parameters_.self_attention.pool_backward(dpooled, cache.self_attention), cache, grads);
  }

 private:
  [[nodiscard]] ConstMatrixView<T> attend(ConstMatrixView<T> encoded, const Sequences& sequences, Cache& cache) const {
    const auto memory = parameters_.memory_layer.forward(encoded, cache.memory_layer);
    return parameters_.self_attention.forward(encoded, memory, sequences, cache.self_attention);
  }

  Config config_;
  Parameters parameters_;
};

}  // namespace MAT_ABI
}  // namespace mat
