#include "conformance/onnx_node.hpp"
#include "conformance/parameter_list.hpp"
#include "conformance/torch_settings.hpp"

#include <mat/ops/softmax.hpp>

namespace mat::conformance {

namespace {

/// Logits or log-probabilities [N, C, d1, ...], classes [N, d1, ...] and optional class weights.
template <class T, class Loss = CrossEntropy<T>>
void run_loss(OnnxNode<T>& node, typename Loss::Input input) {
  const std::vector<Index> order = classes_last(node.real(0).rank());
  const Array<T> x = permuted(node.real(0), order);
  const Array<Index>& classes = node.whole(1);
  typename Loss::Config config;
  config.input = input;
  config.reduction = reduction_of(node.word("reduction", "mean"));
  // Without the attribute no class is ignored: this one does not occur.
  config.ignore_index = node.number("ignore_index", std::numeric_limits<Index>::min());
  if (node.has(2)) config.weight.assign(vector_of(node.real(2)));
  const Loss loss(config);
  typename Loss::Cache cache;
  const double value = loss.evaluate(matrix_of(x), vector_of(classes), cache);
  if (config.reduction == Reduction::none) {
    node.set(0, array_of(cache.losses.view(), classes.shape));
  } else {
    node.set(0, Array<T>{{}, {static_cast<T>(value)}});
  }
}

template <class T>
void run_cross_entropy(OnnxNode<T>& node) {
  run_loss<T>(node, CrossEntropy<T>::Input::logits);
  const Array<T> x = permuted(node.real(0), classes_last(node.real(0).rank()));
  Matrix<T> y(matrix_of(x).shape());
  log_softmax_forward<T>(matrix_of(x), y);
  node.set(1, permuted(array_of(y.view(), x.shape), inverse_of(classes_last(x.rank()))));
}
template <class T>
void run_nll(OnnxNode<T>& node) {
  run_loss<T>(node, CrossEntropy<T>::Input::log_probabilities);
}

/// The tensors of an optimiser's step: inputs are the rate, the update count, then groups of equal length.
template <class T>
class OnnxStep {
 public:
  OnnxStep(OnnxNode<T>& node, std::size_t groups) : node_(node), groups_(groups) {
    if ((node.input_count() - 2) % groups != 0) throw Failure(node.op() + ": the inputs are not groups");
    each_ = (node.input_count() - 2) / groups;
  }

  [[nodiscard]] double rate() const { return static_cast<double>(node_.real(0).values.at(0)); }
  [[nodiscard]] Index updates() const { return node_.whole(1).values.at(0); }
  /// Group 0 is the parameters, 1 the gradients, then the state.
  [[nodiscard]] ParameterList<T> group(std::size_t g) const {
    ParameterList<T> list;
    for (std::size_t i = 0; i < each_; ++i) list.add(std::to_string(i), node_.real(2 + g * each_ + i));
    return list;
  }
  /// Group 0 of the outputs is the parameters, then the state.
  void set(std::size_t g, const ParameterList<T>& list, const std::vector<std::vector<Index>>& shapes) {
    for (std::size_t i = 0; i < each_; ++i) {
      node_.set(g * each_ + i, array_of(list.tensors[i].view(), shapes[i]));
    }
  }

 private:
  OnnxNode<T>& node_;
  std::size_t groups_, each_ = 0;
};

/// The library's Adam has ONNX's after three changes: ONNX adds epsilon before the second moment is corrected, corrects
/// nothing at update 0, and may shrink the parameters at the end.
template <class T>
void run_adam(OnnxNode<T>& node) {
  OnnxStep<T> step(node, 4);
  ParameterList<T> parameters = step.group(0);
  AdamConfig config;
  config.learning_rate = step.rate();
  config.beta1 = node.decimal("alpha", 0.9);
  config.beta2 = node.decimal("beta", 0.999);
  config.epsilon = node.decimal("epsilon", 1e-6);
  config.weight_decay = node.decimal("norm_coefficient", 0);
  const Index t = step.updates();
  if (t > 0) config.epsilon /= std::sqrt(1 - std::pow(config.beta2, static_cast<double>(t)));
  Adam<ParameterList<T>> adam(parameters, config);
  adam.state().step = t > 0 ? t - 1 : Index{1} << 40;  // so late that there is nothing left to correct
  adam.state().exp_avg = step.group(2);
  adam.state().exp_avg_sq = step.group(3);
  adam.step(parameters, step.group(1));
  const T kept = static_cast<T>(1 - node.decimal("norm_coefficient_post", 0));
  for (Vector<T>& tensor : parameters.tensors) simd::set_scaled(tensor.size(), tensor.data(), kept, tensor.data());
  step.set(0, parameters, parameters.shapes);
  step.set(1, adam.state().exp_avg, parameters.shapes);
  step.set(2, adam.state().exp_avg_sq, parameters.shapes);
}

/// alpha is the momentum; beta, from the second update on, the weight of the gradient.
template <class T>
void run_momentum(OnnxNode<T>& node) {
  OnnxStep<T> step(node, 3);
  ParameterList<T> parameters = step.group(0);
  SgdConfig config;
  config.learning_rate = step.rate();
  config.momentum = node.decimal("alpha", 0);
  config.dampening = step.updates() > 0 ? 1 - node.decimal("beta", 1) : 0;
  config.weight_decay = node.decimal("norm_coefficient", 0);
  config.nesterov = node.word("mode", "standard") == "nesterov";
  if (config.momentum == 0) throw Unsupported("Momentum with alpha 0");
  if (config.nesterov && config.dampening != 0) throw Unsupported("nesterov with a beta that is not 1");
  if (config.dampening < 0) throw Unsupported("Momentum with a beta above 1");
  Sgd<ParameterList<T>> sgd(parameters, config);
  sgd.state().step = std::max<Index>(step.updates(), 1);  // the library's step 0 would forget the given momentum
  sgd.state().momentum_buffer = step.group(2);
  sgd.step(parameters, step.group(1));
  step.set(0, parameters, parameters.shapes);
  step.set(1, sgd.state().momentum_buffer, parameters.shapes);
}

}  // namespace

template <class T>
OnnxAdapters<T> onnx_training() {
  return {{"SoftmaxCrossEntropyLoss", run_cross_entropy<T>},
          {"NegativeLogLikelihoodLoss", run_nll<T>},
          {"Adam", run_adam<T>},
          {"Momentum", run_momentum<T>}};
}

template OnnxAdapters<float> onnx_training<float>();
template OnnxAdapters<double> onnx_training<double>();

}  // namespace mat::conformance
