#include "support/allocations.hpp"
#include "support/catch.hpp"
#include "support/gradients.hpp"

#include <mat/models/neural_mat.hpp>

namespace neural_mat_allocations_test {

using namespace mat;
using mat::test::allocations;
using mat::test::random_tensor;

TEST_CASE("after warm-up NeuralMAT streams and learns without allocating", "[models]") {
  if (!mat::test::allocations_are_counted()) {
    WARN("skipped: under a sanitizer allocations are not counted");
    return;
  }
  NeuralMAT<float>::Config config;
  config.mat.input_dim = 16;
  config.mat.hidden_dim = 24;
  config.memory.chunk = 8;
  const NeuralMAT<float> model(config, Random(1));
  const Sequences large({20, 30}), small({7, 0});
  const auto x = random_tensor<float, 2>({50, 16}, 2), dpooled = random_tensor<float, 2>({2, 16}, 3);
  NeuralMAT<float>::State start, state, next, dnext, dstate;
  NeuralMAT<float>::Cache cache;
  auto grads = zeros_like(model.parameters());
  model.initial(2, start);
  state = start;
  const auto step = [&](const Sequences& sequences) {
    (void)model.forward(x.view().middle_rows(0, sequences.rows()), sequences, state, next, {}, cache);
    (void)model.pooled(next, cache);
    zero_state_like(next, dnext);
    zero_state_like(state, dstate);
    (void)model.backward({{}, dpooled}, dnext, state, next, cache, dstate, grads);
    std::swap(state, next);
  };
  step(large);
  step(large);
  const long before = allocations();
  for (int i = 0; i < 3; ++i) {
    step(large);
    step(small);
    (void)model.infer(x, large, state, next, cache);
  }
  CHECK(allocations() == before);
}

}  // namespace neural_mat_allocations_test
