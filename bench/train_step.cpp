// How long does a forward, and how long a whole training step, of the article's model take?
#include <mat/models/mat.hpp>
#include <mat/training/adamw.hpp>
#include <mat/training/clip.hpp>

#include <benchmark/benchmark.h>

namespace {

using namespace mat;

struct Workload {
  MAT<float> model;
  Sequences sequences;
  Matrix<float> x, dpooled;

  explicit Workload(const benchmark::State& state)
      : model(config(state), Random(1)),
        sequences(Sequences::uniform(state.range(0), state.range(1))),
        x({sequences.rows(), state.range(2)}),
        dpooled({sequences.count(), state.range(2)}) {
    initialize_normal<float>(x, 1, Random(2));
    initialize_normal<float>(dpooled, 1, Random(3));
  }
  static MAT<float>::Config config(const benchmark::State& state) {
    MAT<float>::Config config;
    config.input_dim = state.range(2);
    config.hidden_dim = 4 * state.range(2);
    config.nhead = state.range(2) / 32;
    config.num_layers = 2;
    return config;
  }
};

void set_tokens(benchmark::State& state) {
  state.counters["tokens/s"] = benchmark::Counter(static_cast<double>(state.range(0) * state.range(1)),
                                                  benchmark::Counter::kIsIterationInvariantRate);
}

void infer(benchmark::State& state) {
  const Workload w(state);
  MAT<float>::Cache cache;
  for (auto _ : state) {
    (void)w.model.infer(w.x, w.sequences, cache);
    benchmark::DoNotOptimize(w.model.pooled(cache).data());
  }
  set_tokens(state);
}

void train_step(benchmark::State& state) {
  Workload w(state);
  MAT<float>::Cache cache;
  auto grads = zeros_like(w.model.parameters());
  AdamW<MAT<float>::Parameters> optimizer(w.model.parameters());
  for (auto _ : state) {
    set_zero(grads);
    (void)w.model.forward(w.x, w.sequences, cache);
    (void)w.model.pooled(cache);
    (void)w.model.pooled_backward(w.dpooled, cache, grads);
    (void)clip_grad_norm(grads);
    optimizer.step(w.model.parameters(), grads);
  }
  set_tokens(state);
}

void sizes(benchmark::internal::Benchmark* bench) {
  bench->ArgNames({"B", "T", "d"})->Unit(benchmark::kMillisecond);
  bench->Args({1, 1, 64})->Args({1, 64, 64})->Args({32, 64, 128})->Args({8, 64, 512});
}
BENCHMARK(infer)->Apply(sizes);
BENCHMARK(train_step)->Apply(sizes);

}  // namespace

BENCHMARK_MAIN();
