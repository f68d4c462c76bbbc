// See abi.cmake.
#include <mat/core/tensor.hpp>

float first(const mat::Matrix<float>& x);

int main() { return first(mat::Matrix<float>({1, 1})) == 0.0f ? 0 : 1; }
