#include <bench/matmul.hpp>
#include <bench/torch/tensors.hpp>
#include <c10/core/InferenceMode.h>

namespace bench {
namespace {

class TorchMatmul final : public Contestant {
 public:
  explicit TorchMatmul(const MatmulWork& work)
      : x_(tensor_of(work.x, {work.rows, work.in})), w_(tensor_of(work.w, {work.out, work.in})) {}

  void run() override {
    const c10::InferenceMode inference;
    y_ = at::linear(x_, w_);
  }
  std::vector<Result> results() override {
    run();
    return {result_of("y", y_)};
  }

 private:
  at::Tensor x_, w_, y_;
};

}  // namespace

std::unique_ptr<Contestant> torch_matmul(const MatmulWork& work) { return std::make_unique<TorchMatmul>(work); }

}  // namespace bench
