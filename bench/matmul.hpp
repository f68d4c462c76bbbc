#pragma once

#include <bench/peer.hpp>

namespace bench {

/// y = x w^T, as in a linear layer.
struct MatmulWork {
  std::int64_t rows = 0, out = 0, in = 0;
  const float* x = nullptr;  // [rows, in]
  const float* w = nullptr;  // [out, in]
};

/// Defined in torch/matmul.cpp.
[[nodiscard]] std::unique_ptr<Contestant> torch_matmul(const MatmulWork& work);

}  // namespace bench
