#include "conformance/batch_layout.hpp"
#include "conformance/suites.hpp"

#include <mat/memory/infini_attention.hpp>
#include <mat/ops/content_memory.hpp>
#include <mat/ops/linear_attention.hpp>
#include <mat/ops/normalized_memory.hpp>
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
  LinearAttentionInputs<T> inputs{matrix_of(q), keys, matrix_of(v), {}, column_of(beta), sequences};
  if (alpha.size() > 0) inputs.decay = column_of(alpha);
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

/// The library keeps S and z in one matrix, z as its last column; here as the rows of [S z].
template <class T>
[[nodiscard]] Matrix<T> memory_of(const Array<T>& s, const Array<T>& z) {
  const Index rows = z.size(), cols = s.dim(-1);
  Matrix<T> both({rows, cols + 1});
  for (Index i = 0; i < rows; ++i) {
    std::copy_n(matrix_of(s).row(i), cols, both.view().row(i));
    both(i, cols) = z.values[static_cast<std::size_t>(i)];
  }
  return both;
}
/// Sets the two parts of [S z] under their names.
template <class T>
void set_parts(const Matrix<T>& both, const std::string& s, const std::string& z, const Case& c, Results& results,
               const std::string& s_shape, const std::string& z_shape) {
  const Index cols = both.cols() - 1;
  results.set(s, array_of(both.view().middle_cols(0, cols), c.shape(s_shape)));
  results.set(z, array_of(both.view().middle_cols(cols, 1), c.shape(z_shape)));
}

/// memory.linear: one sequence, one head.
template <class T>
void run_linear_memory(const Case& c, Results& results) {
  const Array<T> q = c.array<T>("input.q"), k = c.array<T>("input.k"), v = c.array<T>("input.v"),
                 dy = c.array<T>("grad_output.o");
  const Sequences sequences = Sequences::single(q.dim(0));
  const LinearMemoryInputs<T> inputs{matrix_of(q), matrix_of(k), matrix_of(v), 1, static_cast<T>(c.real("eps", 1e-6)),
                                     sequences};
  Matrix<T> state = memory_of(c.array<T>("input.S0"), c.array<T>("input.z0"));
  Matrix<T> dstate = memory_of(c.array<T>("grad_output.S"), c.array<T>("grad_output.z"));
  LinearMemoryCache<T> cache;
  results.set("output.o", array_of(linear_memory_forward<T>(inputs, state, cache), c.shape("output.o")));
  set_parts(state, "output.S", "output.z", c, results, "output.S", "output.z");
  Matrix<T> dq(inputs.q.shape()), dk(inputs.k.shape()), dv(inputs.v.shape());
  linear_memory_backward<T>(matrix_of(dy), inputs, cache, dq, dk, dv, dstate);
  results.set("grad_input.q", array_of(dq.view(), q.shape));
  results.set("grad_input.k", array_of(dk.view(), k.shape));
  results.set("grad_input.v", array_of(dv.view(), v.shape));
  set_parts(dstate, "grad_input.S0", "grad_input.z0", c, results, "input.S0", "input.z0");
}

/// memory.ntm_content: one sequence.
template <class T>
void run_content_memory(const Case& c, Results& results) {
  const Array<T> key = c.array<T>("input.key"), beta = c.array<T>("input.beta"), erase = c.array<T>("input.erase"),
                 add = c.array<T>("input.add"), start = c.array<T>("input.M0"), dy = c.array<T>("grad_output.r");
  const Sequences sequences = Sequences::single(key.dim(0));
  const ContentMemoryInputs<T> inputs{matrix_of(key), column_of(beta), matrix_of(erase), matrix_of(add), sequences};
  const Array<T> dend = c.array<T>("grad_output.M");
  Matrix<T> slots(matrix_of(start)), dslots(matrix_of(dend));
  ContentMemoryCache<T> cache;
  results.set("output.r", array_of(content_memory_forward<T>(inputs, slots, cache), c.shape("output.r")));
  results.set("output.M", array_of(slots.view(), start.shape));
  Matrix<T> dkey(inputs.key.shape()), dbeta(inputs.strength.shape()), derase(inputs.key.shape()),
      dadd(inputs.key.shape());
  content_memory_backward<T>(matrix_of(dy), inputs, cache, {dkey, dbeta, derase, dadd}, dslots);
  results.set("grad_input.key", array_of(dkey.view(), key.shape));
  results.set("grad_input.beta", array_of(dbeta.view(), beta.shape));
  results.set("grad_input.erase", array_of(derase.view(), erase.shape));
  results.set("grad_input.add", array_of(dadd.view(), add.shape));
  results.set("grad_input.M0", array_of(dslots.view(), start.shape));
}

/// memory.infini_attention: several segments of one batch.
template <class T>
void run_infini_attention(const Case& c, Results& results) {
  const std::size_t segments = c.config().at("segments").as_array().size();
  const auto name = [](const std::string& kind, std::size_t i) { return kind + "." + std::to_string(i); };
  typename InfiniAttention<T>::Config config;
  config.features = c.number("d", 0);
  config.heads = c.number("h", 1);
  config.rule = c.flag("delta") ? LinearAttentionRule::delta : LinearAttentionRule::additive;
  config.epsilon = c.real("eps", config.epsilon);
  InfiniAttention<T> layer(config, Random(1));
  c.load(layer.parameters());

  std::vector<BatchLayout> layouts;
  std::vector<Array<T>> x;
  std::vector<Sequences> sequences;
  for (std::size_t i = 0; i < segments; ++i) {
    layouts.emplace_back(c.shape(name("input.segment", i)), c.flag("batch_first"));
    x.push_back(layouts[i].rows(c.array<T>(name("input.segment", i))));
    sequences.push_back(layouts[i].sequences());
  }
  std::vector<typename InfiniAttention<T>::State> states(segments + 1);
  std::vector<typename InfiniAttention<T>::Cache> caches(segments);
  layer.initial(sequences[0].count(), states[0]);
  for (std::size_t i = 0; i < segments; ++i) {
    const auto y = layer.forward(states[i], matrix_of(x[i]), sequences[i], states[i + 1], caches[i]);
    results.set(name("output.y", i), layouts[i].unrow(y));
  }
  set_parts(states[segments].matrix, "output.M", "output.z", c, results, "output.M", "output.z");

  auto grads = zeros_like(layer.parameters());
  typename InfiniAttention<T>::State dnext{memory_of(c.array<T>("grad_output.M"), c.array<T>("grad_output.z"))}, dstate;
  for (std::size_t i = segments; i-- > 0;) {
    const Array<T> dy = layouts[i].rows(c.array<T>(name("grad_output.y", i)));
    zero_state_like(dnext, dstate);
    const auto dx = layer.backward(matrix_of(dy), dnext, states[i], caches[i], dstate, grads);
    results.set(name("grad_input.segment", i), layouts[i].unrow(dx));
    std::swap(dnext, dstate);
  }
  results.set_gradients(grads);
}

}  // namespace

template <class T>
Adapters torch_memory() {
  return {{"memory.delta_rule", run_delta_rule<T>},
          {"memory.linear", run_linear_memory<T>},
          {"memory.ntm_content", run_content_memory<T>},
          {"memory.infini_attention", run_infini_attention<T>}};
}

template Adapters torch_memory<float>();
template Adapters torch_memory<double>();

}  // namespace mat::conformance
