#include <bench/attention.hpp>
#include <bench/torch/tensors.hpp>
#include <c10/core/InferenceMode.h>
#include <optional>
#include <torch/csrc/autograd/autograd.h>

namespace bench {
namespace {

/// Tensors are [sequences, heads, longest, head_dim], as the function documents them, and contiguous.
class TorchAttention final : public Contestant {
 public:
  explicit TorchAttention(const AttentionWork& work) : work_(work), tokens_(token_mask(work.lengths)) {
    q_ = padded(work.q).set_requires_grad(work.backward);
    k_ = padded(work.k).set_requires_grad(work.backward);
    v_ = padded(work.v).set_requires_grad(work.backward);
    dy_ = padded(work.dy);
    if (!all_equal(work.lengths)) mask_ = tokens_.unsqueeze(1).unsqueeze(1);
  }

  void run() override {
    if (work_.backward) {
      forward();
      gradients_ = torch::autograd::grad({y_}, {q_, k_, v_}, {dy_});
    } else {
      const c10::InferenceMode inference;
      forward();
    }
  }
  std::vector<Result> results() override {
    run();
    std::vector<Result> results{result_of("y", unpadded(y_))};
    const char* names[] = {"dq", "dk", "dv"};
    for (std::size_t i = 0; i < gradients_.size(); ++i) {
      results.push_back(result_of(names[i], unpadded(gradients_[i])));
    }
    return results;
  }

 private:
  void forward() { y_ = at::scaled_dot_product_attention(q_, k_, v_, mask_, 0.0, work_.causal); }

  [[nodiscard]] at::Tensor padded(const float* rows) const {
    const std::int64_t width = work_.heads * work_.head_dim;
    at::Tensor x = at::zeros({tokens_.size(0), tokens_.size(1), width});
    x.index_put_({tokens_}, tensor_of(rows, {tokens_.sum().item<std::int64_t>(), width}));
    return x.unflatten(2, {work_.heads, work_.head_dim}).transpose(1, 2).contiguous();
  }
  [[nodiscard]] at::Tensor unpadded(const at::Tensor& x) const { return x.transpose(1, 2).flatten(2).index({tokens_}); }

  AttentionWork work_;
  at::Tensor tokens_;  // true where a token is: [sequences, longest]
  std::optional<at::Tensor> mask_;
  at::Tensor q_, k_, v_, dy_, y_;
  std::vector<at::Tensor> gradients_;
};

}  // namespace

std::unique_ptr<Contestant> torch_attention(const AttentionWork& work) {
  return std::make_unique<TorchAttention>(work);
}

}  // namespace bench
