// A view must not outlive what it looks at, so a temporary tensor is no view.
// Refused with: deleted
#include <mat/core/tensor.hpp>

float first(mat::ConstMatrixView<float> x) { return x(0, 0); }

float use() {
#if defined(MAT_MUST_NOT_COMPILE)
  return first(mat::Matrix<float>({2, 3}));
#else
  const mat::Matrix<float> x({2, 3});
  return first(x);
#endif
}
