#pragma once

#include <mat/core/parallel.hpp>
#include <mat/core/tensor.hpp>
#include <mat/ops/matmul_kernel.hpp>
#include <mat/ops/rows.hpp>

namespace mat {
inline namespace MAT_ABI {

// Matrix products.
//
// Every element of a product is a sum of chains of multiply-adds over 256 steps of the inner dimension (128 where a
// lies transposed), first to last, whatever the other sizes and the number of threads. So a row of x W^T has the same
// bits alone and in any batch, which Eigen's own product, whose order of summation depends on the number of rows, does
// not give. No heap memory is used.

/// An operand of a product: a matrix or the transpose of one.
template <class T>
struct MatmulOperand {
  const T* data = nullptr;
  Index rows = 0, cols = 0;
  Index row_stride = 0, col_stride = 1;

  MatmulOperand() = default;
  MatmulOperand(ConstMatrixView<T> m)  // NOLINT(google-explicit-constructor): a matrix is an operand
      : data(m.data()), rows(m.rows()), cols(m.cols()), row_stride(m.row_stride()) {}
  MatmulOperand(const Matrix<T>& m) : MatmulOperand(ConstMatrixView<T>(m)) {}  // NOLINT(google-explicit-constructor)
  MatmulOperand(MatrixView<T> m) : MatmulOperand(ConstMatrixView<T>(m)) {}     // NOLINT(google-explicit-constructor)
  MatmulOperand(const Matrix<T>&& temporary) = delete;
};

/// The transpose of a matrix, without a copy.
template <class T>
[[nodiscard]] MatmulOperand<T> transposed(ConstMatrixView<T> m) {
  MatmulOperand<T> operand(m);
  std::swap(operand.rows, operand.cols);
  std::swap(operand.row_stride, operand.col_stride);
  return operand;
}

namespace detail {

template <class T>
void check_matmul(std::string_view what, const MatmulOperand<T>& a, const MatmulOperand<T>& b, const MatrixView<T>& c) {
  if (a.cols != b.rows) {
    throw_shape_error({what, "b"}, shape_to_string(std::array<Index, 2>{b.rows, b.cols}.data(), 2),
                      shape_to_string(std::array<Index, 2>{a.cols, kAny}.data(), 2));
  }
  check_shape({what, "c"}, c, {a.rows, b.cols});
}

/// Multiplications of a product that is one block: to plan how to cut it would take long beside it.
inline constexpr Index kSmallProduct = 1 << 17;

template <class T>
void matmul(const MatmulOperand<T>& a, const MatmulOperand<T>& b, MatrixView<T> c, MatmulStart<T> start) {
  const MatmulProblem<T> problem{a.data,       a.row_stride, a.col_stride,   b.data, b.row_stride,
                                 b.col_stride, c.data(),     c.row_stride(), a.cols, start};
  const Index work = a.rows * b.cols * a.cols;
  if (work <= kSmallProduct && b.cols <= kTransposedPanels * kPanelCols<T>) {
    const auto block = a.col_stride == 1 || a.cols <= kShortDepth ? matmul_block<T> : matmul_transposed_block<T>;
    return block(problem, {0, a.rows}, {0, b.cols});
  }
  const MatmulBlocks<T> blocks(problem, a.rows, b.cols, work < kParallelGrain ? 1 : max_threads());
  parallel_for(blocks.count(), work, [&](Index block, int) {
    if (a.col_stride == 1) {
      matmul_block(problem, blocks.rows(block), blocks.cols(block));
    } else {
      matmul_transposed_block(problem, blocks.rows(block), blocks.cols(block));
    }
  });
}

}  // namespace detail

/// c = a b, and with a bias c_ij = bias_j + (a b)_ij.
///
/// Shapes:  a [m, k]; b [k, n]; c [m, n]; bias [n] or empty.
/// Errors:  ShapeError if they do not fit.
/// Threads: uses parallel_for; the bits of c do not depend on the number of threads.
template <class T>
void matmul(const MatmulOperand<T>& a, const MatmulOperand<T>& b, MatrixView<T> c, ConstVectorView<T> bias = {}) {
  detail::check_matmul("matmul", a, b, c);
  if (!bias.empty()) check_shape("matmul: bias", bias, {b.cols});
  detail::matmul<T>(a, b, c, {bias.empty() ? nullptr : bias.data()});
}

/// c += a b. Shapes, errors and threads as for matmul.
template <class T>
void matmul_add(const MatmulOperand<T>& a, const MatmulOperand<T>& b, MatrixView<T> c) {
  detail::check_matmul("matmul_add", a, b, c);
  detail::matmul<T>(a, b, c, {c.data(), c.row_stride()});
}

/// c = factor * before + a b; c may be `before`. Shapes, errors and threads as for matmul.
template <class T>
void matmul_add(const MatmulOperand<T>& a, const MatmulOperand<T>& b, T factor, ConstMatrixView<T> before,
                MatrixView<T> c) {
  detail::check_matmul("matmul_add", a, b, c);
  check_shape("matmul_add: before", before, c.shape());
  detail::matmul<T>(a, b, c, {before.data(), before.row_stride(), factor});
}

/// sums_j += sum_i x_ij, rows in order: the gradient of a bias.
///
/// Shapes: x [m, n]; sums [n].
/// Errors: ShapeError if they do not fit.
template <class T>
void add_column_sums(ConstMatrixView<T> x, VectorView<T> sums) {
  check_shape("add_column_sums: sums", sums, {x.cols()});
  detail::for_each_column_block(x.cols(), x.rows(), [&](Index first, Index count) {
    for (Index i = 0; i < x.rows(); ++i) simd::add_scaled(count, sums.data() + first, T(1), x.row(i) + first);
  });
}

}  // namespace MAT_ABI
}  // namespace mat
