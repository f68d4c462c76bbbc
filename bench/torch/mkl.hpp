#pragma once

namespace bench {

/// How MKL, PyTorch's library of matrix products, chooses its instructions: "unlocked" or "shipped". See mkl.cpp.
[[nodiscard]] const char* mkl_choice();

}  // namespace bench
