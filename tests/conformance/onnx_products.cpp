#include "conformance/onnx_node.hpp"

#include <mat/ops/gather.hpp>
#include <mat/ops/matmul.hpp>

namespace mat::conformance {

namespace {

/// Views of a matrix and of its transpose.
template <class T>
MatmulOperand<T> operand(const Array<T>& x, bool transpose) {
  const ConstMatrixView<T> view = matrix_of(x);
  return transpose ? transposed<T>(view) : MatmulOperand<T>(view);
}

template <class T>
void scale(Array<T>& x, double factor) {
  if (factor == 1) return;
  for (T& value : x.values) value *= static_cast<T>(factor);
}

/// y = alpha a b + beta c: the product is added to beta / alpha c, then all is scaled.
template <class T>
void run_gemm(OnnxNode<T>& node) {
  const MatmulOperand<T> a = operand(node.real(0), node.number("transA", 0) != 0);
  const MatmulOperand<T> b = operand(node.real(1), node.number("transB", 0) != 0);
  const double alpha = node.decimal("alpha", 1), beta = node.decimal("beta", 1);
  Array<T> y = zeros<T>({a.rows, b.cols});
  if (node.has(2) && beta != 0) y = expanded(node.real(2), y.shape);
  scale(y, alpha == 0 ? beta : beta / alpha);
  if (alpha != 0) {
    matmul_add<T>(a, b, mutable_matrix_of(y));
    scale(y, alpha);
  }
  node.set(0, y);
}

/// As numpy's matmul: products of the last two dimensions, the others broadcast; a vector is a row or a column.
template <class T>
void run_matmul(OnnxNode<T>& node) {
  Array<T> a = node.real(0), b = node.real(1);
  const bool row = a.rank() == 1, column = b.rank() == 1;
  if (row) a.shape.insert(a.shape.begin(), 1);
  if (column) b.shape.push_back(1);
  const Index m = a.dim(-2), k = a.dim(-1), n = b.dim(-1);
  if (b.dim(-2) != k) throw ShapeError("MatMul: b has " + std::to_string(b.dim(-2)) + " rows");
  const auto joined = [](std::vector<Index> shape, Index rows, Index cols) {
    shape.push_back(rows);
    shape.push_back(cols);
    return shape;
  };
  const std::vector<Index> outer =
      broadcast_shape({a.shape.begin(), a.shape.end() - 2}, {b.shape.begin(), b.shape.end() - 2});
  a = expanded(a, joined(outer, m, k));
  b = expanded(b, joined(outer, k, n));
  Array<T> y = zeros<T>(joined(outer, m, n));
  const MatrixView<T> all = mutable_matrix_of(y);
  for (Index i = 0; i < count(outer); ++i) {
    matmul<T>(matrix_of(a).middle_rows(i * m, m), matrix_of(b).middle_rows(i * k, k), all.middle_rows(i * m, m));
  }
  if (column) y.shape.pop_back();
  if (row) y.shape.erase(column ? y.shape.end() - 1 : y.shape.end() - 2);
  node.set(0, y);
}

/// Rows of the axis, for all that lies before it; a negative index counts from the end.
template <class T>
void run_gather(OnnxNode<T>& node) {
  const Array<T>& x = node.real(0);
  Array<Index> ids = node.whole(1);
  const Index axis = axis_of(node.number("axis", 0), x.rank()), n = x.dim(axis);
  for (Index& id : ids.values) id += id < 0 ? n : 0;
  std::vector<Index> shape(x.shape.begin(), x.shape.begin() + axis);
  const Index outer = count(shape);
  shape.insert(shape.end(), ids.shape.begin(), ids.shape.end());
  shape.insert(shape.end(), x.shape.begin() + axis + 1, x.shape.end());
  Array<T> y = zeros<T>(shape);
  const MatrixView<T> all = mutable_axis_matrix(y, axis + ids.rank());
  for (Index i = 0; i < outer; ++i) {
    gather_rows<T>(axis_matrix(x, axis + 1).middle_rows(i * n, n), vector_of(ids),
                   all.middle_rows(i * ids.size(), ids.size()));
  }
  node.set(0, y);
}

// What is between the operators of a graph: layout and signs, which say nothing of the library.

template <class T>
void run_negate(OnnxNode<T>& node) {
  Array<T> x = node.real(0);
  scale(x, -1);
  node.set(0, x);
}

template <class T>
void run_transpose(OnnxNode<T>& node) {
  const Array<T>& x = node.real(0);
  std::vector<Index> order;
  for (Index i = x.rank(); i-- > 0;) order.push_back(i);
  if (const Json* perm = node.attribute("perm")) {
    order.clear();
    for (const Json& axis : perm->as_array()) order.push_back(axis.as_index());
  }
  node.set(0, permuted(x, order));
}

/// Two halves along an axis.
template <class T>
void run_split(OnnxNode<T>& node) {
  const Array<T>& x = node.real(0);
  const Index axis = axis_of(node.number("axis", 0), x.rank()), half = x.dim(axis) / 2;
  std::vector<Index> sizes{half, half};
  if (node.has(1)) sizes = node.whole(1).values;
  if (const Json* split = node.attribute("split")) {
    sizes.clear();
    for (const Json& size : split->as_array()) sizes.push_back(size.as_index());
  }
  if (2 * half != x.dim(axis) || sizes != std::vector<Index>{half, half}) {
    throw Unsupported("a split that is not into two halves");
  }
  const Index inner = count({x.shape.begin() + axis + 1, x.shape.end()});
  Array<T> parts[2];
  for (Array<T>& part : parts) {
    part.shape = x.shape;
    part.shape[static_cast<std::size_t>(axis)] = half;
  }
  for (Index i = 0; i < x.size(); ++i) {
    parts[i / inner % (2 * half) / half].values.push_back(x.values[static_cast<std::size_t>(i)]);
  }
  node.set(0, parts[0]);
  node.set(1, parts[1]);
}

}  // namespace

template <class T>
OnnxAdapters<T> onnx_products() {
  return {{"Gemm", run_gemm<T>}, {"MatMul", run_matmul<T>}, {"Gather", run_gather<T>}};
}

template <class T>
OnnxAdapters<T> onnx_graph_only() {
  return {{"Transpose", run_transpose<T>}, {"Split", run_split<T>}, {"Neg", run_negate<T>}};
}

template OnnxAdapters<float> onnx_products<float>();
template OnnxAdapters<double> onnx_products<double>();
template OnnxAdapters<float> onnx_graph_only<float>();
template OnnxAdapters<double> onnx_graph_only<double>();

}  // namespace mat::conformance
