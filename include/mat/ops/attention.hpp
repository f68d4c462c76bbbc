#pragma once

#include <mat/ops/attention_backward.hpp>
#include <mat/ops/attention_forward.hpp>

namespace mat {
inline namespace MAT_ABI {

/// Scaled dot-product attention of each sequence of a batch, per head.
///
///     s_ij = scale <q_i, k_j>,  s_ij = softcap tanh(s_ij / softcap),  s_ij += bias_ij + key_bias_j,
///     p_i = softmax_j(s_i),  y_i = sum_j dropout(p_ij) v_j
///
/// Tiles of queries meet blocks of keys with a running maximum and sum, so the memory is O(tokens): no option stores a
/// queries x keys matrix. Blocks that the mask hides from all queries of a tile are skipped. A query that may attend to
/// nothing gets y = 0, with gradient 0. Values of keys that a mask hides are multiplied by 0: they must be finite.
///
/// Source:  Vaswani et al. (2017), "Attention is all you need", eq. 1; Milakov & Gimelshein (2018), "Online normalizer
///          calculation for softmax", alg. 3; Dao et al. (2022), "FlashAttention", alg. 1; Shazeer (2019), "Fast
///          transformer decoding" (shared key/value heads).
/// Shapes:  q [query tokens, heads * head_dim]; k [key tokens, kv_heads * head_dim]; v [key tokens, kv_heads *
///          value_dim]; y [query tokens, heads * value_dim]. Head h reads key/value head h / (heads / kv_heads).
/// Returns: y, living in the cache until the next forward with it.
/// Errors:  ShapeError or ValueError if sizes, heads, sequences, masks or slopes do not fit.
/// Threads: uses parallel_for; the bits of the results do not depend on the number of threads, nor on which other
///          sequences are in the batch.
template <class T>
ConstMatrixView<T> attention_forward(const AttentionOptions<T>& options, const AttentionInputs<T>& inputs,
                                     AttentionCache<T>& cache) {
  const detail::AttentionProblem<T> problem("attention_forward", options, inputs);
  cache.y.resize({inputs.q.rows(), options.heads * problem.value_dim});
  cache.highest.resize({options.heads, inputs.q.rows()});
  cache.log_sum.resize(cache.highest.shape());
  // Rows that belong to no sequence, in a batch with gaps, are no one's output.
  if (problem.queries.has_gaps()) cache.y.fill(T(0));
  const detail::AttentionForward<T> forward(problem, cache);
  forward.run();
  return cache.y;
}

/// The gradients of attention_forward: sets dq, dk and dv, and adds to the biases' gradients if they are given.
///
///     dv_j = sum_i dropout(p_ij) dy_i,  dp_ij = dropout(<dy_i, v_j>),  ds_ij = p_ij (dp_ij - <dy_i, y_i>),
///     dq_i = scale sum_j ds_ij k_j,  dk_j = scale sum_i ds_ij q_i,  dbias_ij += ds_ij,
///     dkey_bias_j += sum_i ds_ij, all heads together
///
/// `options` and `inputs` must be those of the forward whose cache this is; p is computed again from the saved
/// maxima and logarithms of the sums. Memory, source, shapes, errors and threads as in attention_forward.
template <class T>
void attention_backward(ConstMatrixView<T> dy, const AttentionOptions<T>& options, const AttentionInputs<T>& inputs,
                        AttentionCache<T>& cache, const AttentionGradients<T>& grads) {
  const detail::AttentionProblem<T> problem("attention_backward", options, inputs);
  problem.check_not_packed("attention_backward");
  check_shape("attention_backward: dy", dy, cache.y.shape());
  check_shape("attention_backward: dq", grads.dq, inputs.q.shape());
  check_shape("attention_backward: dk", grads.dk, inputs.k.shape());
  check_shape("attention_backward: dv", grads.dv, inputs.v.shape());
  const auto& bias = problem.mask.bias_plane();
  if (!grads.dbias.empty())
    check_shape("attention_backward: dbias", grads.dbias, {bias.batch, bias.heads, bias.queries, bias.keys});
  if (!grads.dkey_bias.empty()) check_shape("attention_backward: dkey_bias", grads.dkey_bias, {inputs.v.rows()});
  detail::AttentionBackward<T>(problem, dy, cache, grads).run();
}

}  // namespace MAT_ABI
}  // namespace mat
