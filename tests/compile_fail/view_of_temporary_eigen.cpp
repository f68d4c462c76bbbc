// Nor does a temporary Eigen matrix become a view.
// Refused with: deleted
#include <mat/core/tensor_view.hpp>

using RowMajor = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

mat::Index rows(const RowMajor& x) {
#if defined(MAT_MUST_NOT_COMPILE)
  return mat::view_of(RowMajor(x)).rows();
#else
  return mat::view_of(x).rows();
#endif
}
