#pragma once

#include <bench/peer.hpp>

namespace bench {

/// Encoder layers without dropout, relu, norms after: `batch` sequences of `length` tokens.
struct EncoderWork {
  std::int64_t batch = 1, length = 1;
  std::int64_t d_model = 0, nhead = 1, dim_feedforward = 0, num_layers = 1;
  bool backward = false;     ///< Also the gradients of x and of every weight; otherwise inference.
  const float* x = nullptr;  // [batch * length, d_model]
  const float* dy = nullptr;
  std::vector<Array> weights;  ///< As in the state_dict of nn.TransformerEncoder.
};

/// Which of the ways that PyTorch itself has.
enum class TorchPath {
  composed,  ///< Layer by layer, as nn.TransformerEncoder trains: linear, scaled_dot_product_attention, layer_norm.
  fast,      ///< One operator for a layer, as nn.TransformerEncoder in eval mode takes ("fast path"); inference only.
};

/// Defined in torch/encoder.cpp.
[[nodiscard]] std::unique_ptr<Contestant> torch_encoder(const EncoderWork& work, TorchPath path);

}  // namespace bench
