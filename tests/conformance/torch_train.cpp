#include "conformance/case.hpp"

#include <mat/layers/embedding.hpp>
#include <mat/models/mat.hpp>
#include <mat/training/adamw.hpp>
#include <mat/training/clip.hpp>
#include <mat/training/cross_entropy.hpp>

namespace mat::conformance {

// Whole training runs.

/// The language model of the train.* cases.
template <class T, class Body>
struct TrainedParameters {
  Embedding<T> embedding;
  Body body;
  Linear<T> head;

  template <class Visitor, class... P>
  static void visit(Visitor&& visitor, P&... p) {
    visit_layer("embedding", visitor, p.embedding...);
    visit_layer("body", visitor, p.body...);
    visit_layer("head", visitor, p.head...);
  }
};

/// Trains embedding -> body -> head as a train.* case says; `forward` calls the body.
template <class T, class Body, class Forward>
void run_training(const Case& c, Body body, const Forward& forward, Results& results) {
  const Index vocabulary = c.config().at("V").as_index(), d = c.config().at("d").as_index();
  TrainedParameters<T, Body> model{Embedding<T>({vocabulary, d, std::nullopt, false}, Random(1)), std::move(body),
                                   Linear<T>({d, vocabulary}, Random(2))};
  c.load(model);
  const Array<Index> tokens = c.array<Index>("input.tokens");
  const Index steps = tokens.dim(0), length = tokens.dim(1) - 1, batch = tokens.dim(2);
  AdamWConfig config;
  config.weight_decay = c.real("wd", config.weight_decay);
  AdamW<TrainedParameters<T, Body>> optimizer(model, config);
  ClipConfig clip;
  clip.max_norm = c.config().at("clip").as_double();
  const double lr = c.config().at("lr").as_double(), warmup = c.config().at("warmup").as_double();

  const CrossEntropy<T> loss;
  auto grads = zeros_like(model);
  typename Embedding<T>::Cache embedding_cache;
  typename Body::Cache body_cache;
  typename Linear<T>::Cache head_cache;
  typename CrossEntropy<T>::Cache loss_cache;
  const Sequences sequences = Sequences::uniform(batch, length);
  Array<double> losses{{steps}, {}}, norms{{steps}, {}};
  for (Index s = 0; s < steps; ++s) {
    std::vector<Index> ids, next;
    for (Index b = 0; b < batch; ++b) {
      for (Index t = 0; t < length; ++t) {
        const auto at = static_cast<std::size_t>((s * (length + 1) + t) * batch + b);
        ids.push_back(tokens.values[at]);
        next.push_back(tokens.values[at + static_cast<std::size_t>(batch)]);
      }
    }
    set_zero(grads);
    const auto embedded = model.embedding.forward(ids, embedding_cache);
    const auto encoded = forward(model.body, embedded, sequences, body_cache);
    losses.values.push_back(loss.forward(model.head.forward(encoded, head_cache), next, loss_cache));
    const auto dencoded = model.head.backward(loss.backward(loss_cache), head_cache, grads.head.parameters());
    const auto dembedded = model.body.backward(dencoded, body_cache, grads.body.parameters());
    model.embedding.backward(dembedded, embedding_cache, grads.embedding.parameters());
    norms.values.push_back(clip_grad_norm(grads, clip));
    optimizer.set_learning_rate(lr * std::min(1.0, static_cast<double>(s + 1) / warmup));
    optimizer.step(model, grads);
  }
  results.set("output.loss", losses);
  results.set("output.grad_norm", norms);
  for_each_parameter(
      [&](const ParameterName& name, const auto& tensor) {
        const std::vector<Index> shape(tensor.shape().begin(), tensor.shape().end());
        results.set("output.final." + name.str(), array_of(tensor.view(), shape));
      },
      model);
}

template <class T>
void run_train(const Case& c, Results& results) {
  const Index d = c.config().at("d").as_index(), ff = c.config().at("ff").as_index();
  const Index heads = c.config().at("h").as_index(), layers = c.config().at("layers").as_index();
  const std::string body = c.config().at("body").as_string();
  if (body == "mat") {
    typename MAT<T>::Config config;
    config.input_dim = d;
    config.hidden_dim = ff;
    config.nhead = heads;
    config.num_layers = layers;
    return run_training<T>(
        c, MAT<T>(config, Random(3)),
        [](const auto& model, auto x, const Sequences& s, auto& cache) { return model.forward(x, s, cache); }, results);
  }
  if (body != "pre" && body != "post") throw Unsupported("training of a " + body);
  typename TransformerEncoder<T>::Config config;
  config.layer.d_model = d;
  config.layer.dim_feedforward = ff;
  config.layer.nhead = heads;
  config.layer.activation = Activation::gelu;
  config.layer.norm_first = body == "pre";
  config.num_layers = layers;
  AttentionCall<T> call;
  call.mask = AttentionMask<T>::causal();
  run_training<T>(
      c, TransformerEncoder<T>(config, Random(3)),
      [&](const auto& model, auto x, const Sequences& s, auto& cache) { return model.forward(x, s, call, cache); },
      results);
}

template <class T>
Adapters torch_train() {
  return {{"train.", run_train<T>}};
}

template Adapters torch_train<float>();
template Adapters torch_train<double>();

}  // namespace mat::conformance
