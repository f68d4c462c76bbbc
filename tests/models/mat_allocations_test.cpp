#include "support/allocations.hpp"
#include "support/catch.hpp"
#include "support/gradients.hpp"

#include <mat/models/mat.hpp>
#include <mat/training/adamw.hpp>
#include <mat/training/clip.hpp>

namespace mat_allocations_test {

using namespace mat;
using mat::test::allocations;
using mat::test::random_tensor;

TEST_CASE("the counter of allocations counts", "[models]") {
  if (!mat::test::allocations_are_counted()) {
    WARN("skipped: under a sanitizer allocations are not counted");
    return;
  }
  const long before = allocations();
  const Matrix<float> m({10, 10});
  std::vector<int> values(100);
  CHECK(allocations() >= before + 2);
  void* volatile memory = std::malloc(64);
  CHECK(allocations() >= before + 3);
  std::free(memory);
}

TEST_CASE("after warm-up a forward, a backward and a step of AdamW allocate nothing", "[models]") {
  if (!mat::test::allocations_are_counted()) {
    WARN("skipped: under a sanitizer allocations are not counted");
    return;
  }
  MAT<float>::Config config;
  config.input_dim = 24;
  config.hidden_dim = 40;
  config.nhead = 3;
  config.num_layers = 2;
  MAT<float> model(config, Random(1));
  const Sequences large({40, 30, 50}), small({7, 9});
  const auto x = random_tensor<float, 2>({120, 24}, 2), dpooled = random_tensor<float, 2>({3, 24}, 3);
  MAT<float>::Cache cache;
  auto grads = zeros_like(model.parameters());
  AdamW<MAT<float>::Parameters> optimizer(model.parameters(), {});
  const auto step = [&](const Sequences& sequences, double dropout_rate) {
    AttentionCall<float> call;
    call.dropout = {dropout_rate, Random(4)};
    set_zero(grads);
    (void)model.forward(x.view().middle_rows(0, sequences.rows()), sequences, call, cache);
    (void)model.pooled(cache);
    (void)model.pooled_backward(dpooled.view().middle_rows(0, sequences.count()), cache, grads);
    (void)clip_grad_norm(grads);
    optimizer.step(model.parameters(), grads);
  };
  step(large, 0.1);
  const long before = allocations();
  for (int i = 0; i < 3; ++i) {
    step(large, 0.1);
    step(small, 0);
    (void)model.infer(x, large, cache);
  }
  CHECK(allocations() == before);
}

}  // namespace mat_allocations_test
