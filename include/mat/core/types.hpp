#pragma once

#include <Eigen/Core>
#include <mat/version.hpp>

namespace mat {
inline namespace MAT_ABI {

// Legend of the short names used in every header:
//   T  scalar type           x, y    input and output of a layer       dx, dy  gradients of the loss by x, y
//   q, k, v  query, key, value       n  a count                         d       features of a token
//   b  index of a sequence   h  index of a head                        t       index of a token

/// Sizes and positions; signed, as in Eigen.
using Index = Eigen::Index;

/// An Eigen view of row-major memory whose rows may lie apart (outer stride).
template <class T>
using MatrixMap = Eigen::Map<Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>, Eigen::Unaligned,
                             Eigen::OuterStride<>>;
template <class T>
using ConstMatrixMap = Eigen::Map<const Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>,
                                  Eigen::Unaligned, Eigen::OuterStride<>>;

}  // namespace MAT_ABI
}  // namespace mat
