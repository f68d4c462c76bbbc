#pragma once

#include <mat/layers/feed_forward.hpp>
#include <mat/layers/packed_linear.hpp>

namespace mat {
inline namespace MAT_ABI {

/// A FeedForward for inference: the same numbers, from packed weights.
///
/// Shapes:  x, y [tokens, features].
/// Errors:  ValueError for weights that the storage cannot hold; ShapeError if x does not fit.
/// Threads: const; one layer serves any number of threads, each with a cache of its own.
template <class T>
class PackedFeedForward {
 public:
  /// Memory to work in.
  struct Cache {
    Matrix<T> hidden, gate;  // [tokens, hidden]
    Matrix<T> y;             // [tokens, features]
  };

  explicit PackedFeedForward(const FeedForward<T>& layer, WeightStorage storage)
      : activation_(layer.config().activation),
        linear1_(layer.parameters().linear1, storage),
        linear2_(layer.parameters().linear2, storage) {
    if (layer.parameters().linear3) linear3_.emplace(*layer.parameters().linear3, storage);
  }

  [[nodiscard]] Index hidden() const { return linear1_.out_features(); }
  /// Bytes of the weights that one token reads.
  [[nodiscard]] Index bytes() const { return linear1_.bytes() + linear2_.bytes() + (linear3_ ? linear3_->bytes() : 0); }

  ConstMatrixView<T> forward(ConstMatrixView<T> x, Cache& cache) const {
    linear1_.forward(x, cache.hidden);
    activation_forward<T>(activation_, cache.hidden, cache.hidden);
    if (linear3_) gate_forward<T>(cache.hidden, linear3_->forward(x, cache.gate), cache.hidden);
    return linear2_.forward(cache.hidden, cache.y);
  }

 private:
  Activation activation_;
  PackedLinear<T> linear1_, linear2_;
  std::optional<PackedLinear<T>> linear3_;  // if gated
};

}  // namespace MAT_ABI
}  // namespace mat
