#pragma once

#include <mat/ops/delta_rule_chunks.hpp>

namespace mat {
inline namespace MAT_ABI {

/// Writes the tokens of each sequence into its matrices, one after the other, as products of matrices.
///
///     P = decay_t S,   e_t = v_t - k_t P (delta) or v_t (additive),   S = P + k_t^T beta_t e_t
///
/// It is what linear_attention_forward writes token by token, without its readings, up to rounding: for segments that
/// are read before they are written. With keys of length 1 and beta in (0, 1) the delta rule is stable; other keys are
/// the caller's risk. `next` receives S after the last token of each sequence; without tokens it is `state`.
///
/// Source:  Schlag, Irie & Schmidhuber (2021), "Linear transformers are secretly fast weight programmers", eq. 24; Yang
///          et al. (2024), "Parallelizing linear transformers with the delta rule over sequence length", section 3;
///          Yang, Kautz & Hatamizadeh (2024), "Gated delta networks", eq. 10.
/// Shapes:  k [tokens, heads * key_dim]; v [tokens, heads * value_dim]; decay, beta [tokens, heads]; state, next
///          [sequences * heads * key_dim, value_dim].
/// Errors:  ShapeError or ValueError if sizes, heads or sequences do not fit.
/// Threads: uses parallel_for; the bits of a sequence's results depend on the sequence alone.
template <class T>
void delta_rule_forward(const DeltaRuleOptions& options, const DeltaRuleInputs<T>& inputs, ConstMatrixView<T> state,
                        MatrixView<T> next, DeltaRuleCache<T>& cache) {
  const detail::DeltaRule<T> rule("delta_rule_forward", options, inputs);
  check_shape("delta_rule_forward: state", state, rule.state_shape());
  check_shape("delta_rule_forward: next", next, rule.state_shape());
  rule.forward(state, next, cache);
}

/// Sets the gradients of the inputs of delta_rule_forward in `grads`, and adds that of `state` to `dstate`; rows
/// between sequences get 0.
///
/// `options`, `inputs` and `state` must be those of the forward whose cache this is. Shapes, source, errors and threads
/// as there.
template <class T>
void delta_rule_backward(ConstMatrixView<T> dnext, const DeltaRuleOptions& options, const DeltaRuleInputs<T>& inputs,
                         ConstMatrixView<T> state, DeltaRuleCache<T>& cache, const DeltaRuleGradients<T>& grads,
                         MatrixView<T> dstate) {
  const detail::DeltaRule<T> rule("delta_rule_backward", options, inputs);
  check_shape("delta_rule_backward: dnext", dnext, rule.state_shape());
  check_shape("delta_rule_backward: state", state, rule.state_shape());
  check_shape("delta_rule_backward: dk", grads.dk, inputs.k.shape());
  check_shape("delta_rule_backward: dv", grads.dv, inputs.v.shape());
  check_shape("delta_rule_backward: ddecay", grads.ddecay, inputs.decay.shape());
  check_shape("delta_rule_backward: dbeta", grads.dbeta, inputs.beta.shape());
  check_shape("delta_rule_backward: dstate", dstate, rule.state_shape());
  if (inputs.sequences.has_gaps()) {
    for (const MatrixView<T>& gradient : {grads.dk, grads.dv, grads.ddecay, grads.dbeta}) gradient.matrix().setZero();
  }
  rule.backward(dnext, state, cache, grads, dstate);
}

}  // namespace MAT_ABI
}  // namespace mat
