#pragma once

#include <mat/ops/attention_problem.hpp>

namespace mat {
inline namespace MAT_ABI {

// The weights of attention as a matrix, to look at or to learn from. Attention itself never stores them: this is
// O(queries x keys) memory, for one sequence at a time.

/// How far the scores are taken: products scale <q, k>, then the softcap, then masks and biases, then the softmax.
enum class AttentionStage { products, capped, masked, weights };

/// Writes the scores or weights of sequence b, dropout left out.
///
/// Shapes: out [heads, queries of b, keys of b].
/// Errors: as attention_forward; ShapeError if `out` does not fit.
template <class T>
void attention_weights(const AttentionOptions<T>& options, const AttentionInputs<T>& inputs, Index b,
                       AttentionStage stage, TensorView<T, 3> out) {
  const detail::AttentionProblem<T> p("attention_weights", options, inputs);
  p.check_not_packed("attention_weights");
  const Index queries = p.queries.length(b), keys = p.keys.length(b);
  check_shape("attention_weights: out", out, {p.heads, queries, keys});
  for (Index h = 0; h < p.heads; ++h) {
    for (Index i = 0; i < queries; ++i) {
      T* row = out.row(h * queries + i);
      const T* q = p.q.row(p.queries.begin(b) + i) + h * p.head_dim;
      for (Index j = 0; j < keys; ++j) {
        row[j] = simd::dot(p.head_dim, q, p.k.row(p.keys.begin(b) + j) + h / p.group * p.head_dim);
      }
      if (stage == AttentionStage::products || stage == AttentionStage::capped) {
        for (Index j = 0; j < keys; ++j) {
          row[j] *= p.scale;
          if (stage == AttentionStage::capped && p.softcap > 0) row[j] = p.softcap * std::tanh(row[j] / p.softcap);
        }
        continue;
      }
      p.score(b, h, i, {0, keys}, row, nullptr);
      if (stage == AttentionStage::masked) continue;
      const T highest = simd::largest_of(keys, row);
      T sum = 0;
      for (Index j = 0; j < keys; ++j) {
        row[j] = highest == -std::numeric_limits<T>::infinity() ? T(0) : std::exp(row[j] - highest);
        sum += row[j];
      }
      if (sum == T(0)) continue;
      for (Index j = 0; j < keys; ++j) row[j] /= sum;
    }
  }
}

/// Adds to dq and dk, and to dbias and dkey_bias if they are given, the gradient of a loss that reads the weights of
/// sequence b.
///
///     ds_ij = p_ij (dp_ij - sum_l p_il dp_il),   dq_i += scale sum_j ds_ij k_j,   dk_j += scale sum_i ds_ij q_i
///
/// Shapes: dweights [heads, queries of b, keys of b]; dq, dk as q, k; the others as in attention_backward.
/// Errors: as attention_forward; ShapeError if a gradient does not fit.
template <class T>
void attention_weights_backward(TensorView<const T, 3> dweights, const AttentionOptions<T>& options,
                                const AttentionInputs<T>& inputs, Index b, const AttentionGradients<T>& grads) {
  const detail::AttentionProblem<T> p("attention_weights_backward", options, inputs);
  const Index queries = p.queries.length(b), keys = p.keys.length(b);
  check_shape("attention_weights_backward: dweights", dweights, {p.heads, queries, keys});
  check_shape("attention_weights_backward: dq", grads.dq, p.q.shape());
  check_shape("attention_weights_backward: dk", grads.dk, p.k.shape());
  Tensor<T, 3> weights(dweights.shape());
  attention_weights<T>(options, inputs, b, AttentionStage::weights, weights);
  for (Index h = 0; h < p.heads; ++h) {
    for (Index i = 0; i < queries; ++i) {
      const Index row = p.queries.begin(b) + i, head = h * p.head_dim, kv_head = h / p.group * p.head_dim;
      const T* dp = dweights.row(h * queries + i);
      T mean = 0;
      for (Index j = 0; j < keys; ++j) mean += weights(h, i, j) * dp[j];
      for (Index j = 0; j < keys; ++j) {
        const Index key = p.keys.begin(b) + j;
        T ds = weights(h, i, j) * (dp[j] - mean);
        if (!grads.dbias.empty() && j >= p.sinks) {
          grads.dbias.data()[p.mask.bias_plane().row_offset(b, h, i) + j - p.sinks] += ds;
        }
        if (!grads.dkey_bias.empty()) grads.dkey_bias.data()[key] += ds;
        ds *= p.scale;
        if (p.softcap > 0) {
          const T t =
              std::tanh(simd::dot(p.head_dim, p.q.row(row) + head, p.k.row(key) + kv_head) * p.scale / p.softcap);
          ds *= 1 - t * t;
        }
        simd::add_scaled(p.head_dim, grads.dq.row(row) + head, ds, p.k.row(key) + kv_head);
        simd::add_scaled(p.head_dim, grads.dk.row(key) + kv_head, ds, p.q.row(row) + head);
      }
    }
  }
}

}  // namespace MAT_ABI
}  // namespace mat
