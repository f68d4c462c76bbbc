#pragma once

#include <mat/blocks/packed_encoder.hpp>

#include <bench/encoder.hpp>
#include <bench/suite.hpp>
#include <bench/workload.hpp>

namespace bench {

/// The library's side of an EncoderWork, which several questions ask about.
class MatEncoder final : public Contestant {
 public:
  /// `description` without its pointers and weights, which will be those of this object.
  explicit MatEncoder(const EncoderWork& description)
      : work_(description),
        encoder_(config(description), mat::Random(1)),
        packed_(encoder_),
        grads_(mat::zeros_like(encoder_.parameters())),
        sequences_(mat::Sequences::uniform(description.batch, description.length)),
        // Seed 6 keeps every input of relu 6e-7 from 0 at d512: nearer ones round to either side, and the gradient
        // jumps.
        x_(random_matrix(sequences_.rows(), description.d_model, 6)),
        dy_(random_matrix(sequences_.rows(), description.d_model, 3)) {
    work_.x = x_.data();
    work_.dy = dy_.data();
    work_.weights = arrays_of(encoder_.parameters());
  }
  [[nodiscard]] const EncoderWork& work() const { return work_; }

  void run() override {
    if (!work_.backward) {
      y_ = packed_.forward(x_, sequences_, {}, packed_cache_);
      return;
    }
    mat::set_zero(grads_);
    y_ = encoder_.forward(x_, sequences_, {}, cache_);
    dx_ = encoder_.backward(dy_, cache_, grads_);
  }
  std::vector<Result> results() override {
    run();
    std::vector<Result> results{result_of("y", y_)};
    if (!work_.backward) return results;
    results.push_back(result_of("dx", dx_));
    append_results(grads_, results);
    return results;
  }

 private:
  using Encoder = mat::TransformerEncoder<float>;

  [[nodiscard]] static Encoder::Config config(const EncoderWork& work) {
    Encoder::Config config;
    config.layer.d_model = work.d_model;
    config.layer.nhead = work.nhead;
    config.layer.dim_feedforward = work.dim_feedforward;
    config.num_layers = work.num_layers;
    return config;
  }

  EncoderWork work_;
  Encoder encoder_;
  mat::PackedEncoder<float> packed_;  // for inference
  mat::PackedEncoder<float>::Cache packed_cache_;
  Encoder::Parameters grads_;
  Encoder::Cache cache_;
  mat::Sequences sequences_;
  mat::Matrix<float> x_, dy_;
  mat::ConstMatrixView<float> y_, dx_;
};

/// A case for this work, `name` without "/contestant".
[[nodiscard]] inline Case encoder_case(std::string name, const EncoderWork& work) {
  Case c;
  c.name = std::move(name);
  c.contestants = with_torch({"mat"}, {"torch"});
  if (kTorch && !work.backward) c.contestants.emplace_back("torch-fastpath");
  const std::vector<std::int64_t> lengths(static_cast<std::size_t>(work.batch), work.length);
  c.flops = encoder_layer_flops(lengths, static_cast<double>(work.d_model), static_cast<double>(work.dim_feedforward),
                                false) *
            static_cast<double>(work.num_layers) * (work.backward ? 3 : 1);
  c.make = [work] {
    auto ours = std::make_unique<MatEncoder>(work);
    Contestants all;
    if constexpr (kTorch) {
      all.push_back(torch_encoder(ours->work(), TorchPath::composed));
      if (!work.backward) all.push_back(torch_encoder(ours->work(), TorchPath::fast));
    }
    all.insert(all.begin(), std::move(ours));
    return all;
  };
  return c;
}

}  // namespace bench
