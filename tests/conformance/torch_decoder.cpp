#include "conformance/batch_layout.hpp"
#include "conformance/torch_settings.hpp"

#include <mat/models/transformer.hpp>

namespace mat::conformance {

namespace {

// nn.TransformerDecoderLayer, nn.TransformerDecoder and nn.Transformer. As for the encoder, padding is a mask here.

/// The masks of one attention of a case, joined; it owns what the AttentionMask looks at.
template <class T>
class ModuleMask {
 public:
  ModuleMask(const Case& c, const std::string& mask, const std::string& padding, Shape<4> sizes) {
    const auto [batch, heads, queries, keys] = sizes;
    add_module_mask(c, "input." + mask, batch, heads, builder_);
    add_padding_mask(c, "input." + padding, builder_);
    mask_ = builder_.join(AttentionMask<T>::none(), queries, keys);
  }
  [[nodiscard]] const AttentionMask<T>& get() const { return mask_; }

 private:
  MaskBuilder<T> builder_;
  AttentionMask<T> mask_;
};

template <class T, class Decoder>
void run_decoder_of(const Case& c, Decoder& decoder, Index heads, Results& results) {
  const bool batch_first = c.flag("batch_first");
  const BatchLayout tgt(c.shape("input.tgt"), batch_first), memory(c.shape("input.memory"), batch_first);
  const Array<T> x = tgt.rows(c.array<T>("input.tgt")), m = memory.rows(c.array<T>("input.memory"));
  const Array<T> dy = tgt.rows(c.array<T>("grad_output.y"));
  c.load(decoder.parameters());
  const ModuleMask<T> tgt_mask(c, "tgt_mask", "tgt_key_padding_mask", {tgt.batch(), heads, tgt.length(), tgt.length()});
  const ModuleMask<T> memory_mask(c, "memory_mask", "memory_key_padding_mask",
                                  {tgt.batch(), heads, tgt.length(), memory.length()});
  const Sequences tgt_sequences = tgt.sequences(), memory_sequences = memory.sequences();
  typename Decoder::Cache cache;
  auto grads = zeros_like(decoder.parameters());
  const auto y = decoder.forward({matrix_of(x), matrix_of(m), &tgt_sequences, &memory_sequences, {}},
                                 {tgt_mask.get(), memory_mask.get(), {}}, cache);
  results.set("output.y", tgt.unrow(y));
  const auto d = decoder.backward(matrix_of(dy), cache, grads);
  results.set("grad_input.tgt", tgt.unrow(d.dtgt));
  results.set("grad_input.memory", memory.unrow(d.dmemory));
  results.set_gradients(grads);
}

template <class T>
void run_decoder(const Case& c, Results& results) {
  const auto layer = encoder_layer_config<T>(c);
  if (c.option("layers") == nullptr) {
    DecoderLayer<T> decoder(layer, Random(1));
    return run_decoder_of<T>(c, decoder, layer.nhead, results);
  }
  TransformerDecoder<T> decoder({layer, c.number("layers", 1), c.flag("final_norm")}, Random(1));
  run_decoder_of<T>(c, decoder, layer.nhead, results);
}

template <class T>
void run_transformer(const Case& c, Results& results) {
  const bool batch_first = c.flag("batch_first");
  const BatchLayout src(c.shape("input.src"), batch_first), tgt(c.shape("input.tgt"), batch_first);
  const Array<T> x = src.rows(c.array<T>("input.src")), y = tgt.rows(c.array<T>("input.tgt"));
  const Array<T> dy = tgt.rows(c.array<T>("grad_output.y"));
  typename Transformer<T>::Config config;
  config.layer = encoder_layer_config<T>(c);
  config.num_encoder_layers = c.number("enc", 1);
  config.num_decoder_layers = c.number("dec", 1);
  Transformer<T> model(config, Random(1));
  c.load(model.parameters());
  const Index batch = src.batch(), heads = config.layer.nhead;
  const ModuleMask<T> src_mask(c, "src_mask", "src_key_padding_mask", {batch, heads, src.length(), src.length()});
  const ModuleMask<T> tgt_mask(c, "tgt_mask", "tgt_key_padding_mask", {batch, heads, tgt.length(), tgt.length()});
  const ModuleMask<T> memory_mask(c, "memory_mask", "memory_key_padding_mask",
                                  {batch, heads, tgt.length(), src.length()});
  const Sequences src_sequences = src.sequences(), tgt_sequences = tgt.sequences();
  typename Transformer<T>::Cache cache;
  auto grads = zeros_like(model.parameters());
  results.set("output.y", tgt.unrow(model.forward({matrix_of(x), matrix_of(y), &src_sequences, &tgt_sequences},
                                                  {src_mask.get(), tgt_mask.get(), memory_mask.get(), {}}, cache)));
  const auto d = model.backward(matrix_of(dy), cache, grads);
  results.set("grad_input.src", src.unrow(d.dsrc));
  results.set("grad_input.tgt", tgt.unrow(d.dtgt));
  results.set_gradients(grads);
}

}  // namespace

template <class T>
Adapters torch_decoder() {
  return {{"nn.TransformerDecoderLayer", run_decoder<T>},
          {"nn.TransformerDecoder", run_decoder<T>},
          {"nn.Transformer", run_transformer<T>}};
}

template Adapters torch_decoder<float>();
template Adapters torch_decoder<double>();

}  // namespace mat::conformance
