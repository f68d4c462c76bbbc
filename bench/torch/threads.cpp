#include <ATen/Parallel.h>
#include <bench/peer.hpp>
#include <torch/version.h>

namespace bench {

void set_torch_threads(int count) {
  at::set_num_threads(count);
  at::set_num_interop_threads(count);
}

std::string torch_version() { return TORCH_VERSION; }

}  // namespace bench
