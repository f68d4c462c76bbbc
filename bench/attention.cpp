// How fast is attention, forward and backward, full and causal, for one sequence and for a batch of short ones?
#include <mat/layers/initialize.hpp>
#include <mat/ops/attention.hpp>

#include <benchmark/benchmark.h>

namespace {

using namespace mat;

struct Workload {
  Sequences sequences;
  Matrix<float> q, k, v, dy;
  AttentionOptions<float> options;

  Workload(Index batch, Index length, Index heads, Index head_dim, bool causal)
      : sequences(Sequences::uniform(batch, length)) {
    options.heads = heads;
    if (causal) options.mask = AttentionMask<float>::causal();
    std::uint64_t seed = 0;
    for (Matrix<float>* m : {&q, &k, &v, &dy}) {
      m->resize({batch * length, heads * head_dim});
      initialize_normal<float>(*m, 1, Random(++seed));
    }
  }
  [[nodiscard]] AttentionInputs<float> inputs() const { return {q, k, v, sequences, sequences}; }
};

/// Products of a forward are counted as 4 T^2 D for each head, of a backward as 10 T^2 D; half of that when causal.
void set_flops(benchmark::State& state, double products) {
  const double pairs = static_cast<double>(state.range(0) * state.range(1) * state.range(1) * state.range(2));
  const double work = products * pairs * static_cast<double>(state.range(3)) / (state.range(4) != 0 ? 2 : 1);
  state.counters["GFLOP/s"] = benchmark::Counter(work * 1e-9, benchmark::Counter::kIsIterationInvariantRate);
}

void attention_forward_pass(benchmark::State& state) {
  const Workload w(state.range(0), state.range(1), state.range(2), state.range(3), state.range(4) != 0);
  AttentionCache<float> cache;
  for (auto _ : state) benchmark::DoNotOptimize(attention_forward(w.options, w.inputs(), cache).data());
  set_flops(state, 4);
}

void attention_forward_and_backward(benchmark::State& state) {
  const Workload w(state.range(0), state.range(1), state.range(2), state.range(3), state.range(4) != 0);
  AttentionCache<float> cache;
  Matrix<float> dq(w.q.shape()), dk(w.k.shape()), dv(w.v.shape());
  for (auto _ : state) {
    benchmark::DoNotOptimize(attention_forward(w.options, w.inputs(), cache).data());
    attention_backward<float>(w.dy, w.options, w.inputs(), cache, {dq, dk, dv, {}});
    benchmark::DoNotOptimize(dk.data());
  }
  set_flops(state, 14);
}

void sizes(benchmark::internal::Benchmark* bench) {
  bench->ArgNames({"B", "T", "H", "D", "causal"})->Unit(benchmark::kMillisecond);
  for (const int causal : {0, 1}) {
    for (const int length : {256, 512, 1024, 2048}) bench->Args({1, length, 8, 64, causal});
    bench->Args({8, 64, 4, 32, causal});
  }
}
BENCHMARK(attention_forward_pass)->Apply(sizes);
BENCHMARK(attention_forward_and_backward)->Apply(sizes);

}  // namespace

BENCHMARK_MAIN();
