#include "conformance/onnx_node.hpp"

#include <mat/ops/linear_attention.hpp>

namespace mat::conformance {

namespace {

/// One number of a row for each head; the file may have one for all.
template <class T>
Matrix<T> per_head(const Array<T>& x, Index heads) {
  const ConstMatrixView<T> own = matrix_of(x);
  if (own.cols() != 1) return Matrix<T>(own);
  Matrix<T> all({own.rows(), heads});
  for (Index t = 0; t < own.rows(); ++t) std::fill_n(all.view().row(t), heads, own(t, 0));
  return all;
}

/// LinearAttention (ONNX 27): all inputs are [B, T, features], the state [B, H, key_dim, value_dim].
template <class T>
void run_linear_attention(OnnxNode<T>& node) {
  const Array<T>& q = node.real(0);
  const Array<T>& v = node.real(2);
  const std::string rule = node.word("update_rule", "gated_delta");
  LinearAttentionOptions<T> options;
  options.heads = node.number("q_num_heads", 1);
  options.kv_heads = node.number("kv_num_heads", 1);
  const bool delta = rule == "delta" || rule == "gated_delta", gated = rule == "gated" || rule == "gated_delta";
  options.rule = delta ? LinearAttentionRule::delta : LinearAttentionRule::additive;
  const Index key_dim = q.dim(2) / options.heads, value_dim = v.dim(2) / options.kv_heads;
  options.scale = static_cast<T>(node.decimal("scale", 0));
  if (options.scale == T(0)) options.scale = static_cast<T>(1 / std::sqrt(static_cast<double>(key_dim)));

  Matrix<T> decay, beta;
  if (gated) decay = Matrix<T>(matrix_of(node.real(4)));
  for (Index i = 0; i < decay.size(); ++i) decay.data()[i] = std::exp(decay.data()[i]);
  if (delta) beta = per_head(node.real(5), options.kv_heads);
  const std::vector<Index> state_shape{q.dim(0), options.kv_heads, key_dim, value_dim};
  Matrix<T> state({q.dim(0) * options.kv_heads * key_dim, value_dim});
  if (node.has(3)) state = Matrix<T>(matrix_of(node.real(3)));

  const Sequences sequences = Sequences::uniform(q.dim(0), q.dim(1));
  LinearAttentionCache<T> cache;
  const auto y = linear_attention_forward<T>(
      options, {matrix_of(q), matrix_of(node.real(1)), matrix_of(v), decay, beta, sequences}, state, cache);
  node.set(0, array_of(y, {q.dim(0), q.dim(1), options.heads * value_dim}));
  node.set(1, array_of(state.view(), state_shape));
}

}  // namespace

template <class T>
OnnxAdapters<T> onnx_linear_attention() {
  return {{"LinearAttention", run_linear_attention<T>}};
}

template OnnxAdapters<float> onnx_linear_attention<float>();
template OnnxAdapters<double> onnx_linear_attention<double>();

}  // namespace mat::conformance
