#include "support/catch.hpp"
#include "support/gradients.hpp"
#include "support/threads.hpp"

#include <mat/models/mat.hpp>
#include <mat/training/adamw.hpp>

#include <thread>

namespace mat_threads_test {

using namespace mat;
using mat::test::random_tensor;

namespace {

MAT<float>::Config config_of() {
  MAT<float>::Config config;
  config.input_dim = 48;
  config.hidden_dim = 96;
  config.nhead = 4;
  config.num_layers = 2;
  return config;
}

/// The parameters after three steps of training on sequences long enough to be shared among threads.
MAT<float>::Parameters trained(int threads) {
  const test::Threads set(threads);
  MAT<float> model(config_of(), Random(1));
  const Sequences sequences({400, 1, 0, 130, 77});
  const auto x = random_tensor<float, 2>({sequences.rows(), 48}, 2), dpooled = random_tensor<float, 2>({5, 48}, 3);
  MAT<float>::Cache cache;
  auto grads = zeros_like(model.parameters());
  AdamW<MAT<float>::Parameters> optimizer(model.parameters());
  for (std::uint64_t step = 0; step < 3; ++step) {
    AttentionCall<float> call;
    call.dropout = {0.1, Random(4, step)};
    set_zero(grads);
    (void)model.forward(x, sequences, call, cache);
    (void)model.pooled(cache);
    (void)model.pooled_backward(dpooled, cache, grads);
    optimizer.step(model.parameters(), grads);
  }
  return model.parameters();
}

bool same_bits(const MAT<float>::Parameters& a, const MAT<float>::Parameters& b) {
  bool same = true;
  for_each_parameter([&](const ParameterName&, const auto& x, const auto& y) { same = same && x == y; }, a, b);
  return same;
}

}  // namespace

TEST_CASE("training gives the same bits with 1, 2 and 4 threads", "[models]") {
  const auto one = trained(1);
  CHECK(same_bits(one, trained(1)));
  CHECK(same_bits(one, trained(2)));
  CHECK(same_bits(one, trained(4)));
}

TEST_CASE("one const model serves several threads, each with a cache of its own", "[models]") {
  const MAT<float> model(config_of(), Random(1));
  const Sequences sequences({12, 7});
  const auto x = random_tensor<float, 2>({19, 48}, 2);
  MAT<float>::Cache cache;
  const Matrix<float> expected(model.forward(x, sequences, cache));
  std::vector<Matrix<float>> results(4);
  std::vector<std::thread> threads;
  for (auto& result : results) {
    threads.emplace_back([&] {
      MAT<float>::Cache own;
      for (int i = 0; i < 5; ++i) result = Matrix<float>(model.forward(x, sequences, own));
    });
  }
  for (auto& thread : threads) thread.join();
  for (const auto& result : results) CHECK(result == expected);
}

}  // namespace mat_threads_test
