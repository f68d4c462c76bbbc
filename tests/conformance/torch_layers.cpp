#include "conformance/torch_settings.hpp"

#include <mat/layers/embedding.hpp>
#include <mat/layers/feed_forward.hpp>
#include <mat/layers/layer_norm.hpp>
#include <mat/layers/linear.hpp>
#include <mat/layers/rms_norm.hpp>
#include <mat/layers/sinusoidal_position.hpp>
#include <mat/ops/softmax.hpp>

namespace mat::conformance {

// Layers and functions of tokens: linear, norms, embedding, activations, gated feed-forward, softmax, positions.

template <class T>
void run_linear(const Case& c, Results& results) {
  const Array<T> x = c.array<T>("input.x"), dy = c.array<T>("grad_output.y");
  Linear<T> layer({x.dim(-1), c.shape("param.weight").at(0), c.flag("bias", true)}, Random(1));
  c.load(layer.parameters());
  typename Linear<T>::Cache cache;
  auto grads = zeros_like(layer.parameters());
  results.set("output.y", array_of(layer.forward(matrix_of(x), cache), dy.shape));
  results.set("grad_input.x", array_of(layer.backward(matrix_of(dy), cache, grads), x.shape));
  results.set_gradients(grads);
}

/// A norm over the last dimensions, flattened to the features of one token.
template <class T, class Norm>
void run_norm(const Case& c, Norm& layer, const std::vector<Index>& normalized, Results& results) {
  const Array<T> x = c.array<T>("input.x"), dy = c.array<T>("grad_output.y");
  for_each_parameter(
      [&](const ParameterName& name, auto& parameter) {
        parameter.assign(vector_of(reshaped(c.array<T>("param." + name.str()), normalized)));
      },
      layer.parameters());
  typename Norm::Cache cache;
  auto grads = zeros_like(layer.parameters());
  const Index axis = x.rank() - static_cast<Index>(normalized.size());
  results.set("output.y", array_of(layer.forward(axis_matrix(x, axis), cache), x.shape));
  results.set("grad_input.x", array_of(layer.backward(axis_matrix(dy, axis), cache, grads), x.shape));
  for_each_parameter(
      [&](const ParameterName& name, const auto& grad) {
        results.set("grad_param." + name.str(), array_of(grad.view(), normalized));
      },
      grads);
}

[[nodiscard]] inline std::vector<Index> indices_of(const Json& list) {
  std::vector<Index> indices;
  for (const Json& number : list.as_array()) indices.push_back(number.as_index());
  return indices;
}

template <class T>
void run_layer_norm(const Case& c, Results& results) {
  const std::vector<Index> normalized = indices_of(c.config().at("normalized_shape"));
  typename LayerNorm<T>::Config config;
  config.features = count(normalized);
  config.epsilon = c.real("eps", config.epsilon);
  config.elementwise_affine = c.flag("affine", true);
  config.bias = c.flag("bias", true);
  LayerNorm<T> layer(config);
  run_norm<T>(c, layer, normalized, results);
}

template <class T>
void run_rms_norm(const Case& c, Results& results) {
  const std::vector<Index> normalized = indices_of(c.config().at("normalized_shape"));
  typename RMSNorm<T>::Config config;
  config.features = count(normalized);
  if (const Json* epsilon = c.option("eps")) config.epsilon = epsilon->as_double();
  config.elementwise_affine = c.flag("affine", true);
  RMSNorm<T> layer(config);
  run_norm<T>(c, layer, normalized, results);
}

template <class T>
void run_embedding(const Case& c, Results& results) {
  const Array<Index> ids = c.array<Index>("input.idx");
  const Array<T> dy = c.array<T>("grad_output.y");
  typename Embedding<T>::Config config;
  config.num_embeddings = c.config().at("num").as_index();
  config.embedding_dim = c.config().at("dim").as_index();
  if (const Json* padding = c.option("padding_idx")) config.padding_idx = padding->as_index();
  config.scale_grad_by_freq = c.flag("scale_grad_by_freq");
  if (c.option("max_norm") != nullptr) throw Unsupported("nn.Embedding with max_norm");
  Embedding<T> layer(config, Random(1));
  c.load(layer.parameters());
  typename Embedding<T>::Cache cache;
  auto grads = zeros_like(layer.parameters());
  std::vector<Index> shape = ids.shape;
  shape.push_back(config.embedding_dim);
  results.set("output.y", array_of(layer.forward(vector_of(ids), cache), shape));
  layer.backward(matrix_of(dy), cache, grads);
  results.set_gradients(grads);
}

template <class T>
void run_activation(const Case& c, Results& results) {
  const Activation kind = activation_of(c.word("fn", c.text("op").substr(c.text("op").find('.') + 1)));
  const Array<T> x = c.array<T>("input.x"), dy = c.array<T>("grad_output.y");
  Matrix<T> y(matrix_of(x).shape()), dx(y.shape());
  activation_forward<T>(kind, matrix_of(x), y);
  activation_backward<T>(kind, matrix_of(x), y, matrix_of(dy), dx);
  results.set("output.y", array_of(y.view(), x.shape));
  results.set("grad_input.x", array_of(dx.view(), x.shape));
}

/// linear1, linear2 and linear3 are w1, w2 and w3 in the file.
struct GatedNames {
  [[nodiscard]] std::string operator()(const std::string& name) const { return "w" + name.substr(6); }
};

template <class T>
void run_gated(const Case& c, Results& results) {
  const Array<T> x = c.array<T>("input.x"), dy = c.array<T>("grad_output.y");
  typename FeedForward<T>::Config config;
  config.features = c.config().at("d").as_index();
  config.hidden = c.config().at("ff").as_index();
  config.activation = activation_of(c.word("act", "silu"));
  config.gated = true;
  config.bias = c.flag("bias", true);
  FeedForward<T> layer(config, Random(1));
  c.load(layer.parameters(), GatedNames());
  typename FeedForward<T>::Cache cache;
  auto grads = zeros_like(layer.parameters());
  results.set("output.y", array_of(layer.forward(matrix_of(x), {}, cache), x.shape));
  results.set("grad_input.x", array_of(layer.backward(matrix_of(dy), cache, grads), x.shape));
  results.set_gradients(grads, GatedNames());
}

template <class T>
void run_softmax(const Case& c, Results& results) {
  const Array<T> x = c.array<T>("input.x"), dy = c.array<T>("grad_output.y");
  const bool log = c.flag("log");
  const Index axis = axis_of(c.number("dim", -1), x.rank());
  Array<T> y = zeros<T>(x.shape), dx = y;
  if (axis == x.rank() - 1) {
    const auto forward = log ? log_softmax_forward<T> : softmax_forward<T>;
    const auto backward = log ? log_softmax_backward<T> : softmax_backward<T>;
    forward(matrix_of(x), mutable_matrix_of(y));
    backward(matrix_of(y), matrix_of(dy), mutable_matrix_of(dx));
  } else {
    // The dimensions before the axis are sequences, those behind it columns.
    const std::vector<Index> outer(x.shape.begin(), x.shape.begin() + axis);
    const Sequences sequences = Sequences::uniform(count(outer), x.dim(axis));
    const auto forward = log ? log_softmax_over_tokens_forward<T> : softmax_over_tokens_forward<T>;
    const auto backward = log ? log_softmax_over_tokens_backward<T> : softmax_over_tokens_backward<T>;
    forward(axis_matrix(x, axis + 1), sequences, mutable_axis_matrix(y, axis + 1));
    backward(axis_matrix(y, axis + 1), sequences, axis_matrix(dy, axis + 1), mutable_axis_matrix(dx, axis + 1));
  }
  results.set("output.y", y);
  results.set("grad_input.x", dx);
}

template <class T>
void run_sinusoidal(const Case& c, Results& results) {
  const Array<T> x = c.array<T>("input.x"), dy = c.array<T>("grad_output.y");
  if (x.rank() != 2) throw Unsupported("positions of a rank " + std::to_string(x.rank()));
  typename SinusoidalPosition<T>::Config config;
  config.features = x.dim(-1);
  SinusoidalPosition<T> layer(config);
  typename SinusoidalPosition<T>::Cache cache;
  auto grads = layer.parameters();
  const Sequences sequences = Sequences::single(x.dim(0));
  results.set("output.y", array_of(layer.forward(matrix_of(x), sequences, cache), x.shape));
  results.set("grad_input.x", array_of(layer.backward(matrix_of(dy), cache, grads), x.shape));
  const Array<T> zero = zeros<T>(x.shape);
  results.set("output.pe", array_of(layer.forward(matrix_of(zero), sequences, cache), x.shape));
}

template <class T>
Adapters torch_layers() {
  return {{"nn.Linear", run_linear<T>},
          {"nn.LayerNorm", run_layer_norm<T>},
          {"nn.RMSNorm", run_rms_norm<T>},
          {"nn.Embedding", run_embedding<T>},
          {"activation.", run_activation<T>},
          {"GatedFFN", run_gated<T>},
          {"softmax", run_softmax<T>},
          {"log_softmax", run_softmax<T>},
          {"positional.sinusoidal", run_sinusoidal<T>}};
}

template Adapters torch_layers<float>();
template Adapters torch_layers<double>();

}  // namespace mat::conformance
