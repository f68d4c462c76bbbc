// How fast are the products that transformers are made of, beside Eigen's product of the same matrices?
#include <mat/layers/initialize.hpp>
#include <mat/ops/matmul.hpp>

#include <benchmark/benchmark.h>

namespace {

using namespace mat;

struct Workload {
  Matrix<float> x, w, y;

  explicit Workload(const benchmark::State& state)
      : x({state.range(0), state.range(2)}), w({state.range(1), state.range(2)}), y({state.range(0), state.range(1)}) {
    initialize_normal<float>(x, 1, Random(1));
    initialize_normal<float>(w, 1, Random(2));
  }
};

void set_flops(benchmark::State& state) {
  const double work = 2.0 * static_cast<double>(state.range(0) * state.range(1) * state.range(2));
  state.counters["GFLOP/s"] = benchmark::Counter(work * 1e-9, benchmark::Counter::kIsIterationInvariantRate);
}

void mat_x_wt(benchmark::State& state) {
  Workload m(state);
  for (auto _ : state) {
    matmul<float>(m.x, transposed<float>(m.w), m.y);
    benchmark::DoNotOptimize(m.y.data());
  }
  set_flops(state);
}

void eigen_x_wt(benchmark::State& state) {
  Workload m(state);
  for (auto _ : state) {
    m.y.matrix().noalias() = m.x.matrix() * m.w.matrix().transpose();
    benchmark::DoNotOptimize(m.y.data());
  }
  set_flops(state);
}

void sizes(benchmark::internal::Benchmark* bench) {
  bench->ArgNames({"rows", "out", "in"})->Unit(benchmark::kMicrosecond);
  for (const int rows : {1, 8, 64, 768, 2048})
    bench->Args({rows, 128, 128})->Args({rows, 512, 128})->Args({rows, 128, 512});
  bench->Args({512, 2048, 512})->Args({512, 512, 512});
}
BENCHMARK(mat_x_wt)->Apply(sizes);
BENCHMARK(eigen_x_wt)->Apply(sizes);

}  // namespace

BENCHMARK_MAIN();
