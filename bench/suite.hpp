#pragma once

#include <mat/core/parallel.hpp>
#include <mat/version.hpp>

#include <algorithm>
#include <bench/difference.hpp>
#include <bench/peak.hpp>
#include <bench/peer.hpp>
#include <benchmark/benchmark.h>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>

namespace bench {

/// One case of a question, which every contestant does with the same inputs and weights.
struct Case {
  std::string name;                      ///< "question/case"; a row is named "question/case/contestant".
  std::vector<std::string> contestants;  ///< Their names; the others are compared with the first.
  std::function<Contestants()> make;     ///< In the order of the names. Called when the first of them is timed.
  double flops = 0;                      ///< Of one run, padding not counted; 0: not said.
  double bytes = 0;                      ///< That one run has to read or write, where memory is the limit; 0: not said.
  double items = 0;                      ///< For `item_rate`: tokens, sentences.
  std::string item_rate;
  std::string item_time;  ///< For the microseconds of one item; empty: not said.
  /// The largest `difference` that still is rounding.
  double tolerance = 1e-4;
};

/// The names of `mat` and its peers from PyTorch, which are left out of a program without PyTorch.
[[nodiscard]] inline std::vector<std::string> with_torch(std::vector<std::string> names,
                                                         const std::vector<std::string>& torch_names) {
  if (kTorch) names.insert(names.end(), torch_names.begin(), torch_names.end());
  return names;
}

/// The cases of one program. Each is checked once, before the first timing of any of its contestants.
class Suite {
 public:
  void add(Case c) { entries_.push_back(std::make_unique<Entry>(Entry{std::move(c), {}, {}, {}})); }

  /// main: takes Google Benchmark's arguments and `--threads N`. Returns 1 if contestants computed different things.
  int run(int argc, char** argv) {
    set_threads(argc, argv);
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
    peak_ = fma_peak_gflops() * threads_;
    describe();
    for (auto& entry : entries_) {
      for (std::size_t i = 0; i < entry->description.contestants.size(); ++i) {
        const std::string name = entry->description.name + "/" + entry->description.contestants[i];
        Entry* shared = entry.get();
        benchmark::RegisterBenchmark(name.c_str(), [this, shared, i](benchmark::State& state) {
          time(*shared, i, state);
        })->Unit(benchmark::kMillisecond);
      }
    }
    benchmark::RunSpecifiedBenchmarks();
    benchmark::Shutdown();
    return failed_ ? 1 : 0;
  }

 private:
  struct Entry {
    Case description;
    Contestants contestants;
    std::vector<double> differences;
    std::string failure;
  };

  /// One thread, unless `--threads N` or OMP_NUM_THREADS says otherwise.
  void set_threads(int& argc, char** argv) {
    if (const char* text = std::getenv("OMP_NUM_THREADS")) threads_ = std::atoi(text);
    int kept = 1;
    for (int i = 1; i < argc; ++i) {
      if (std::string(argv[i]) == "--threads" && i + 1 < argc) {
        threads_ = std::atoi(argv[++i]);
      } else {
        argv[kept++] = argv[i];
      }
    }
    argc = kept;
    threads_ = std::max(1, threads_);
    mat::set_threads(threads_);
    if constexpr (kTorch) set_torch_threads(threads_);
  }

  void describe() const {
    benchmark::AddCustomContext("mat_version", MAT_VERSION_STRING);
    benchmark::AddCustomContext("eigen_version", std::to_string(EIGEN_WORLD_VERSION) + "." +
                                                     std::to_string(EIGEN_MAJOR_VERSION) + "." +
                                                     std::to_string(EIGEN_MINOR_VERSION));
    benchmark::AddCustomContext("threads", std::to_string(threads_));
    benchmark::AddCustomContext("fma_peak_gflops", std::to_string(peak_));
    if constexpr (kTorch) {
      for (const auto& [name, value] : torch_settings()) benchmark::AddCustomContext(name, value);
    }
  }

  /// Makes the contestants and compares what they compute.
  static void prepare(Entry& entry) {
    const Case& c = entry.description;
    entry.contestants = c.make();
    entry.differences.assign(entry.contestants.size(), 0);
    const std::vector<Result> expected = entry.contestants[0]->results();
    for (std::size_t i = 1; i < entry.contestants.size(); ++i) {
      const Difference found = difference(entry.contestants[i]->results(), expected);
      entry.differences[i] = found.value;
      if (found.value <= c.tolerance) continue;
      char numbers[100];
      std::snprintf(numbers, sizeof numbers, ": difference is %.3g, expected at most %.3g", found.value, c.tolerance);
      entry.failure = c.name + "/" + c.contestants[i] + ": " + found.array + numbers;
    }
  }

  void time(Entry& entry, std::size_t i, benchmark::State& state) {
    if (entry.contestants.empty()) prepare(entry);
    if (!entry.failure.empty()) {
      failed_ = true;
      state.SkipWithError(entry.failure.c_str());
      return;
    }
    const auto begin = std::chrono::steady_clock::now();
    for (auto _ : state) entry.contestants[i]->run();
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - begin;
    const double rate = static_cast<double>(state.iterations()) / elapsed.count();
    const Case& c = entry.description;
    if (c.flops > 0) {
      state.counters["GFLOP/s"] = 1e-9 * c.flops * rate;
      state.counters["share"] = 1e-9 * c.flops * rate / peak_;
    }
    if (c.bytes > 0) state.counters["GB/s"] = 1e-9 * c.bytes * rate;
    if (c.items > 0) state.counters[c.item_rate] = c.items * rate;
    if (!c.item_time.empty()) state.counters[c.item_time] = 1e6 / (c.items * rate);
    if (i > 0) state.counters["difference"] = entry.differences[i];
  }

  std::vector<std::unique_ptr<Entry>> entries_;
  int threads_ = 1;
  double peak_ = 0;
  bool failed_ = false;
};

}  // namespace bench
