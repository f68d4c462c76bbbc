#pragma once

#include <mat/core/error.hpp>

#include <array>
#include <cassert>
#include <type_traits>
#include <vector>

namespace mat {
inline namespace MAT_ABI {

/// The sizes of a tensor, outermost first.
template <std::size_t Rank>
using Shape = std::array<Index, Rank>;

template <class T, std::size_t Rank>
class Tensor;

/// A non-owning, row-major window on the numbers of a tensor, a std::vector, an Eigen matrix or a raw buffer.
///
/// The last dimension is contiguous. The leading dimensions, flattened, are the rows of `matrix()`; consecutive rows
/// lie `row_stride()` elements apart, so a block of columns is a view too. `TensorView<const T, Rank>` only reads.
/// Copying a view copies no numbers; what it looks at must outlive it, so a view of a temporary does not compile.
///
/// Errors: ShapeError where a source has the wrong number of elements.
template <class T, std::size_t Rank>
class TensorView {
 public:
  static_assert(Rank >= 1, "a TensorView has at least one dimension");
  static constexpr std::size_t kRank = Rank;
  using Scalar = std::remove_const_t<T>;
  using Map = std::conditional_t<std::is_const_v<T>, ConstMatrixMap<Scalar>, MatrixMap<Scalar>>;

  TensorView() = default;
  TensorView(T* data, const Shape<Rank>& shape) : TensorView(data, shape, shape[Rank - 1]) {}
  TensorView(T* data, const Shape<Rank>& shape, Index row_stride)
      : data_(data), shape_(shape), row_stride_(row_stride) {}

  /// A writable view reads as well.
  template <class U, class = std::enable_if_t<std::is_const_v<T> && std::is_same_v<U, Scalar>>>
  TensorView(const TensorView<U, Rank>& other)  // NOLINT(google-explicit-constructor): as T* to const T*
      : TensorView(other.data(), other.shape(), other.row_stride()) {}

  template <class U, class = std::enable_if_t<std::is_same_v<U, Scalar>>>
  TensorView(Tensor<U, Rank>& tensor)  // NOLINT(google-explicit-constructor): a tensor is its view
      : TensorView(tensor.data(), tensor.shape()) {}
  template <class U, class = std::enable_if_t<std::is_const_v<T> && std::is_same_v<U, Scalar>>>
  TensorView(const Tensor<U, Rank>& tensor)  // NOLINT(google-explicit-constructor)
      : TensorView(tensor.data(), tensor.shape()) {}
  template <class U>
  TensorView(const Tensor<U, Rank>&& temporary) = delete;

  /// A std::vector seen as a tensor of `shape`, without a copy.
  TensorView(std::conditional_t<std::is_const_v<T>, const std::vector<Scalar>, std::vector<Scalar>>& values,
             const Shape<Rank>& shape)
      : TensorView(values.data(), shape) {
    if (static_cast<Index>(values.size()) != size()) {
      detail::throw_shape_error("TensorView: a vector of " + std::to_string(values.size()) + " elements",
                                "not a tensor of shape " + shape_to_string(shape.data(), Rank),
                                std::to_string(size()) + " elements");
    }
  }

  [[nodiscard]] T* data() const { return data_; }
  [[nodiscard]] const Shape<Rank>& shape() const { return shape_; }
  [[nodiscard]] Index size(std::size_t dimension) const { return shape_[dimension]; }
  [[nodiscard]] Index row_stride() const { return row_stride_; }

  /// The number of elements.
  [[nodiscard]] Index size() const { return rows() * cols(); }
  [[nodiscard]] bool empty() const { return size() == 0; }
  /// All dimensions but the last, flattened.
  [[nodiscard]] Index rows() const {
    Index n = 1;
    for (std::size_t i = 0; i + 1 < Rank; ++i) n *= shape_[i];
    return n;
  }
  [[nodiscard]] Index cols() const { return shape_[Rank - 1]; }
  /// True if there is no gap between the rows.
  [[nodiscard]] bool contiguous() const { return row_stride_ == cols() || rows() <= 1; }

  /// The first element of row `i` of `matrix()`.
  [[nodiscard]] T* row(Index i) const {
    assert(i >= 0 && i <= rows());
    return data_ + i * row_stride_;
  }

  template <class... I>
  [[nodiscard]] T& operator()(I... indices) const {
    static_assert(sizeof...(I) == Rank, "one index for each dimension");
    const std::array<Index, Rank> index{static_cast<Index>(indices)...};
    Index row = 0;
    for (std::size_t i = 0; i < Rank; ++i) assert(index[i] >= 0 && index[i] < shape_[i]);
    for (std::size_t i = 0; i + 1 < Rank; ++i) row = row * shape_[i] + index[i];
    return data_[row * row_stride_ + index[Rank - 1]];
  }

  /// The elements as an Eigen matrix [rows(), cols()], without a copy.
  [[nodiscard]] Map matrix() const { return Map(data_, rows(), cols(), Eigen::OuterStride<>(row_stride_)); }

  /// Rows [begin, begin + count) of a matrix.
  [[nodiscard]] TensorView middle_rows(Index begin, Index count) const {
    static_assert(Rank == 2, "middle_rows is for matrices");
    assert(begin >= 0 && count >= 0 && begin + count <= shape_[0]);
    return TensorView(row(begin), {count, shape_[1]}, row_stride_);
  }
  /// Columns [begin, begin + count) of a matrix.
  [[nodiscard]] TensorView middle_cols(Index begin, Index count) const {
    static_assert(Rank == 2, "middle_cols is for matrices");
    assert(begin >= 0 && count >= 0 && begin + count <= shape_[1]);
    return TensorView(data_ + begin, {shape_[0], count}, row_stride_);
  }

 private:
  T* data_ = nullptr;
  Shape<Rank> shape_{};
  Index row_stride_ = 0;
};

template <class T>
using MatrixView = TensorView<T, 2>;
template <class T>
using ConstMatrixView = TensorView<const T, 2>;
template <class T>
using VectorView = TensorView<T, 1>;
template <class T>
using ConstVectorView = TensorView<const T, 1>;

/// A row-major Eigen matrix (or Map, or Ref) seen as a matrix view, without a copy.
template <class Derived>
[[nodiscard]] auto view_of(const Eigen::PlainObjectBase<Derived>& matrix) {
  static_assert(Derived::IsRowMajor || Derived::ColsAtCompileTime == 1, "mat is row-major: use Eigen::RowMajor");
  return ConstMatrixView<typename Derived::Scalar>(matrix.data(), {matrix.rows(), matrix.cols()});
}
template <class Derived>
[[nodiscard]] auto view_of(Eigen::PlainObjectBase<Derived>& matrix) {
  static_assert(Derived::IsRowMajor || Derived::ColsAtCompileTime == 1, "mat is row-major: use Eigen::RowMajor");
  return MatrixView<typename Derived::Scalar>(matrix.data(), {matrix.rows(), matrix.cols()});
}
template <class Derived>
auto view_of(const Eigen::PlainObjectBase<Derived>&& temporary) = delete;

}  // namespace MAT_ABI
}  // namespace mat
