#include "conformance/onnx_node.hpp"

#include <mat/core/sequences.hpp>
#include <mat/ops/activation.hpp>
#include <mat/ops/dropout.hpp>
#include <mat/ops/normalize.hpp>
#include <mat/ops/softmax.hpp>

namespace mat::conformance {

namespace {

/// The sizes before and from an axis on: a norm or a softmax sees the tensor as such a matrix.
std::vector<Index> leading(const std::vector<Index>& shape, Index axis) {
  return {shape.begin(), shape.begin() + axis};
}
std::vector<Index> trailing(const std::vector<Index>& shape, Index axis) { return {shape.begin() + axis, shape.end()}; }

/// An optional weight or bias of a norm, as many numbers as there are features.
template <class T>
Array<T> affine(const OnnxNode<T>& node, std::size_t i, const std::vector<Index>& normalized) {
  return node.has(i) ? expanded(node.real(i), normalized) : Array<T>{{0}, {}};
}

template <class T>
void run_layer_norm(OnnxNode<T>& node) {
  const Array<T>& x = node.real(0);
  const Index axis = axis_of(node.number("axis", -1), x.rank());
  const std::vector<Index> normalized = trailing(x.shape, axis);
  const Array<T> weight = affine(node, 1, normalized), bias = affine(node, 2, normalized);
  Array<T> y = zeros<T>(x.shape);
  NormStatistics<T> statistics;
  const Index features = count(normalized);
  layer_norm_forward<T>(matrix_of(x, features), {vector_of(weight), vector_of(bias)}, node.decimal("epsilon", 1e-5),
                        mutable_matrix_of(y, features), statistics);
  std::vector<Index> kept = leading(x.shape, axis);
  kept.resize(x.shape.size(), 1);
  node.set(0, y);
  node.set(1, array_of(statistics.mean.view(), kept));
  node.set(2, array_of(statistics.inv_std.view(), kept));
}

template <class T>
void run_rms_norm(OnnxNode<T>& node) {
  const Array<T>& x = node.real(0);
  const std::vector<Index> normalized = trailing(x.shape, axis_of(node.number("axis", -1), x.rank()));
  const Array<T> weight = affine(node, 1, normalized);
  Array<T> y = zeros<T>(x.shape);
  NormStatistics<T> statistics;
  const Index features = count(normalized);
  rms_norm_forward<T>(matrix_of(x, features), vector_of(weight), node.decimal("epsilon", 1e-5),
                      mutable_matrix_of(y, features), statistics);
  node.set(0, y);
}

enum class Kind { softmax, log_softmax };

/// Along one axis; before version 13 along that axis and all behind it.
template <class T, Kind kKind>
void run_softmax(OnnxNode<T>& node) {
  const Array<T>& x = node.real(0);
  const bool old = node.opset() < 13;
  const Index axis = axis_of(node.number("axis", old ? 1 : -1), x.rank());
  const Index inner = old ? 1 : count(trailing(x.shape, axis + 1));
  Array<T> y = zeros<T>(x.shape);
  if (inner == 1) {
    const Index n = count(trailing(x.shape, axis));
    const auto forward = kKind == Kind::softmax ? softmax_forward<T> : log_softmax_forward<T>;
    forward(matrix_of(x, n), mutable_matrix_of(y, n));
  } else {
    const Sequences sequences = Sequences::uniform(count(leading(x.shape, axis)), x.dim(axis));
    const auto forward = kKind == Kind::softmax ? softmax_over_tokens_forward<T> : log_softmax_over_tokens_forward<T>;
    forward(matrix_of(x, inner), sequences, mutable_matrix_of(y, inner));
  }
  node.set(0, y);
}

template <class T>
Array<T> activated(Activation kind, const Array<T>& x) {
  Array<T> y = zeros<T>(x.shape);
  activation_forward<T>(kind, matrix_of(x), mutable_matrix_of(y, matrix_of(x).cols()));
  return y;
}
template <class T>
Array<T> scaled(Array<T> x, double factor) {
  if (factor == 1) return x;
  for (T& value : x.values) value *= static_cast<T>(factor);
  return x;
}
/// x sigmoid(alpha x) = silu(alpha x) / alpha.
template <class T>
Array<T> swish(const Array<T>& x, double alpha) {
  return scaled(activated(Activation::silu, scaled(x, alpha)), 1 / alpha);
}
template <class T>
Array<T> gated(const Array<T>& a, const Array<T>& b) {
  Array<T> y = zeros<T>(a.shape);
  gate_forward<T>(matrix_of(a), matrix_of(b), mutable_matrix_of(y, matrix_of(a).cols()));
  return y;
}

template <class T, Activation kKind>
void run_activation(OnnxNode<T>& node) {
  node.set(0, activated(kKind, node.real(0)));
}
template <class T>
void run_gelu(OnnxNode<T>& node) {
  const bool approximate = node.word("approximate", "none") == "tanh";
  node.set(0, activated(approximate ? Activation::gelu_tanh : Activation::gelu, node.real(0)));
}
template <class T>
void run_elu(OnnxNode<T>& node) {
  if (node.decimal("alpha", 1) != 1) throw Unsupported("the library's elu has alpha 1");
  node.set(0, activated(Activation::elu, node.real(0)));
}
template <class T>
void run_swish(OnnxNode<T>& node) {
  node.set(0, swish(node.real(0), node.decimal("alpha", 1)));
}
template <class T>
void run_swiglu(OnnxNode<T>& node) {
  node.set(0, gated(swish(node.real(0), node.decimal("alpha", 1)), node.real(1)));
}
/// The product of a gated linear unit.
template <class T>
void run_multiply(OnnxNode<T>& node) {
  if (node.real(0).shape != node.real(1).shape) throw Unsupported("a product of different shapes");
  node.set(0, gated(node.real(0), node.real(1)));
}
/// Without training mode, or at rate 0, nothing is dropped.
template <class T>
void run_dropout(OnnxNode<T>& node) {
  const Array<T>& x = node.real(0);
  const bool training = node.has(2) && node.whole(2).values.at(0) != 0;
  const double rate = node.has(1) ? static_cast<double>(node.real(1).values.at(0)) : 0.5;
  if (training && rate > 0) throw Unsupported("the random numbers of another library");
  const Dropout dropout;
  Array<T> y = zeros<T>(x.shape);
  dropout_forward<T>(dropout, matrix_of(x), mutable_matrix_of(y, matrix_of(x).cols()));
  OnnxValue<T> kept;
  kept.is_whole = kept.is_bool = true;
  kept.whole.shape = x.shape;
  for (Index i = 0; i < x.size(); ++i) {
    kept.whole.values.push_back(dropout_scale(dropout, static_cast<std::uint64_t>(i)) > 0 ? 1 : 0);
  }
  node.set(0, y);
  node.set(1, kept);
}

}  // namespace

template <class T>
OnnxAdapters<T> onnx_layers() {
  return {{"LayerNormalization", run_layer_norm<T>},
          {"RMSNormalization", run_rms_norm<T>},
          {"Softmax", run_softmax<T, Kind::softmax>},
          {"LogSoftmax", run_softmax<T, Kind::log_softmax>},
          {"Relu", run_activation<T, Activation::relu>},
          {"Sigmoid", run_activation<T, Activation::sigmoid>},
          {"Tanh", run_activation<T, Activation::tanh>},
          {"Gelu", run_gelu<T>},
          {"Elu", run_elu<T>},
          {"Softplus", run_activation<T, Activation::softplus>},
          {"Swish", run_swish<T>},
          {"SwiGLU", run_swiglu<T>},
          {"Mul", run_multiply<T>},
          {"Dropout", run_dropout<T>}};
}

template OnnxAdapters<float> onnx_layers<float>();
template OnnxAdapters<double> onnx_layers<double>();

}  // namespace mat::conformance
