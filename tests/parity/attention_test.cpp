#include "parity/fixtures.hpp"

namespace attention_test {

using mat::test::check_parity;

TEST_CASE("Attention and its gradients are those of PyTorch's scaled_dot_product_attention", "[parity]") {
  const std::string name = GENERATE("sdpa.gqa", "sdpa.huge_logits");
  check_parity<float>(name);
  check_parity<double>(name);
}

TEST_CASE("MultiHeadAttention and its gradients are those of PyTorch's nn.MultiheadAttention", "[parity]") {
  const std::string name = GENERATE("mha.self", "mha.key_padding_weights", "mha.bias_kv_zero_attn");
  check_parity<float>(name);
  check_parity<double>(name);
}

}  // namespace attention_test
