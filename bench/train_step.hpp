#pragma once

#include <bench/peer.hpp>

namespace bench {

/// Token ids of several sequences, one after the other. A classifier has a target for each sequence, a language model
/// one for each token.
struct TrainBatch {
  std::vector<std::int64_t> ids, lengths, targets;
};

enum class TrainModel {
  classifier,  ///< Embedding, sinusoidal positions, encoder, mean over the tokens, linear.
  char_gpt,    ///< Embedding, learned positions, causal encoder with norms first and gelu, final norm, linear.
};

/// Training steps: cross-entropy, gradients clipped to norm 1, AdamW with PyTorch's defaults. One run is one step for
/// each batch.
struct TrainWork {
  TrainModel model = TrainModel::classifier;
  std::int64_t vocabulary = 0, classes = 0;
  std::int64_t d_model = 128, nhead = 4, dim_feedforward = 512, num_layers = 2;
  std::vector<TrainBatch> batches;
  std::vector<Array> weights;  ///< Under the names of TextClassifier and CharGpt.
};

/// The results of a training case: the gradients of the first step, after clipping, and the losses of the first steps.
/// (Not the weights after a step: AdamW moves a weight whose gradient is zero but for rounding by a full step.)
inline constexpr int kCheckedSteps = 3;

enum class TorchOptimizer {
  loop,   ///< torch::optim::AdamW and clip_grad_norm_, the defaults.
  fused,  ///< The operators behind AdamW(fused=True) and clip_grad_norm_(foreach=True).
};

/// Batches of different lengths are padded to their longest and masked. Defined in torch/train_step.cpp.
[[nodiscard]] std::unique_ptr<Contestant> torch_train_step(const TrainWork& work, TorchOptimizer optimizer);

}  // namespace bench
