#include "conformance/batch_layout.hpp"
#include "conformance/suites.hpp"
#include "conformance/torch_settings.hpp"

#include <mat/memory/memory_tokens.hpp>
#include <mat/memory/recurrent_encoder.hpp>

namespace mat::conformance {

namespace {

/// memory.memory_tokens: an encoder over segments, whose rows of memory go from each to the next.
template <class T>
void run_memory_tokens(const Case& c, Results& results) {
  using Model = RecurrentEncoder<T, MemoryTokens<T>>;
  typename Model::Config config;
  config.encoder.layer = encoder_layer_config<T>(c);
  config.encoder.layer.norm_first = c.flag("norm_first", true);  // as cases were made whose config does not say it
  config.encoder.num_layers = c.number("layers", 1);
  config.encoder.final_norm = c.flag("final_norm");
  config.causal = c.flag("decoder");
  config.memory.count = c.config().at("n").as_index();
  config.memory.write = config.causal ? MemoryTokens<T>::Write::end : MemoryTokens<T>::Write::front;
  Model model(config, Random(1));
  const auto rename = [](const std::string& name) { return name == "memories.0.memory" ? std::string("mem") : name; };
  c.load(model.parameters(), rename);

  const std::size_t count = c.config().at("segments").as_array().size();
  const auto name = [](const char* kind, std::size_t i) { return kind + std::to_string(i); };
  const bool batch_first = c.flag("batch_first");
  const BatchLayout first(c.shape("input.segment.0"), batch_first);
  std::vector<typename Model::State> states(count + 1);
  std::vector<typename Model::Cache> caches(count);
  std::vector<Array<T>> x;
  std::vector<Sequences> sequences;
  model.initial(first.batch(), states[0]);
  for (std::size_t i = 0; i < count; ++i) {
    const BatchLayout layout(c.shape(name("input.segment.", i)), batch_first);
    x.push_back(layout.rows(c.array<T>(name("input.segment.", i))));
    sequences.push_back(layout.sequences());
  }
  for (std::size_t i = 0; i < count; ++i) {
    const BatchLayout layout(c.shape(name("input.segment.", i)), batch_first);
    const auto y = model.forward({matrix_of(x[i]), &sequences[i]}, states[i], &states[i + 1], {}, caches[i]);
    results.set(name("output.y.", i), layout.unrow(y));
  }
  const BatchLayout memory(c.shape("output.memory"), batch_first);
  results.set("output.memory", memory.unrow(ConstMatrixView<T>(states[count].memories[0].rows)));

  auto grads = zeros_like(model.parameters());
  typename Model::State dnext = states[count], dstate;
  const Array<T> dmemory = memory.rows(c.array<T>("grad_output.memory"));
  dnext.memories[0].rows.assign(matrix_of(dmemory));
  for (std::size_t i = count; i-- > 0;) {
    const BatchLayout layout(c.shape(name("input.segment.", i)), batch_first);
    const Array<T> dy = layout.rows(c.array<T>(name("grad_output.y.", i)));
    zero_state_like(states[i], dstate);
    const auto dx = model.backward(matrix_of(dy), &dnext, states[i], caches[i], dstate, grads);
    results.set(name("grad_input.segment.", i), layout.unrow(dx));
    std::swap(dnext, dstate);
  }
  model.initial_backward(dnext, grads);
  results.set_gradients(grads, rename);
}

}  // namespace

template <class T>
Adapters torch_memory_tokens() {
  return {{"memory.memory_tokens", run_memory_tokens<T>}};
}

template Adapters torch_memory_tokens<float>();
template Adapters torch_memory_tokens<double>();

}  // namespace mat::conformance
