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

/// The optional weight and bias of a norm. The library's have one number for each feature; those that differ from row
/// to row are applied here, to what it makes without them.
template <class T>
class Affine {
 public:
  Affine(const OnnxNode<T>& node, Index axis)
      : shape_(node.real(0).shape),
        normalized_(trailing(shape_, axis)),
        weight_(input(node, 1)),
        bias_(input(node, 2)) {
    by_feature_ = fits(weight_) && fits(bias_);
  }
  [[nodiscard]] Array<T> weight() const { return by_feature(weight_); }
  [[nodiscard]] Array<T> bias() const { return by_feature(bias_); }
  void apply(Array<T>& y) const {
    if (by_feature_) return;
    const Array<T> weight = weight_ ? expanded(*weight_, shape_) : Array<T>(),
                   bias = bias_ ? expanded(*bias_, shape_) : Array<T>();
    for (std::size_t i = 0; i < y.values.size(); ++i) {
      if (weight_) y.values[i] *= weight.values[i];
      if (bias_) y.values[i] += bias.values[i];
    }
  }

 private:
  /// Without the ones in front of the features.
  [[nodiscard]] std::optional<Array<T>> input(const OnnxNode<T>& node, std::size_t i) const {
    if (!node.has(i)) return std::nullopt;
    Array<T> x = node.real(i);
    while (x.shape.size() > normalized_.size() && x.shape.front() == 1) x.shape.erase(x.shape.begin());
    return x;
  }
  [[nodiscard]] bool fits(const std::optional<Array<T>>& x) const {
    return !x || x->shape.size() <= normalized_.size();
  }
  [[nodiscard]] Array<T> by_feature(const std::optional<Array<T>>& x) const {
    return x && by_feature_ ? expanded(*x, normalized_) : Array<T>{{0}, {}};
  }

  std::vector<Index> shape_, normalized_;
  std::optional<Array<T>> weight_, bias_;
  bool by_feature_ = true;
};

template <class T>
void run_layer_norm(OnnxNode<T>& node) {
  const Array<T>& x = node.real(0);
  const Index axis = axis_of(node.number("axis", -1), x.rank());
  const Affine<T> affine(node, axis);
  const Array<T> weight = affine.weight(), bias = affine.bias();
  Array<T> y = zeros<T>(x.shape);
  NormStatistics<T> statistics;
  layer_norm_forward<T>(axis_matrix(x, axis), {vector_of(weight), vector_of(bias)}, node.decimal("epsilon", 1e-5),
                        mutable_axis_matrix(y, axis), statistics);
  affine.apply(y);
  std::vector<Index> kept = leading(x.shape, axis);
  kept.resize(x.shape.size(), 1);
  node.set(0, y);
  node.set(1, array_of(statistics.mean.view(), kept));
  node.set(2, array_of(statistics.inv_std.view(), kept));
}

template <class T>
void run_rms_norm(OnnxNode<T>& node) {
  const Array<T>& x = node.real(0);
  const Index axis = axis_of(node.number("axis", -1), x.rank());
  const Affine<T> affine(node, axis);
  const Array<T> weight = affine.weight();
  Array<T> y = zeros<T>(x.shape);
  NormStatistics<T> statistics;
  rms_norm_forward<T>(axis_matrix(x, axis), vector_of(weight), node.decimal("epsilon", 1e-5),
                      mutable_axis_matrix(y, axis), statistics);
  affine.apply(y);
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
    const auto forward = kKind == Kind::softmax ? softmax_forward<T> : log_softmax_forward<T>;
    forward(axis_matrix(x, axis), mutable_axis_matrix(y, axis));
  } else {
    const Sequences sequences = Sequences::uniform(count(leading(x.shape, axis)), x.dim(axis));
    const auto forward = kKind == Kind::softmax ? softmax_over_tokens_forward<T> : log_softmax_over_tokens_forward<T>;
    forward(axis_matrix(x, axis + 1), sequences, mutable_axis_matrix(y, axis + 1));
  }
  node.set(0, y);
}

template <class T>
Array<T> activated(Activation kind, const Array<T>& x) {
  Array<T> y = zeros<T>(x.shape);
  activation_forward<T>(kind, matrix_of(x), mutable_matrix_of(y));
  return y;
}
template <class T>
Array<T> scaled(Array<T> x, double factor) {
  if (factor == 1) return x;
  for (T& value : x.values) value *= static_cast<T>(factor);
  return x;
}
template <class T>
Array<T> gated(const Array<T>& a, const Array<T>& b) {
  Array<T> y = zeros<T>(a.shape);
  gate_forward<T>(matrix_of(a), matrix_of(b), mutable_matrix_of(y));
  return y;
}

/// x sigmoid(alpha x).
template <class T>
Array<T> swish(const Array<T>& x, double alpha) {
  return alpha == 1 ? activated(Activation::silu, x) : gated(x, activated(Activation::sigmoid, scaled(x, alpha)));
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
  Array<T> y = activated(Activation::elu, node.real(0));
  for (T& value : y.values) value *= value < 0 ? static_cast<T>(node.decimal("alpha", 1)) : T(1);  // the library's is 1
  node.set(0, y);
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
  dropout_forward<T>(dropout, matrix_of(x), mutable_matrix_of(y));
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
