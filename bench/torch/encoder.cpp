#include <bench/encoder.hpp>
#include <bench/torch/encoder_stack.hpp>
#include <c10/core/InferenceMode.h>
#include <torch/csrc/autograd/autograd.h>

namespace bench {
namespace {

class TorchEncoder final : public Contestant {
 public:
  TorchEncoder(const EncoderWork& work, TorchPath path)
      : path_(path), backward_(work.backward), weights_(work.weights, work.backward) {
    stack_.num_layers = work.num_layers;
    stack_.nhead = work.nhead;
    x_ = tensor_of(work.x, {work.batch, work.length, work.d_model}).set_requires_grad(work.backward);
    dy_ = tensor_of(work.dy, {work.batch, work.length, work.d_model});
    inputs_ = weights_.all();
    inputs_.insert(inputs_.begin(), x_);
  }

  void run() override {
    if (backward_) {
      y_ = stack_.forward(x_, weights_, {});
      gradients_ = torch::autograd::grad({y_}, inputs_, {dy_});
    } else {
      const c10::InferenceMode inference;
      y_ = path_ == TorchPath::fast ? stack_.fast_forward(x_, weights_) : stack_.forward(x_, weights_, {});
    }
  }
  std::vector<Result> results() override {
    run();
    std::vector<Result> results{result_of("y", y_)};
    for (std::size_t i = 0; i < gradients_.size(); ++i) {
      results.push_back(result_of(i == 0 ? "dx" : weights_.names()[i - 1], gradients_[i]));
    }
    return results;
  }

 private:
  TorchPath path_;
  bool backward_;
  Weights weights_;
  EncoderStack stack_;
  at::Tensor x_, dy_, y_;
  std::vector<at::Tensor> inputs_, gradients_;
};

}  // namespace

std::unique_ptr<Contestant> torch_encoder(const EncoderWork& work, TorchPath path) {
  return std::make_unique<TorchEncoder>(work, path);
}

}  // namespace bench
