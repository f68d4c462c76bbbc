#pragma once

#include <mat/core/types.hpp>

#include <cmath>

namespace mat {
inline namespace MAT_ABI {

/// A loss before its mean is taken: sums of several batches add up to the sum of one big batch.
struct LossSum {
  double loss = 0.0;    // sum over tokens of weight * loss
  double weight = 0.0;  // sum of the weights: the number of targets where there are no class weights

  /// The weighted mean; NaN if there was no target, as in PyTorch.
  [[nodiscard]] double mean() const { return loss / weight; }

  LossSum& operator+=(const LossSum& other) {
    loss += other.loss;
    weight += other.weight;
    return *this;
  }
  friend LossSum operator+(LossSum a, const LossSum& b) { return a += b; }
  friend bool operator==(const LossSum& a, const LossSum& b) { return a.loss == b.loss && a.weight == b.weight; }
  friend bool operator!=(const LossSum& a, const LossSum& b) { return !(a == b); }
};

/// e to the mean cross entropy per token: the number of equally likely tokens that a language model hesitates between.
[[nodiscard]] inline double perplexity(const LossSum& sum) { return std::exp(sum.mean()); }

}  // namespace MAT_ABI
}  // namespace mat
