// On a processor that is not Intel's, the MKL in PyTorch's packages leaves AVX-512 unused: on an AMD EPYC its products
// ran at 115 GFLOP/s of 270. That is what users of the package get, and what is measured unless MAT_BENCH_MKL=unlocked:
// then this program answers MKL's question itself, and AVX-512 is used: 262 GFLOP/s, PyTorch at its best.
//
// Linked into the benchmarks, and a library of its own for LD_PRELOAD, for Python's PyTorch.
#include <bench/torch/mkl.hpp>
#include <cstdlib>
#include <cstring>

namespace bench {

const char* mkl_choice() {
  const char* choice = std::getenv("MAT_BENCH_MKL");
  return choice != nullptr && std::strcmp(choice, "unlocked") == 0 ? "unlocked" : "shipped";
}

}  // namespace bench

/// MKL calls it by this name, and finds the first definition that the program has.
extern "C" int mkl_serv_intel_cpu_true() {
  __builtin_cpu_init();
  return std::strcmp(bench::mkl_choice(), "unlocked") == 0 || __builtin_cpu_is("intel") ? 1 : 0;
}
