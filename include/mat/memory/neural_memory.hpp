#pragma once

#include <mat/memory/fast_weight_state.hpp>
#include <mat/memory/memory.hpp>
#include <mat/memory/memory_layer.hpp>
#include <mat/memory/neural_write.hpp>
#include <mat/ops/activation.hpp>
#include <mat/ops/residual.hpp>
#include <mat/ops/token_shift.hpp>
#include <mat/ops/unit_length.hpp>

#include <optional>

namespace mat {
inline namespace MAT_ABI {

/// What a token asks the memory with.
enum class NeuralQuery {
  projected,  ///< W_Q x, brought to length 1 as the keys are.
  identity,   ///< x itself, as in the article; key_dim is features then.
};

/// The article's memory with weights that are written while it reads: each sequence has a MemoryLayer of its own, which
/// takes gradient steps that make it give the values of the tokens under their keys.
///
///     read    y = W_O f_theta(q),   f_theta(q) = relu(q W1^T + b1) W2^T + b2,   q = W_Q x / |W_Q x| or x
///     write   k_t = W_K h_{t-1} / |W_K h_{t-1}|,   v_t = W_V h_t,   rate_t = write_rate_max sigmoid(w h_t + b)
///             g = the gradient of 1/2 sum_t rate_t |f_theta(k_t) - v_t|^2 over a chunk of tokens
///             S' = mu S - (1 - mu) c s g,   theta' = theta + lambda (theta_0 - theta) + S'
///
/// theta_0 is learned, and is the article's fc1 and fc2; mu = 0.9 sigmoid(.) and lambda = sigmoid(.) are learned too.
/// A key is made of the token before (`shift`), so that a pair "key value" is bound in one layer; of the last segment's
/// last token for the first, so that the cut into segments does not matter. A chunk that has fewer than `chunk` tokens
/// is written at the segment's end: segments of whole chunks may be cut anywhere between chunks.
///
/// Biases are not written unless bias_rate says so: what all keys share would store the mean of the values there, and
/// answers would be a guess among them. s keeps the step below what the curvature of the loss allows, whatever the
/// inputs: see fast_weight_step_forward and surprise_forward. Without it (step_limit 0) s is 1 / the rows of the chunk.
/// The gradient goes through the inner gradient, which makes it second order; `first_order` takes theta for a constant
/// there. W_Q starts as W_K. Where keys are overwritten, small chunks and little momentum are better: what a chunk
/// writes twice under a key is mixed, and momentum writes an old value once more.
///
/// With write_rate_max 0 a state never changes, and with NeuralQuery::identity this is the article's MemoryLayer, bit
/// for bit. A user who wants no learning at test time does not write.
///
/// Source:  Behrouz, Zhong & Mirrokni (2025), "Titans: learning to memorize at test time", whose
///          memory forgets towards 0; Sun et al. (2024), "Learning to (learn at test time)", for gradients per chunk.
/// Shapes:  x, h, y [tokens, features]; theta [sequences * ...] as FastWeightState.
/// Errors:  ValueError for a setting outside of what is said at the Config; ShapeError if an input does not fit.
/// Threads: const; uses parallel_for over sequences; the bits of a sequence depend on the sequence alone.
template <class T>
class NeuralMemory {
 public:
  static constexpr MemoryPlace kPlace = MemoryPlace::branch;

  struct Config {
    Index features = 0;
    Index key_dim = 0;  ///< Columns of keys and values; 0 is as many as features.
    Index hidden = 0;   ///< Hidden units of f; 0 is as many as key_dim.
    Index chunk = 0;    ///< Tokens of one gradient step; 0 is the whole segment.
    NeuralQuery query = NeuralQuery::projected;
    bool output_projection = true;  ///< W_O; without it y has the columns of f, so key_dim is features.
    bool shift = true;              ///< A token's key comes from the token before.
    double write_rate_max = 1;      ///< At least 0. Rates start at half of it.
    double bias_rate = 0;           ///< In [0, 1]: how far biases are written, of how far weights are.
    double step_limit = 1;          ///< In (0, 1]: how far a step may go, of how far is stable; or 0, no limit.
    double max_norm = 0;            ///< Of the soft clip, at least 0; 0 is none.
    double momentum = 0.5;          ///< Where mu starts, in (0, 0.9); or 0, none.
    double forgetting = 0.02;       ///< Where lambda starts, in (0, 1); or 0, none.
    WriteGradient gradient = WriteGradient::exact;
  };

  struct Parameters {
    MemoryLayer<T> start;                           // theta_0
    Linear<T> key_proj, value_proj;                 // features -> key_dim
    Linear<T> write_rate;                           // features -> 1
    std::optional<Linear<T>> query_proj, out_proj;  // features -> key_dim, key_dim -> features
    Vector<T> momentum, forgetting;                 // before their sigmoids: [1], or empty

    template <class Visitor, class... P>
    static void visit(Visitor&& visitor, P&... p) {
      MemoryLayer<T>::Parameters::visit(visitor, p.start.parameters()...);
      visit_layer("key_proj", visitor, p.key_proj...);
      visit_layer("value_proj", visitor, p.value_proj...);
      visit_layer("write_rate", visitor, p.write_rate...);
      visit_optional_layer("query_proj", visitor, p.query_proj...);
      visit_optional_layer("out_proj", visitor, p.out_proj...);
      visit_tensor("momentum", visitor, p.momentum...);
      visit_tensor("forgetting", visitor, p.forgetting...);
    }
  };

  struct State {
    FastWeightState<T> weights, momentum;  // theta and S
    Matrix<T> last;                        // the last row that was written, if shift: [sequences, features]

    template <class Visitor, class... S>
    static void visit(Visitor&& visitor, S&... s) {
      FastWeightState<T>::visit(visitor, s.weights...);
      FastWeightState<T>::visit([&](const ParameterName& name,
                                    auto&... tensors) { visitor(ParameterName("momentum", -1, &name), tensors...); },
                                s.momentum...);
      visit_tensor("last", visitor, s.last...);
    }
  };

  struct ReadCache {
    Sequences sequences;
    ConstMatrixView<T> q;  // [tokens, key_dim]
    typename Linear<T>::Cache query_proj, out_proj;
    Matrix<T> queries, y, dq;   // [tokens, key_dim]
    Matrix<T> hidden, dhidden;  // [tokens, hidden]
  };

  struct WriteCache {
    Sequences sequences;
    Matrix<T> shifted, dh;  // [tokens, features]
    typename Linear<T>::Cache key_proj, value_proj, write_rate;
    Matrix<T> keys, dkeys;          // [tokens, key_dim]
    Matrix<T> gate, rates, drates;  // [tokens, 1]
    NeuralWriteTape<T> tape;
  };

  NeuralMemory(const Config& config, const Random& random)
      : config_(checked(config)),
        parameters_{MemoryLayer<T>({config_.key_dim, config_.hidden}, random),
                    Linear<T>({config_.features, config_.key_dim, false}, random.split(2)),
                    Linear<T>({config_.features, config_.key_dim, false}, random.split(3)),
                    Linear<T>({config_.features, 1}, random.split(4)),
                    std::nullopt,
                    std::nullopt,
                    {},
                    {}} {
    parameters_.write_rate.parameters().weight.fill(T(0));
    parameters_.write_rate.parameters().bias.fill(T(0));
    if (config_.query == NeuralQuery::projected) {
      parameters_.query_proj = parameters_.key_proj;  // so that from the start a token finds what it wrote
    }
    if (config_.output_projection) {
      parameters_.out_proj.emplace(typename Linear<T>::Config{config_.key_dim, config_.features, false},
                                   random.split(5));
    }
    set_gate(config_.momentum / kMostMomentum, parameters_.momentum);
    set_gate(config_.forgetting, parameters_.forgetting);
  }

  /// As given, with every size that was 0 filled in.
  [[nodiscard]] const Config& config() const { return config_; }
  [[nodiscard]] const Parameters& parameters() const { return parameters_; }
  [[nodiscard]] Parameters& parameters() { return parameters_; }

  void initial(Index batch, State& state) const {
    state.weights.resize(batch, config_.hidden, config_.key_dim);
    state.momentum.resize(batch, config_.hidden, config_.key_dim);
    state.last.resize({config_.shift ? batch : 0, config_.features});
    state.last.fill(T(0));
    const auto start = fast_weights_of<const T>(parameters_.start.parameters());
    for (Index b = 0; b < batch; ++b) {
      detail::for_each_fast_weight(
          [](Index n, T* weights, T* momentum, const T* from) {
            std::copy_n(from, n, weights);
            std::fill_n(momentum, n, T(0));
          },
          state.weights.at(b), state.momentum.at(b), start);
    }
  }
  void initial_backward(const State& dstate, Parameters& grads) const {
    for (Index b = 0; b < dstate.weights.fc2_bias.rows(); ++b) add_to_start(dstate.weights.at(b), grads);
  }

  ConstMatrixView<T> read(const State& state, ConstMatrixView<T> x, const Sequences& sequences,
                          ReadCache& cache) const {
    check("NeuralMemory::read", "x", state, x, sequences);
    cache.sequences = sequences;
    cache.q = x;
    if (parameters_.query_proj) {
      cache.queries.resize({x.rows(), config_.key_dim});
      unit_length_forward<T>(parameters_.query_proj->forward(x, cache.query_proj), 1, cache.queries);
      cache.q = cache.queries;
    }
    cache.hidden.resize({x.rows(), config_.hidden});
    cache.y.resize({x.rows(), config_.key_dim});
    cache.y.fill(T(0));  // rows between sequences
    for_each_sequence(sequences, 2, [&](Index b, Index begin, Index count) {
      fast_weights_forward<T>(state.weights.at(b), cache.q.middle_rows(begin, count),
                              cache.hidden.view().middle_rows(begin, count), cache.y.view().middle_rows(begin, count));
    });
    if (parameters_.out_proj) return parameters_.out_proj->forward(cache.y, cache.out_proj);
    return cache.y;
  }

  ConstMatrixView<T> read_backward(ConstMatrixView<T> dr, const State& state, ReadCache& cache, State& dstate,
                                   Parameters& grads) const {
    check_shape("NeuralMemory::read_backward: dr", dr, {cache.y.rows(), config_.features});
    if (parameters_.out_proj) dr = parameters_.out_proj->backward(dr, cache.out_proj, grads.out_proj->parameters());
    cache.dq.resize(cache.y.shape());
    cache.dhidden.resize(cache.hidden.shape());
    cache.dq.fill(T(0));
    cache.dhidden.fill(T(0));
    for_each_sequence(cache.sequences, 4, [&](Index b, Index begin, Index count) {
      fast_weights_backward<T>(state.weights.at(b), cache.q.middle_rows(begin, count),
                               cache.hidden.view().middle_rows(begin, count), dr.middle_rows(begin, count),
                               cache.dhidden.view().middle_rows(begin, count), dstate.weights.at(b),
                               cache.dq.view().middle_rows(begin, count));
    });
    if (!parameters_.query_proj) return cache.dq;
    unit_length_backward<T>(cache.query_proj.y, cache.dq, 1, cache.dq);
    return parameters_.query_proj->backward(cache.dq, cache.query_proj, grads.query_proj->parameters());
  }

  void write(const State& state, ConstMatrixView<T> h, const Sequences& sequences, State& next,
             WriteCache& cache) const {
    check("NeuralMemory::write", "h", state, h, sequences);
    cache.sequences = sequences;
    if (config_.write_rate_max == 0) {
      next = state;
      return;
    }
    next.last.resize(state.last.shape());
    ConstMatrixView<T> key_rows = h;
    if (config_.shift) {
      cache.shifted.resize(h.shape());
      shift_tokens_forward<T>(h, sequences, state.last, cache.shifted, next.last);
      key_rows = cache.shifted;
    }
    cache.keys.resize({h.rows(), config_.key_dim});
    unit_length_forward<T>(parameters_.key_proj.forward(key_rows, cache.key_proj), 1, cache.keys);
    const auto values = parameters_.value_proj.forward(h, cache.value_proj);
    cache.gate.resize({h.rows(), 1});
    cache.rates.resize({h.rows(), 1});
    (void)parameters_.write_rate.forward(h, cache.write_rate);
    activation_forward<T>(Activation::sigmoid, detail::as_row(cache.write_rate.y), detail::as_row(cache.gate));
    simd::set_scaled<T>(h.rows(), cache.rates.data(), static_cast<T>(config_.write_rate_max), cache.gate.data());
    next.weights.resize(sequences.count(), config_.hidden, config_.key_dim);
    next.momentum.resize(sequences.count(), config_.hidden, config_.key_dim);
    neural_write().forward({cache.keys, values, cache.rates}, sequences, {&state.weights, &state.momentum},
                           {&next.weights, &next.momentum}, cache.tape);
  }

  ConstMatrixView<T> write_backward(const State& dnext, const State& state, WriteCache& cache, State& dstate,
                                    Parameters& grads) const {
    check_state("NeuralMemory::write_backward", dnext, cache.sequences.count());
    cache.dh.resize({cache.sequences.rows(), config_.features});
    if (config_.write_rate_max == 0) {
      cache.dh.fill(T(0));
      for_each_parameter([](const ParameterName&, auto& to,
                            const auto& from) { simd::add_scaled(to.size(), to.data(), T(1), from.data()); },
                         dstate, dnext);
      return cache.dh;
    }
    cache.dkeys.resize(cache.keys.shape());
    cache.drates.resize(cache.rates.shape());
    Matrix<T>& dvalues = cache.tape.dvalues;
    cache.dkeys.fill(T(0));
    cache.drates.fill(T(0));
    dvalues.resize(cache.keys.shape());
    dvalues.fill(T(0));
    const NeuralGateGradients gates =
        neural_write().backward({cache.keys, cache.value_proj.y, cache.rates}, cache.sequences,
                                {&state.weights, &state.momentum}, {&dnext.weights, &dnext.momentum}, cache.tape,
                                {cache.dkeys, dvalues, cache.drates, {}}, {&dstate.weights, &dstate.momentum});
    for (Index b = 0; b < cache.tape.dstart.rows(); ++b) add_to_start(cache.tape.start_gradient(b, sizes()), grads);
    add_gate_gradient(gates.dmomentum * kMostMomentum, parameters_.momentum, grads.momentum);
    add_gate_gradient(gates.dforgetting, parameters_.forgetting, grads.forgetting);
    return inputs_backward(dnext, cache, dstate, grads);
  }

 private:
  static constexpr double kMostMomentum = 0.9;

  [[nodiscard]] static Config checked(Config c) {
    check_value(c.features >= 1, "NeuralMemory: features", c.features, "at least 1");
    check_value(c.key_dim >= 0, "NeuralMemory: key_dim", c.key_dim, "at least 0");
    check_value(c.hidden >= 0, "NeuralMemory: hidden", c.hidden, "at least 0");
    check_value(c.chunk >= 0, "NeuralMemory: chunk", c.chunk, "at least 0");
    if (c.key_dim == 0) c.key_dim = c.features;
    if (c.hidden == 0) c.hidden = c.key_dim;
    check_value(c.key_dim == c.features || (c.query == NeuralQuery::projected && c.output_projection),
                "NeuralMemory: key_dim without both projections", c.key_dim, "features, ", c.features);
    check_value(c.write_rate_max >= 0 && std::isfinite(c.write_rate_max), "NeuralMemory: write_rate_max",
                c.write_rate_max, "at least 0");
    check_value(c.bias_rate >= 0 && c.bias_rate <= 1, "NeuralMemory: bias_rate", c.bias_rate, "in [0, 1]");
    check_value(c.step_limit >= 0 && c.step_limit <= 1, "NeuralMemory: step_limit", c.step_limit, "in [0, 1]");
    check_value(c.max_norm >= 0 && std::isfinite(c.max_norm), "NeuralMemory: max_norm", c.max_norm, "at least 0");
    check_value(c.momentum >= 0 && c.momentum < kMostMomentum, "NeuralMemory: momentum", c.momentum, "in [0, 0.9)");
    check_value(c.forgetting >= 0 && c.forgetting < 1, "NeuralMemory: forgetting", c.forgetting, "in [0, 1)");
    return c;
  }
  void check_state(std::string_view what, const State& state, Index sequences) const {
    state.weights.check(what, sequences, config_.hidden, config_.key_dim);
    state.momentum.check(what, sequences, config_.hidden, config_.key_dim);
    check_shape({what, "the state's last"}, state.last, {config_.shift ? sequences : 0, config_.features});
  }
  void check(std::string_view what, std::string_view x_name, const State& state, ConstMatrixView<T> x,
             const Sequences& sequences) const {
    check_shape({what, x_name}, x, {kAny, config_.features});
    check_sequences({what, x_name}, x.rows(), sequences);
    check_state(what, state, sequences.count());
  }

  // A gate is learned as the x of sigmoid(x), and does not exist if it starts at 0.
  static void set_gate(double value, Vector<T>& gate) {
    if (value > 0) gate = Vector<T>({1}, {static_cast<T>(std::log(value / (1 - value)))});
  }
  [[nodiscard]] static double gate_value(const Vector<T>& gate) {
    return gate.empty() ? 0 : sigmoid(static_cast<double>(gate(0)));
  }
  static void add_gate_gradient(double dvalue, const Vector<T>& gate, Vector<T>& dgate) {
    if (gate.empty()) return;
    const double value = gate_value(gate);
    dgate(0) += static_cast<T>(dvalue * value * (1 - value));
  }

  [[nodiscard]] NeuralWriteSizes sizes() const { return {config_.hidden, config_.key_dim}; }
  [[nodiscard]] NeuralWrite<T> neural_write() const {
    NeuralWriteOptions<T> options;
    options.chunk = config_.chunk;
    options.bias_rate = static_cast<T>(config_.bias_rate);
    options.step.momentum = static_cast<T>(kMostMomentum * gate_value(parameters_.momentum));
    options.step.forgetting = static_cast<T>(gate_value(parameters_.forgetting));
    options.step.max_norm = config_.max_norm;
    options.step.limit = config_.step_limit;
    options.gradient = config_.gradient;
    return NeuralWrite<T>(sizes(), options, fast_weights_of<const T>(parameters_.start.parameters()));
  }
  static void add_to_start(FastWeights<const T> from, Parameters& grads) {
    detail::for_each_fast_weight([](Index n, T* to, const T* d) { simd::add_scaled(n, to, T(1), d); },
                                 fast_weights_of<T>(grads.start.parameters()), from);
  }
  template <class Function>
  void for_each_sequence(const Sequences& sequences, Index products, const Function& fn) const {
    const Index work = products * sequences.rows() * config_.hidden * config_.key_dim;
    parallel_for(sequences.count(), work, [&](Index b, int) {
      if (sequences.length(b) > 0) fn(b, sequences.begin(b), sequences.length(b));
    });
  }

  /// From the gradients of keys, values and rates to that of h.
  [[nodiscard]] ConstMatrixView<T> inputs_backward(const State& dnext, WriteCache& cache, State& dstate,
                                                   Parameters& grads) const {
    simd::set_scaled<T>(cache.drates.size(), cache.drates.data(), static_cast<T>(config_.write_rate_max),
                        cache.drates.data());
    activation_backward<T>(Activation::sigmoid, detail::as_row(cache.write_rate.y), detail::as_row(cache.gate),
                           detail::as_row(cache.drates), detail::as_row(cache.drates));
    const auto dh_rate = parameters_.write_rate.backward(cache.drates, cache.write_rate, grads.write_rate.parameters());
    const auto dh_value =
        parameters_.value_proj.backward(cache.tape.dvalues, cache.value_proj, grads.value_proj.parameters());
    add<T>(dh_rate, dh_value, cache.dh);
    unit_length_backward<T>(cache.key_proj.y, cache.dkeys, 1, cache.dkeys);
    const auto dkey_rows = parameters_.key_proj.backward(cache.dkeys, cache.key_proj, grads.key_proj.parameters());
    if (config_.shift) {
      shift_tokens_backward<T>(dkey_rows, dnext.last, cache.sequences, cache.dh, dstate.last);
    } else {
      add<T>(cache.dh, dkey_rows, cache.dh);
    }
    return cache.dh;
  }

  Config config_;
  Parameters parameters_;
};

}  // namespace MAT_ABI
}  // namespace mat
