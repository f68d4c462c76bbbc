#pragma once

#include <mat/core/simd.hpp>

#include <algorithm>
#include <benchmark/benchmark.h>
#include <chrono>

namespace bench {

/// The most multiply-adds in single precision that one core does, in GFLOP/s: as many independent chains as hide the
/// latency, without memory. The best of several tries, because the clock rises first and others may use the core.
[[nodiscard]] inline double fma_peak_gflops() {
  using Pack = mat::simd::Pack<float>;
  constexpr int kChains = 12, kTries = 40, kRounds = 200'000;
  const Pack factor = mat::simd::broadcast(0.999F), term = mat::simd::broadcast(0.001F);
  Pack chains[kChains];
  for (Pack& chain : chains) chain = mat::simd::broadcast(1.0F);
  double best = 0;
  for (int i = 0; i < kTries; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    for (int round = 0; round < kRounds; ++round) {
#pragma GCC unroll 12
      for (int c = 0; c < kChains; ++c) chains[c] = mat::simd::fma(chains[c], factor, term);
    }
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
    best = std::max(best, 2e-9 * kRounds * kChains * static_cast<double>(Pack::kSize) / seconds.count());
    for (Pack& chain : chains) benchmark::DoNotOptimize(chain);
  }
  return best;
}

}  // namespace bench
