#include <ATen/Parallel.h>
#include <bench/peer.hpp>
#include <bench/torch/mkl.hpp>
#include <torch/version.h>

namespace bench {

void set_torch_threads(int count) {
  at::set_num_threads(count);
  at::set_num_interop_threads(count);
}

std::vector<std::pair<std::string, std::string>> torch_settings() {
  return {{"torch_version", TORCH_VERSION}, {"mkl", mkl_choice()}};
}

}  // namespace bench
