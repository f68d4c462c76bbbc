#include <bench/torch/encoder_stack.hpp>
#include <bench/train_step.hpp>
#include <torch/nn/utils/clip_grad.h>
#include <torch/optim/adamw.h>

namespace bench {
namespace {

/// torch::optim::AdamW, parameter after parameter.
class LoopOptimizer {
 public:
  explicit LoopOptimizer(const std::vector<at::Tensor>& weights) : weights_(weights), adamw_(weights_) {}
  void zero_grad() { adamw_.zero_grad(); }
  void clip_and_step() {
    torch::nn::utils::clip_grad_norm_(weights_, 1.0);
    adamw_.step();
  }

 private:
  std::vector<at::Tensor> weights_;
  torch::optim::AdamW adamw_;
};

/// The operators of Python's clip_grad_norm_(foreach=True) and AdamW(fused=True), which C++ has no class for.
class FusedOptimizer {
 public:
  explicit FusedOptimizer(const std::vector<at::Tensor>& weights) : weights_(weights) {
    for (const at::Tensor& w : weights_) {
      m_.push_back(at::zeros_like(w));
      v_.push_back(at::zeros_like(w));
      steps_.push_back(at::zeros({}));
    }
  }
  void zero_grad() {
    for (at::Tensor& w : weights_) w.mutable_grad().reset();
  }
  void clip_and_step() {
    const at::NoGradGuard no_grad;
    std::vector<at::Tensor> grads;
    for (const at::Tensor& w : weights_) grads.push_back(w.grad());
    const at::Tensor norm = at::stack(at::_foreach_norm(grads)).norm();
    at::_foreach_mul_(grads, (1.0 / (norm + 1e-6)).clamp_max(1.0));
    at::_foreach_add_(steps_, 1);
    at::_fused_adamw_(weights_, grads, m_, v_, {}, steps_, 1e-3, 0.9, 0.999, 1e-2, 1e-8, false, false);
  }

 private:
  std::vector<at::Tensor> weights_, m_, v_, steps_;
};

struct TorchBatch {
  at::Tensor ids;                  // [sequences, longest]
  at::Tensor targets;              // [sequences], or one for each token
  std::optional<at::Tensor> seen;  // true where a token is, if lengths differ: [sequences, longest]

  explicit TorchBatch(const TrainBatch& batch) : targets(tensor_of(batch.targets)) {
    const at::Tensor tokens = token_mask(batch.lengths);
    ids = at::zeros(tokens.sizes(), at::kLong);
    ids.index_put_({tokens}, tensor_of(batch.ids));
    if (!all_equal(batch.lengths)) seen = tokens;
  }
};

template <class Optimizer>
class TorchTrainStep final : public Contestant {
 public:
  explicit TorchTrainStep(const TrainWork& work)
      : model_(work.model),
        weights_(work.weights, true),
        optimizer_(weights_.all()),
        batches_(work.batches.begin(), work.batches.end()) {
    const bool gpt = model_ == TrainModel::char_gpt;
    stack_ = {gpt ? "encoder." : "transformer_encoder.", work.num_layers, work.nhead, gpt, gpt, gpt, gpt};
    std::int64_t longest = 0;
    for (const TorchBatch& batch : batches_) longest = std::max(longest, batch.ids.size(1));
    if (!gpt) waves_ = sinusoidal(longest, work.d_model);
  }

  void run() override {
    for (const TorchBatch& batch : batches_) step(batch);
  }
  std::vector<Result> results() override {
    std::vector<Result> results{{"losses", {}}};
    for (std::size_t i = 0; i < kCheckedSteps; ++i) {
      const auto loss = static_cast<float>(step(batches_[i % batches_.size()]));
      results[0].values.push_back(loss);
      for (std::size_t w = 0; i == 0 && w < weights_.all().size(); ++w) {
        results.push_back(result_of(weights_.names()[w], weights_.all()[w].grad()));
      }
    }
    return results;
  }

 private:
  double step(const TorchBatch& batch) {
    optimizer_.zero_grad();
    const at::Tensor loss = at::cross_entropy_loss(logits(batch), batch.targets);
    loss.backward();
    optimizer_.clip_and_step();
    return loss.item<float>();
  }

  [[nodiscard]] at::Tensor logits(const TorchBatch& batch) const {
    const at::Tensor x = at::embedding(weights_["embedding.weight"], batch.ids);
    const std::int64_t length = batch.ids.size(1);
    if (model_ == TrainModel::char_gpt) {
      const at::Tensor y = stack_.forward(x + weights_["positions.weight"].slice(0, 0, length), weights_, {});
      return at::linear(y.flatten(0, 1), weights_["head.weight"], weights_["head.bias"]);
    }
    std::optional<at::Tensor> mask;
    if (batch.seen) mask = batch.seen->unsqueeze(1).unsqueeze(1);
    const at::Tensor y = stack_.forward(x + waves_.slice(0, 0, length), weights_, mask);
    return at::linear(mean(y, batch.seen), weights_["classifier.weight"], weights_["classifier.bias"]);
  }
  [[nodiscard]] static at::Tensor mean(const at::Tensor& y, const std::optional<at::Tensor>& seen) {
    if (!seen) return y.mean(1);
    const at::Tensor kept = seen->unsqueeze(2).to(at::kFloat);
    return (y * kept).sum(1) / kept.sum(1);
  }

  /// sin and cos of p base^(-2i / features), in turn: [positions, features].
  [[nodiscard]] static at::Tensor sinusoidal(std::int64_t positions, std::int64_t features) {
    const at::Tensor p = at::arange(positions, at::kDouble).unsqueeze(1);
    const at::Tensor angles = p * at::pow(10000.0, at::arange(0, features, 2, at::kDouble) / -features);
    return at::stack({angles.sin(), angles.cos()}, 2).flatten(1).to(at::kFloat);
  }

  TrainModel model_;
  Weights weights_;
  Optimizer optimizer_;
  EncoderStack stack_;
  at::Tensor waves_;
  std::vector<TorchBatch> batches_;
};

}  // namespace

std::unique_ptr<Contestant> torch_train_step(const TrainWork& work, TorchOptimizer optimizer) {
  if (optimizer == TorchOptimizer::loop) return std::make_unique<TorchTrainStep<LoopOptimizer>>(work);
  return std::make_unique<TorchTrainStep<FusedOptimizer>>(work);
}

}  // namespace bench
