#pragma once

#include <mat/blocks/transformer_layer_config.hpp>
#include <mat/ops/residual.hpp>

namespace mat {
inline namespace MAT_ABI {

/// One layer of a Transformer encoder: self-attention and a feed-forward network, each with a residual and a norm.
///
///     norm_first = false:  x1 = norm1(x + drop(attention(x))),        y = norm2(x1 + drop(ff(x1)))
///     norm_first = true:   x1 = x + drop(attention(norm1(x))),        y = x1 + drop(ff(norm2(x1)))
///
/// Earlier tokens, if there are any, are what attention sees before the tokens of x: attention(earlier, x), and with
/// norm_first attention(norm1(earlier), norm1(x)). (Dai et al. (2019), "Transformer-XL", section 3.2.)
///
/// Source:  Vaswani et al. (2017), "Attention is all you need", section 3.1; Xiong et al. (2020), "On layer
///          normalization in the Transformer architecture" (norm_first); PyTorch nn.TransformerEncoderLayer, its names.
/// Shapes:  x, y [tokens, d_model].
/// Errors:  ValueError for sizes that do not fit; ShapeError if x or dy does not.
/// Threads: const; one layer serves any number of threads, each with a cache of its own.
template <class T>
class EncoderLayer {
 public:
  using Config = TransformerLayerConfig<T>;

  struct Parameters {
    MultiHeadAttention<T> self_attn;
    FeedForward<T> feed_forward;  // named linear1 and linear2 (and linear3, the gate), without a prefix
    LayerNorm<T> norm1, norm2;

    template <class Visitor, class... P>
    static void visit(Visitor&& visitor, P&... p) {
      visit_layer("self_attn", visitor, p.self_attn...);
      FeedForward<T>::Parameters::visit(visitor, p.feed_forward.parameters()...);
      visit_layer("norm1", visitor, p.norm1...);
      visit_layer("norm2", visitor, p.norm2...);
    }
  };

  /// What one forward leaves for its backward; x and the earlier rows stay with the caller and must live until then.
  struct Cache {
    Dropout dropout;
    typename MultiHeadAttention<T>::Cache self_attn;
    typename FeedForward<T>::Cache feed_forward;
    typename LayerNorm<T>::Cache norm1, norm2;
    typename LayerNorm<T>::Cache norm1_earlier;  // of the earlier tokens, with norm_first
    Matrix<T> sum1, sum2;                        // after the residuals: [tokens, d_model]
    Matrix<T> dsum1, dsum2;                      // their gradients: [tokens, d_model]
    Matrix<T> dbranch;                           // of what a residual adds, if dropout changes it: [tokens, d_model]
  };

  EncoderLayer(const Config& config, const Random& random)
      : config_(config),
        parameters_{MultiHeadAttention<T>(config.self_attention_config(), random.split(0)),
                    FeedForward<T>(config.feed_forward_config(), random.split(1)), LayerNorm<T>(config.norm_config()),
                    LayerNorm<T>(config.norm_config())} {}

  [[nodiscard]] const Config& config() const { return config_; }
  [[nodiscard]] const Parameters& parameters() const { return parameters_; }
  [[nodiscard]] Parameters& parameters() { return parameters_; }

  /// Each sequence of x attends to itself, as the mask of the call allows.
  ConstMatrixView<T> forward(ConstMatrixView<T> x, const Sequences& sequences, const AttentionCall<T>& call,
                             Cache& cache) const {
    return forward(x, sequences, {}, call, cache);
  }

  /// Each sequence of x attends to its earlier tokens and to itself; the mask counts both as keys, so that by default
  /// the last query stands at the last key.
  ConstMatrixView<T> forward(ConstMatrixView<T> x, const Sequences& sequences, const EarlierTokens<T>& earlier,
                             const AttentionCall<T>& call, Cache& cache) const {
    const Parameters& p = parameters_;
    cache.dropout = call.dropout;
    const AttentionCall<T> attention{call.mask, call.dropout.split(0)};
    if (config_.norm_first) {
      const auto n1 = p.norm1.forward(x, cache.norm1);
      EarlierTokens<T> normed = earlier;
      if (earlier.given()) normed.rows = p.norm1.forward(earlier.rows, cache.norm1_earlier);
      residual_forward<T>(x, p.self_attn.forward(n1, sequences, normed, attention, cache.self_attn),
                          call.dropout.split(1), cache.sum1);
      const auto n2 = p.norm2.forward(cache.sum1, cache.norm2);
      residual_forward<T>(cache.sum1, p.feed_forward.forward(n2, call.dropout.split(2), cache.feed_forward),
                          call.dropout.split(3), cache.sum2);
      return cache.sum2;
    }
    residual_forward<T>(x, p.self_attn.forward(x, sequences, earlier, attention, cache.self_attn),
                        call.dropout.split(1), cache.sum1);
    const auto x1 = p.norm1.forward(cache.sum1, cache.norm1);
    residual_forward<T>(x1, p.feed_forward.forward(x1, call.dropout.split(2), cache.feed_forward),
                        call.dropout.split(3), cache.sum2);
    return p.norm2.forward(cache.sum2, cache.norm2);
  }

  ConstMatrixView<T> backward(ConstMatrixView<T> dy, Cache& cache, Parameters& grads) const {
    return backward_with_earlier(dy, cache, grads).dx;
  }

  /// The gradients of x and of the earlier tokens.
  EarlierGradients<T> backward_with_earlier(ConstMatrixView<T> dy, Cache& cache, Parameters& grads) const {
    return config_.norm_first ? backward_norm_first(dy, cache, grads) : backward_norm_last(dy, cache, grads);
  }

 private:
  // dsum1 and dsum2 are the gradients of the two residual sums; each goes on to its branch and past it.
  [[nodiscard]] EarlierGradients<T> backward_norm_first(ConstMatrixView<T> dy, Cache& cache, Parameters& grads) const {
    const Parameters& p = parameters_;
    const auto df = residual_backward<T>(dy, cache.dropout.split(3), cache.dbranch);
    const auto dn2 = p.feed_forward.backward(df, cache.feed_forward, grads.feed_forward.parameters());
    sum<T>(dy, p.norm2.backward(dn2, cache.norm2, grads.norm2.parameters()), cache.dsum1);
    const auto da = residual_backward<T>(cache.dsum1, cache.dropout.split(1), cache.dbranch);
    const auto dn1 = p.self_attn.backward_with_earlier(da, cache.self_attn, grads.self_attn.parameters());
    add<T>(cache.dsum1, p.norm1.backward(dn1.dx, cache.norm1, grads.norm1.parameters()), cache.dsum1);
    if (!cache.self_attn.with_earlier) return {cache.dsum1, {}};
    return {cache.dsum1, p.norm1.backward(dn1.dearlier, cache.norm1_earlier, grads.norm1.parameters())};
  }

  [[nodiscard]] EarlierGradients<T> backward_norm_last(ConstMatrixView<T> dy, Cache& cache, Parameters& grads) const {
    const Parameters& p = parameters_;
    const auto dsum2 = p.norm2.backward(dy, cache.norm2, grads.norm2.parameters());
    const auto df = residual_backward<T>(dsum2, cache.dropout.split(3), cache.dbranch);
    sum<T>(dsum2, p.feed_forward.backward(df, cache.feed_forward, grads.feed_forward.parameters()), cache.dsum2);
    const auto dsum1 = p.norm1.backward(cache.dsum2, cache.norm1, grads.norm1.parameters());
    const auto da = residual_backward<T>(dsum1, cache.dropout.split(1), cache.dbranch);
    cache.dsum1.resize(dy.shape());
    const auto d = p.self_attn.backward_with_earlier(da, cache.self_attn, grads.self_attn.parameters());
    add<T>(dsum1, d.dx, cache.dsum1);
    return {cache.dsum1, d.dearlier};
  }

  Config config_;
  Parameters parameters_;
};

}  // namespace MAT_ABI
}  // namespace mat
