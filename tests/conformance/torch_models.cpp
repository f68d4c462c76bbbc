#include "conformance/batch_layout.hpp"
#include "conformance/torch_settings.hpp"

#include <mat/blocks/transformer_encoder.hpp>
#include <mat/models/mat.hpp>

namespace mat::conformance {

// nn.TransformerEncoderLayer, nn.TransformerEncoder, and the article's MemoryLayer, SelfAttention and MAT.

/// Padded positions are queries too, as in PyTorch: padding is a mask here, not a shorter sequence.
template <class T, class Encoder>
void run_encoder_of(const Case& c, Encoder& encoder, Index heads, Results& results) {
  const BatchLayout layout(c.shape("input.src"), c.flag("batch_first"));
  const Array<T> x = layout.rows(c.array<T>("input.src")), dy = layout.rows(c.array<T>("grad_output.y"));
  if (c.has("grad_input.mask")) throw Unsupported("the gradient of an encoder's mask");
  c.load(encoder.parameters());
  MaskBuilder<T> mask;
  // A mask that the case says is causal is the library's own.
  const bool causal = c.flag("is_causal");
  if (!causal) add_module_mask(c, "input.mask", layout.batch(), heads, mask);
  add_padding_mask(c, "input.src_key_padding_mask", mask);
  AttentionCall<T> call;
  call.mask =
      mask.join(causal ? AttentionMask<T>::causal_from(0) : AttentionMask<T>::none(), layout.length(), layout.length());
  const Sequences sequences = layout.sequences();
  typename Encoder::Cache cache;
  auto grads = zeros_like(encoder.parameters());
  results.set("output.y", layout.unrow(encoder.forward(matrix_of(x), sequences, call, cache)));
  results.set("grad_input.src", layout.unrow(encoder.backward(matrix_of(dy), cache, grads)));
  results.set_gradients(grads);
}

template <class T>
void run_encoder(const Case& c, Results& results) {
  const auto layer = encoder_layer_config<T>(c);
  if (c.option("layers") == nullptr) {
    EncoderLayer<T> encoder(layer, Random(1));
    return run_encoder_of<T>(c, encoder, layer.nhead, results);
  }
  typename TransformerEncoder<T>::Config config;
  config.layer = layer;
  config.num_layers = c.number("layers", 1);
  config.final_norm = c.flag("final_norm");
  TransformerEncoder<T> encoder(config, Random(1));
  run_encoder_of<T>(c, encoder, layer.nhead, results);
}

template <class T>
void run_memory_layer(const Case& c, Results& results) {
  const Array<T> x = c.array<T>("input.x"), dy = c.array<T>("grad_output.y");
  MemoryLayer<T> layer({c.config().at("input_dim").as_index(), c.config().at("hidden_dim").as_index()}, Random(1));
  c.load(layer.parameters());
  typename MemoryLayer<T>::Cache cache;
  auto grads = zeros_like(layer.parameters());
  results.set("output.y", array_of(layer.forward(matrix_of(x), cache), x.shape));
  results.set("grad_input.x", array_of(layer.backward(matrix_of(dy), cache, grads), x.shape));
  results.set_gradients(grads);
}

template <class T>
void run_self_attention(const Case& c, Results& results) {
  const BatchLayout layout(c.shape("input.x"), false);
  const Array<T> x = layout.rows(c.array<T>("input.x")), memory = layout.rows(c.array<T>("input.memory"));
  const Array<T> dy = layout.rows(c.array<T>("grad_output.y"));
  SelfAttention<T> layer({c.config().at("input_dim").as_index(), c.config().at("hidden_dim").as_index()}, Random(1));
  c.load(layer.parameters());
  const Sequences sequences = layout.sequences();
  typename SelfAttention<T>::Cache cache;
  auto grads = zeros_like(layer.parameters());
  results.set("output.y", layout.unrow(layer.forward(matrix_of(x), matrix_of(memory), sequences, cache)));
  const auto d = layer.backward(matrix_of(dy), cache, grads);
  results.set("grad_input.x", layout.unrow(d.dx));
  results.set("grad_input.memory", layout.unrow(d.dmemory));
  results.set_gradients(grads);
}

template <class T>
void run_mat(const Case& c, Results& results) {
  const BatchLayout layout(c.shape("input.x"), false);
  const Array<T> x = layout.rows(c.array<T>("input.x")), dy = layout.rows(c.array<T>("grad_output.y"));
  typename MAT<T>::Config config;
  config.input_dim = c.config().at("input_dim").as_index();
  config.hidden_dim = c.config().at("hidden_dim").as_index();
  config.nhead = c.number("nhead", 1);
  config.num_layers = c.number("num_layers", 1);
  config.activation = activation_of(c.word("activation", "relu"));
  config.layer_norm_eps = c.real("eps", config.layer_norm_eps);
  config.norm_first = c.flag("norm_first");
  config.final_norm = c.flag("final_norm");
  MAT<T> model(config, Random(1));
  c.load(model.parameters());
  const Sequences sequences = layout.sequences();
  typename MAT<T>::Cache cache;
  auto grads = zeros_like(model.parameters());
  results.set("output.y", layout.unrow(model.forward(matrix_of(x), sequences, cache)));
  results.set("grad_input.x", layout.unrow(model.backward(matrix_of(dy), cache, grads)));
  results.set_gradients(grads);
}

template <class T>
Adapters torch_models() {
  return {{"nn.TransformerEncoderLayer", run_encoder<T>},
          {"nn.TransformerEncoder", run_encoder<T>},
          {"seed.MemoryLayer", run_memory_layer<T>},
          {"seed.SelfAttention", run_self_attention<T>},
          {"seed.MAT", run_mat<T>}};
}

template Adapters torch_models<float>();
template Adapters torch_models<double>();

}  // namespace mat::conformance
