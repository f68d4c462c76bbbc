#pragma once

#include <bench/torch/tensors.hpp>
#include <optional>

namespace bench {

/// nn.TransformerEncoder from the operators that it calls itself: PyTorch's own C++ module cannot put norms first and
/// keeps the matrix of attention weights, so it would be too easy a peer.
struct EncoderStack {
  std::string prefix;  ///< Of the weights' names: "" or "transformer_encoder.".
  std::int64_t num_layers = 1, nhead = 1;
  bool gelu = false, norm_first = false, final_norm = false, causal = false;

  /// x [sequences, tokens, features]; mask is true for keys that are seen: [sequences, 1, 1, tokens].
  [[nodiscard]] at::Tensor forward(at::Tensor x, const Weights& w, const std::optional<at::Tensor>& mask) const {
    for (std::int64_t i = 0; i < num_layers; ++i) {
      const std::string layer = prefix + "layers." + std::to_string(i) + ".";
      if (norm_first) {
        x = x + attention(norm(x, w, layer + "norm1."), w, layer + "self_attn.", mask);
        x = x + feed_forward(norm(x, w, layer + "norm2."), w, layer);
      } else {
        x = norm(x + attention(x, w, layer + "self_attn.", mask), w, layer + "norm1.");
        x = norm(x + feed_forward(x, w, layer), w, layer + "norm2.");
      }
    }
    return final_norm ? norm(x, w, prefix + "norm.") : x;
  }

  /// Norm-first layers for tokens after `position` others, whose keys and values are cached: of each layer
  /// [2, sequences, heads, tokens, head_dim], allocated once.
  [[nodiscard]] at::Tensor extend(at::Tensor x, const Weights& w, const std::vector<at::Tensor>& earlier,
                                  std::int64_t position) const {
    for (std::int64_t i = 0; i < num_layers; ++i) {
      const std::string layer = prefix + "layers." + std::to_string(i) + ".", name = layer + "self_attn.";
      const auto qkv = projected(norm(x, w, layer + "norm1."), w, name);
      const at::Tensor& cache = earlier[static_cast<std::size_t>(i)];
      const std::int64_t count = x.size(1), all = position + count;
      cache.select(0, 0).narrow(2, position, count).copy_(qkv[1]);
      cache.select(0, 1).narrow(2, position, count).copy_(qkv[2]);
      // One new token sees all; the first ones see each other causally.
      const at::Tensor y = at::scaled_dot_product_attention(qkv[0], cache.select(0, 0).narrow(2, 0, all),
                                                            cache.select(0, 1).narrow(2, 0, all), {}, 0.0, count > 1);
      x = x + at::linear(y.transpose(1, 2).reshape(x.sizes()), w[name + "out_proj.weight"], w[name + "out_proj.bias"]);
      x = x + feed_forward(norm(x, w, layer + "norm2."), w, layer);
    }
    return norm(x, w, prefix + "norm.");
  }

  /// The one operator for a layer that nn.TransformerEncoderLayer calls in eval mode.
  [[nodiscard]] at::Tensor fast_forward(at::Tensor x, const Weights& w) const {
    for (std::int64_t i = 0; i < num_layers; ++i) {
      const std::string p = prefix + "layers." + std::to_string(i) + ".", a = p + "self_attn.";
      x = at::_transformer_encoder_layer_fwd(x, x.size(-1), nhead, w[a + "in_proj_weight"], w[a + "in_proj_bias"],
                                             w[a + "out_proj.weight"], w[a + "out_proj.bias"], gelu, norm_first, 1e-5,
                                             w[p + "norm1.weight"], w[p + "norm1.bias"], w[p + "norm2.weight"],
                                             w[p + "norm2.bias"], w[p + "linear1.weight"], w[p + "linear1.bias"],
                                             w[p + "linear2.weight"], w[p + "linear2.bias"]);
    }
    return final_norm ? norm(x, w, prefix + "norm.") : x;
  }

 private:
  [[nodiscard]] static at::Tensor norm(const at::Tensor& x, const Weights& w, const std::string& name) {
    return at::layer_norm(x, {x.size(-1)}, w[name + "weight"], w[name + "bias"]);
  }
  /// Queries, keys and values: [sequences, heads, tokens, head_dim] each.
  [[nodiscard]] std::vector<at::Tensor> projected(const at::Tensor& x, const Weights& w,
                                                  const std::string& name) const {
    return at::linear(x, w[name + "in_proj_weight"], w[name + "in_proj_bias"])
        .view({x.size(0), x.size(1), 3, nhead, x.size(-1) / nhead})
        .permute({2, 0, 3, 1, 4})
        .unbind(0);
  }
  [[nodiscard]] at::Tensor attention(const at::Tensor& x, const Weights& w, const std::string& name,
                                     const std::optional<at::Tensor>& mask) const {
    const auto qkv = projected(x, w, name);
    const at::Tensor y = at::scaled_dot_product_attention(qkv[0], qkv[1], qkv[2], mask, 0.0, causal);
    return at::linear(y.transpose(1, 2).reshape(x.sizes()), w[name + "out_proj.weight"], w[name + "out_proj.bias"]);
  }
  [[nodiscard]] at::Tensor feed_forward(const at::Tensor& x, const Weights& w, const std::string& name) const {
    const at::Tensor inner = at::linear(x, w[name + "linear1.weight"], w[name + "linear1.bias"]);
    return at::linear(gelu ? at::gelu(inner) : at::relu(inner), w[name + "linear2.weight"], w[name + "linear2.bias"]);
  }
};

}  // namespace bench
