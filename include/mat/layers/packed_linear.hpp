#pragma once

#include <mat/layers/linear.hpp>
#include <mat/ops/packed_matmul.hpp>

namespace mat {
inline namespace MAT_ABI {

/// A Linear for inference: the same map, its weights packed once and, if asked for, stored in fewer bytes.
///
///     y = x W^T + b
///
/// Shapes:  x [tokens, in_features]; y [tokens, out_features].
/// Errors:  ValueError for weights that the storage cannot hold; ShapeError if x has another number of columns.
/// Threads: const; one layer serves any number of threads, each with an output of its own.
template <class T>
class PackedLinear {
 public:
  explicit PackedLinear(const Linear<T>& linear, WeightStorage storage = WeightStorage::full)
      : PackedLinear(linear.parameters().weight, linear.parameters().bias, storage) {}
  PackedLinear(ConstMatrixView<T> weight, ConstVectorView<T> bias, WeightStorage storage)
      : weights_(weight, storage), bias_(Shape<1>{bias.size()}) {
    std::copy_n(bias.data(), bias.size(), bias_.data());
  }

  [[nodiscard]] Index out_features() const { return weights_.outputs(); }
  /// Of the weights and the bias.
  [[nodiscard]] Index bytes() const { return weights_.bytes() + bias_.size() * static_cast<Index>(sizeof(T)); }

  ConstMatrixView<T> forward(ConstMatrixView<T> x, Matrix<T>& y) const {
    y.resize({x.rows(), weights_.outputs()});
    packed_matmul<T>(x, weights_, y, bias_);
    return y;
  }

 private:
  PackedWeights<T> weights_;
  Vector<T> bias_;  // [out_features], or empty
};

}  // namespace MAT_ABI
}  // namespace mat
