// Eigen's default storage order is not mat's: such a matrix is refused, rather than read as its transpose.
// Refused with: mat is row-major
#include <mat/core/tensor_view.hpp>

#if defined(MAT_MUST_NOT_COMPILE)
using Matrix = Eigen::MatrixXf;
#else
using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
#endif

mat::Index rows(const Matrix& x) { return mat::view_of(x).rows(); }
