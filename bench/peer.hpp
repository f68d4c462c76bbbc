#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

// What a benchmark and the peers it is compared with know of each other. Plain C++, because a peer's file is compiled
// with the peer's flags and without Eigen.
namespace bench {

/// True in programs that PyTorch's library is linked into: the one place that knows.
#if defined(MAT_BENCH_TORCH)
inline constexpr bool kTorch = true;
#else
inline constexpr bool kTorch = false;
#endif

/// A weight that a peer copies, under the name it has in PyTorch's state_dict.
struct Array {
  std::string name;
  std::vector<std::int64_t> shape;
  const float* data = nullptr;
};

/// Something that a contestant computed; equal names and orders for all contestants of a case.
struct Result {
  std::string name;
  std::vector<float> values;
};

/// One implementation of a case: the library, or a peer.
class Contestant {
 public:
  Contestant() = default;
  Contestant(const Contestant&) = delete;
  Contestant& operator=(const Contestant&) = delete;
  virtual ~Contestant() = default;

  /// What is timed.
  virtual void run() = 0;
  /// What the first run computes; called once, before the first run.
  virtual std::vector<Result> results() = 0;
};

using Contestants = std::vector<std::unique_ptr<Contestant>>;

/// Defined in torch/settings.cpp.
void set_torch_threads(int count);
/// Names and values that belong to a measurement.
[[nodiscard]] std::vector<std::pair<std::string, std::string>> torch_settings();

}  // namespace bench
