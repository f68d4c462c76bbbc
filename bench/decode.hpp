#pragma once

#include <bench/peer.hpp>

namespace bench {

/// One token more through causal layers with the norms first, gelu and a norm at the end, after the keys and values of
/// `tokens` - 1 others are cached.
struct DecodeWork {
  std::int64_t tokens = 1;  ///< The context, the new token included.
  std::int64_t d_model = 0, nhead = 1, dim_feedforward = 0, num_layers = 1;
  const float* x = nullptr;    // [tokens, d_model], the last of them the new one
  std::vector<Array> weights;  ///< As in the state_dict of nn.TransformerEncoder.
};

/// Defined in torch/decode.cpp.
[[nodiscard]] std::unique_ptr<Contestant> torch_decode(const DecodeWork& work);

}  // namespace bench
