#include <bench/decode.hpp>
#include <bench/torch/encoder_stack.hpp>
#include <c10/core/InferenceMode.h>

namespace bench {
namespace {

class TorchDecode final : public Contestant {
 public:
  explicit TorchDecode(const DecodeWork& work)
      : weights_(work.weights, false), x_(tensor_of(work.x, {1, work.tokens, work.d_model})), tokens_(work.tokens) {
    const c10::InferenceMode inference;
    stack_.num_layers = work.num_layers;
    stack_.nhead = work.nhead;
    stack_.gelu = stack_.norm_first = stack_.final_norm = stack_.causal = true;
    for (std::int64_t i = 0; i < work.num_layers; ++i) {
      const at::Tensor room = at::zeros({2, 1, work.nhead, work.tokens, work.d_model / work.nhead});
      earlier_.push_back(room);
    }
    // The tokens before, all at once.
    (void)stack_.extend(x_.narrow(1, 0, tokens_ - 1), weights_, earlier_, 0);
    last_ = x_.narrow(1, tokens_ - 1, 1).contiguous();
  }

  void run() override {
    const c10::InferenceMode inference;
    y_ = stack_.extend(last_, weights_, earlier_, tokens_ - 1);
  }
  std::vector<Result> results() override {
    run();
    return {result_of("y", y_)};
  }

 private:
  Weights weights_;
  EncoderStack stack_;
  at::Tensor x_, last_, y_;
  std::vector<at::Tensor> earlier_;  // of each layer, keys and values: [2, 1, heads, tokens, head_dim]
  std::int64_t tokens_;
};

}  // namespace

std::unique_ptr<Contestant> torch_decode(const DecodeWork& work) { return std::make_unique<TorchDecode>(work); }

}  // namespace bench
