// See abi.cmake.
#include <mat/core/tensor.hpp>

float first(const mat::Matrix<float>& x) { return x(0, 0); }
