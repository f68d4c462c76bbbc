#include "conformance/suites.hpp"

#include <mat/ops/linear_attention.hpp>
#include <mat/ops/unit_length.hpp>

namespace mat::conformance {

namespace {

/// memory.delta_rule: one sequence, one head; the file's state is [value_dim, key_dim].
template <class T>
void run_delta_rule(const Case& c, Results& results) {
  const Array<T> q = c.array<T>("input.q"), k = c.array<T>("input.k"), v = c.array<T>("input.v"),
                 beta = c.array<T>("input.beta"), start = permuted(c.array<T>("input.S0"), {1, 0}),
                 dy = c.array<T>("grad_output.o"), dend = permuted(c.array<T>("grad_output.S"), {1, 0});
  const Array<T> alpha = c.has("input.alpha") ? c.array<T>("input.alpha") : Array<T>{};
  const Sequences sequences = Sequences::single(q.dim(0));
  const bool unit = c.flag("normalize_k");
  Matrix<T> keys(matrix_of(k));
  if (unit) unit_length_forward<T>(matrix_of(k), 1, keys);
  LinearAttentionOptions<T> options;
  LinearAttentionInputs<T> inputs{matrix_of(q), keys, matrix_of(v), {}, matrix_of(beta, 1), sequences};
  if (alpha.size() > 0) inputs.decay = matrix_of(alpha, 1);
  Matrix<T> state(matrix_of(start)), dstate(matrix_of(dend));
  LinearAttentionCache<T> cache;
  results.set("output.o", array_of(linear_attention_forward<T>(options, inputs, state, cache), c.shape("output.o")));
  results.set("output.S", permuted(array_of(state.view(), start.shape), {1, 0}));

  Matrix<T> dq(inputs.q.shape()), dk(inputs.k.shape()), dv(inputs.v.shape()), dbeta(inputs.beta.shape()),
      dalpha(inputs.decay.shape());
  linear_attention_backward<T>(matrix_of(dy), options, inputs, cache, {dq, dk, dv, dalpha, dbeta}, dstate);
  if (unit) unit_length_backward<T>(matrix_of(k), dk, 1, dk);
  results.set("grad_input.q", array_of(dq.view(), q.shape));
  results.set("grad_input.k", array_of(dk.view(), k.shape));
  results.set("grad_input.v", array_of(dv.view(), v.shape));
  results.set("grad_input.beta", array_of(dbeta.view(), beta.shape));
  if (alpha.size() > 0) results.set("grad_input.alpha", array_of(dalpha.view(), alpha.shape));
  results.set("grad_input.S0", permuted(array_of(dstate.view(), start.shape), {1, 0}));
}

}  // namespace

template <class T>
Adapters torch_memory() {
  return {{"memory.delta_rule", run_delta_rule<T>}};
}

template Adapters torch_memory<float>();
template Adapters torch_memory<double>();

}  // namespace mat::conformance
