#pragma once

#include <mat/core/tensor.hpp>

#include <algorithm>
#include <functional>
#include <numeric>
#include <vector>

namespace mat::conformance {

/// A tensor of any rank, as the files hold them: row-major, rank 0 is one number.
template <class T>
struct Array {
  std::vector<Index> shape;
  std::vector<T> values;

  [[nodiscard]] Index rank() const { return static_cast<Index>(shape.size()); }
  [[nodiscard]] Index size() const { return static_cast<Index>(values.size()); }
  /// The size of a dimension; a negative one counts from the end.
  [[nodiscard]] Index dim(Index i) const { return shape.at(static_cast<std::size_t>(i < 0 ? i + rank() : i)); }
};

[[nodiscard]] inline Index count(const std::vector<Index>& shape) {
  return std::accumulate(shape.begin(), shape.end(), Index{1}, std::multiplies<>());
}

/// A dimension counted from the end if negative, as a plain index. Errors: ValueError beyond the rank.
[[nodiscard]] inline Index axis_of(Index axis, Index rank) {
  const Index from_front = axis < 0 ? axis + rank : axis;
  check_value(from_front >= 0 && from_front <= rank, "axis", axis, "a dimension of a rank " + std::to_string(rank));
  return from_front;
}

template <class T>
[[nodiscard]] Array<T> zeros(const std::vector<Index>& shape) {
  return {shape, std::vector<T>(static_cast<std::size_t>(count(shape)))};
}

template <class T>
[[nodiscard]] Array<T> reshaped(Array<T> x, const std::vector<Index>& shape) {
  if (count(shape) != x.size()) {
    throw ShapeError("reshaped: an array is " + shape_to_string(x.shape.data(), x.shape.size()) + ", expected as many" +
                     " elements as " + shape_to_string(shape.data(), shape.size()));
  }
  x.shape = shape;
  return x;
}

/// The sizes of a tensor as a matrix whose columns are the dimensions from `axis` on.
[[nodiscard]] inline Shape<2> matrix_shape(const std::vector<Index>& shape, Index axis) {
  return {count({shape.begin(), shape.begin() + axis}), count({shape.begin() + axis, shape.end()})};
}
/// The elements as a matrix whose columns are the dimensions from `axis` on, without a copy.
template <class T>
[[nodiscard]] ConstMatrixView<T> axis_matrix(const Array<T>& x, Index axis) {
  return {x.values.data(), matrix_shape(x.shape, axis)};
}
template <class T>
[[nodiscard]] MatrixView<T> mutable_axis_matrix(Array<T>& x, Index axis) {
  return {x.values.data(), matrix_shape(x.shape, axis)};
}
/// The elements as a matrix whose columns are the last dimension.
template <class T>
[[nodiscard]] ConstMatrixView<T> matrix_of(const Array<T>& x) {
  return axis_matrix(x, std::max<Index>(x.rank() - 1, 0));
}
template <class T>
[[nodiscard]] MatrixView<T> mutable_matrix_of(Array<T>& x) {
  return mutable_axis_matrix(x, std::max<Index>(x.rank() - 1, 0));
}
/// The elements as a matrix of one column.
template <class T>
[[nodiscard]] ConstMatrixView<T> column_of(const Array<T>& x) {
  return axis_matrix(x, x.rank());
}
template <class T>
[[nodiscard]] ConstVectorView<T> vector_of(const Array<T>& x) {
  return {x.values.data(), {x.size()}};
}

/// A copy of a view under any shape of as many elements.
template <class E, std::size_t Rank>
[[nodiscard]] Array<std::remove_const_t<E>> array_of(TensorView<E, Rank> view, const std::vector<Index>& shape) {
  Array<std::remove_const_t<E>> x{{view.size()}, {}};
  for (Index i = 0; i < view.rows(); ++i) x.values.insert(x.values.end(), view.row(i), view.row(i) + view.cols());
  return reshaped(std::move(x), shape);
}

/// The steps through the elements of a row-major tensor, one for each dimension; 0 where the size is 1.
[[nodiscard]] inline std::vector<Index> strides_of(const std::vector<Index>& shape) {
  std::vector<Index> strides(shape.size());
  Index step = 1;
  for (std::size_t i = shape.size(); i-- > 0;) {
    strides[i] = shape[i] == 1 ? 0 : step;
    step *= shape[i];
  }
  return strides;
}

/// Calls fn(to, from) for each element `to` of a row-major tensor of `shape`, where `from` walks with `strides`.
template <class Function>
void for_each_element(const std::vector<Index>& shape, const std::vector<Index>& strides, const Function& fn) {
  std::vector<Index> index(shape.size(), 0);
  const Index n = count(shape);
  Index from = 0;
  for (Index to = 0; to < n; ++to) {
    fn(static_cast<std::size_t>(to), static_cast<std::size_t>(from));
    for (std::size_t i = shape.size(); i-- > 0;) {
      from += strides[i];
      if (++index[i] < shape[i]) break;
      from -= strides[i] * shape[i];
      index[i] = 0;
    }
  }
}

/// Dimension i of the result is dimension order[i] of x.
template <class T>
[[nodiscard]] Array<T> permuted(const Array<T>& x, const std::vector<Index>& order) {
  const std::vector<Index> strides = strides_of(x.shape);
  std::vector<Index> shape, steps;
  for (const Index i : order) {
    shape.push_back(x.dim(i));
    steps.push_back(strides[static_cast<std::size_t>(i)]);
  }
  Array<T> y = zeros<T>(shape);
  for_each_element(shape, steps, [&](std::size_t to, std::size_t from) { y.values[to] = x.values[from]; });
  return y;
}

/// The permutation that undoes `order`.
[[nodiscard]] inline std::vector<Index> inverse_of(const std::vector<Index>& order) {
  std::vector<Index> inverse(order.size());
  for (std::size_t i = 0; i < order.size(); ++i) inverse[static_cast<std::size_t>(order[i])] = static_cast<Index>(i);
  return inverse;
}

/// The order of dimensions that moves `axis` to the end.
[[nodiscard]] inline std::vector<Index> axis_last(Index axis, Index rank) {
  std::vector<Index> order;
  for (Index i = 0; i < rank; ++i) {
    if (i != axis) order.push_back(i);
  }
  order.push_back(axis);
  return order;
}

/// The shape with ones in front, up to `rank` dimensions.
[[nodiscard]] inline std::vector<Index> with_rank(std::vector<Index> shape, std::size_t rank) {
  if (shape.size() < rank) shape.insert(shape.begin(), rank - shape.size(), 1);
  return shape;
}

/// The common shape of two, as numpy broadcasts them.
[[nodiscard]] inline std::vector<Index> broadcast_shape(std::vector<Index> a, std::vector<Index> b) {
  const std::size_t rank = std::max(a.size(), b.size());
  a = with_rank(a, rank);
  b = with_rank(b, rank);
  for (std::size_t i = 0; i < rank; ++i) a[i] = a[i] == 1 ? b[i] : a[i];
  return a;
}

namespace detail {

/// Throws unless an array of shape `from` broadcasts to `to`; returns its strides there.
[[nodiscard]] inline std::vector<Index> expanded_strides(const std::vector<Index>& from, const std::vector<Index>& to) {
  const std::vector<Index> full = with_rank(from, to.size());
  bool fits = full.size() == to.size();
  for (std::size_t i = 0; fits && i < to.size(); ++i) fits = full[i] == to[i] || full[i] == 1;
  if (!fits) {
    throw ShapeError("expanded: an array is " + shape_to_string(from.data(), from.size()) +
                     ", expected what broadcasts to " + shape_to_string(to.data(), to.size()));
  }
  return strides_of(full);
}

}  // namespace detail

/// x repeated to `shape`, as numpy broadcasts.
template <class T>
[[nodiscard]] Array<T> expanded(const Array<T>& x, const std::vector<Index>& shape) {
  Array<T> y = zeros<T>(shape);
  const std::vector<Index> strides = detail::expanded_strides(x.shape, shape);
  for_each_element(shape, strides, [&](std::size_t to, std::size_t from) { y.values[to] = x.values[from]; });
  return y;
}

/// The gradient of `expanded`: y summed over what was repeated.
template <class T>
[[nodiscard]] Array<T> summed_to(const Array<T>& y, const std::vector<Index>& shape) {
  Array<T> x = zeros<T>(shape);
  const std::vector<Index> strides = detail::expanded_strides(shape, y.shape);
  for_each_element(y.shape, strides, [&](std::size_t from, std::size_t to) { x.values[to] += y.values[from]; });
  return x;
}

/// The array as a tensor of its own; U of another type than T is converted, which is how bytes become a mask.
template <class U, std::size_t Rank, class T>
[[nodiscard]] Tensor<U, Rank> tensor_of(const Array<T>& x) {
  const std::vector<Index> full = with_rank(x.shape, Rank);
  Shape<Rank> shape{};
  std::copy(full.begin(), full.end(), shape.begin());
  Tensor<U, Rank> tensor(shape);
  for (Index i = 0; i < x.size(); ++i) tensor.data()[i] = static_cast<U>(x.values[static_cast<std::size_t>(i)]);
  return tensor;
}

}  // namespace mat::conformance
