#pragma once

#include <bench/peer.hpp>

namespace bench {

/// Attention of sequences of these lengths: y, and with `backward` also the gradients of q, k and v.
struct AttentionWork {
  std::vector<std::int64_t> lengths;
  std::int64_t heads = 1, head_dim = 1;
  bool causal = false, backward = false;
  // [tokens, heads * head_dim], the sequences one after the other:
  const float* q = nullptr;
  const float* k = nullptr;
  const float* v = nullptr;
  const float* dy = nullptr;
};

/// scaled_dot_product_attention; sequences of different lengths are padded to the longest and have a boolean mask.
/// Defined in torch/attention.cpp.
[[nodiscard]] std::unique_ptr<Contestant> torch_attention(const AttentionWork& work);

}  // namespace bench
