#pragma once

#include <mat/ops/activation.hpp>
#include <mat/ops/matmul.hpp>

#include <type_traits>

namespace mat {
inline namespace MAT_ABI {

/// A network of two linear maps whose weights are data: views of one sequence's part of a state, or of its gradient.
template <class T>
struct FastWeights {
  TensorView<T, 2> fc1_weight;  // [hidden, features]
  TensorView<T, 1> fc1_bias;    // [hidden]
  TensorView<T, 2> fc2_weight;  // [features, hidden]
  TensorView<T, 1> fc2_bias;    // [features]

  FastWeights() = default;
  FastWeights(TensorView<T, 2> w1, TensorView<T, 1> b1, TensorView<T, 2> w2, TensorView<T, 1> b2)
      : fc1_weight(w1), fc1_bias(b1), fc2_weight(w2), fc2_bias(b2) {}
  /// Of numbers that lie one after the other, `size_of(hidden, features)` of them.
  FastWeights(T* numbers, Index hidden, Index features)
      : fc1_weight(numbers, {hidden, features}),
        fc1_bias(numbers + hidden * features, {hidden}),
        fc2_weight(numbers + hidden * features + hidden, {features, hidden}),
        fc2_bias(numbers + 2 * hidden * features + hidden, {features}) {}
  /// Writable weights read as well.
  template <class U, class = std::enable_if_t<std::is_same_v<T, const U>>>
  FastWeights(const FastWeights<U>& other)  // NOLINT(google-explicit-constructor): as T* to const T*
      : FastWeights(other.fc1_weight, other.fc1_bias, other.fc2_weight, other.fc2_bias) {}

  [[nodiscard]] static Index size_of(Index hidden, Index features) { return 2 * hidden * features + hidden + features; }
};

namespace detail {

/// Calls fn(count, numbers...) for each of the four tensors of several networks of the same sizes.
template <class Function, class First, class... Rest>
void for_each_fast_weight(const Function& fn, const First& first, const Rest&... rest) {
  fn(first.fc1_weight.size(), first.fc1_weight.data(), rest.fc1_weight.data()...);
  fn(first.fc1_bias.size(), first.fc1_bias.data(), rest.fc1_bias.data()...);
  fn(first.fc2_weight.size(), first.fc2_weight.data(), rest.fc2_weight.data()...);
  fn(first.fc2_bias.size(), first.fc2_bias.data(), rest.fc2_bias.data()...);
}

/// The inner product of all numbers of two networks.
template <class T>
[[nodiscard]] double fast_weights_dot(FastWeights<const T> a, FastWeights<const T> b) {
  double sum = 0;
  for_each_fast_weight([&](Index n, const T* x, const T* y) { sum += static_cast<double>(simd::dot(n, x, y)); }, a, b);
  return sum;
}

}  // namespace detail

/// The output of a network whose weights are data.
///
///     hidden = relu(x W1^T + b1),   y = hidden W2^T + b2
///
/// Shapes:  x, y [rows, features]; hidden [rows, hidden].
/// Errors:  ShapeError if they do not fit.
/// Threads: may use parallel_for; the bits of a row are those of a MemoryLayer with these weights.
template <class T>
void fast_weights_forward(FastWeights<const T> w, ConstMatrixView<T> x, MatrixView<T> hidden, MatrixView<T> y) {
  matmul<T>(x, transposed<T>(w.fc1_weight), hidden, w.fc1_bias);
  activation_forward<T>(Activation::relu, hidden, hidden);
  matmul<T>(hidden, transposed<T>(w.fc2_weight), y, w.fc2_bias);
}

/// Adds the gradients of fast_weights_forward to dw and dx.
///
///     dhidden += dy W2,   dz = dhidden [hidden > 0],   dx += dz W1
///     dW2 += dy^T hidden,   db2 += sum dy,   dW1 += dz^T x,   db1 += sum dz
///
/// `dhidden` brings what else depends on hidden, or zeros, and takes dz away. An empty dw is not computed.
///
/// Shapes, errors and threads as fast_weights_forward.
template <class T>
void fast_weights_backward(FastWeights<const T> w, ConstMatrixView<T> x, ConstMatrixView<T> hidden,
                           ConstMatrixView<T> dy, MatrixView<T> dhidden, FastWeights<T> dw, MatrixView<T> dx) {
  matmul_add<T>(dy, w.fc2_weight, dhidden);
  activation_backward<T>(Activation::relu, hidden, hidden, dhidden, dhidden);
  matmul_add<T>(dhidden, w.fc1_weight, dx);
  if (dw.fc1_weight.empty()) return;
  matmul_add<T>(transposed<T>(dy), hidden, dw.fc2_weight);
  add_column_sums<T>(dy, dw.fc2_bias);
  matmul_add<T>(transposed<T>(dhidden), x, dw.fc1_weight);
  add_column_sums<T>(dhidden, dw.fc1_bias);
}

}  // namespace MAT_ABI
}  // namespace mat
