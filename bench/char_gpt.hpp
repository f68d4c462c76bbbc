#pragma once

#include <mat/blocks/transformer_encoder.hpp>
#include <mat/layers/embedding.hpp>
#include <mat/layers/learned_position.hpp>
#include <mat/layers/linear.hpp>

namespace bench {

/// A small GPT over characters, as a user would put it together from the library's layers.
///
///     logits = head(encoder(embedding(ids) + positions)),   causal, norms first, a norm at the end
class CharGpt {
 public:
  struct Config {
    mat::Index vocabulary = 0, context = 0, d_model = 0, nhead = 1, dim_feedforward = 0, num_layers = 1;
  };

  struct Parameters {
    mat::Embedding<float> embedding;
    mat::LearnedPosition<float> positions;
    mat::TransformerEncoder<float> encoder;
    mat::Linear<float> head;

    template <class Visitor, class... P>
    static void visit(Visitor&& visitor, P&... p) {
      mat::visit_layer("embedding", visitor, p.embedding...);
      mat::visit_layer("positions", visitor, p.positions...);
      mat::visit_layer("encoder", visitor, p.encoder...);
      mat::visit_layer("head", visitor, p.head...);
    }
  };

  struct Cache {
    mat::Embedding<float>::Cache embedding;
    mat::LearnedPosition<float>::Cache positions;
    mat::TransformerEncoder<float>::Cache encoder;
    mat::Linear<float>::Cache head;
  };

  CharGpt(const Config& config, const mat::Random& random)
      : parameters_{mat::Embedding<float>({config.vocabulary, config.d_model, {}, false}, random.split(0)),
                    mat::LearnedPosition<float>({config.context, config.d_model}, random.split(1)),
                    mat::TransformerEncoder<float>(encoder_config(config), random.split(2)),
                    mat::Linear<float>({config.d_model, config.vocabulary}, random.split(3))} {}

  [[nodiscard]] const Parameters& parameters() const { return parameters_; }
  [[nodiscard]] Parameters& parameters() { return parameters_; }

  mat::ConstMatrixView<float> forward(const std::vector<mat::Index>& ids, const mat::Sequences& sequences,
                                      Cache& cache) const {
    const auto x = parameters_.embedding.forward(ids, cache.embedding);
    const auto placed = parameters_.positions.forward(x, sequences, cache.positions);
    const mat::AttentionCall<float> call{mat::AttentionMask<float>::causal(), {}};
    return parameters_.head.forward(parameters_.encoder.forward(placed, sequences, call, cache.encoder), cache.head);
  }

  void backward(mat::ConstMatrixView<float> dlogits, Cache& cache, Parameters& grads) const {
    auto d = parameters_.head.backward(dlogits, cache.head, grads.head.parameters());
    d = parameters_.encoder.backward(d, cache.encoder, grads.encoder.parameters());
    d = parameters_.positions.backward(d, cache.positions, grads.positions.parameters());
    parameters_.embedding.backward(d, cache.embedding, grads.embedding.parameters());
  }

 private:
  [[nodiscard]] static mat::TransformerEncoder<float>::Config encoder_config(const Config& c) {
    mat::TransformerEncoder<float>::Config config;
    config.layer.d_model = c.d_model;
    config.layer.nhead = c.nhead;
    config.layer.dim_feedforward = c.dim_feedforward;
    config.layer.activation = mat::Activation::gelu;
    config.layer.norm_first = true;
    config.num_layers = c.num_layers;
    config.final_norm = true;
    return config;
  }

  Parameters parameters_;
};

}  // namespace bench
