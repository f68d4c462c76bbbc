#pragma once

#include <mat/layers/linear.hpp>
#include <mat/memory/memory.hpp>
#include <mat/ops/activation.hpp>
#include <mat/ops/delta_rule.hpp>
#include <mat/ops/normalized_memory.hpp>
#include <mat/ops/residual.hpp>
#include <mat/ops/token_shift.hpp>
#include <mat/ops/unit_length.hpp>

#include <optional>

namespace mat {
inline namespace MAT_ABI {

/// One matrix for each head that keeps values under keys; a key that comes again overwrites.
///
///     read   q_t = sigmoid(g) f(x_t Wq^T),   r_t = [q_t S] Wo^T     g: a number for each head, S of before the segment
///     write  k_t = f(h_(t - 1) Wk^T),   v_t = h_t Wv^T
///            beta_t = sigmoid(h_t Wb^T + b),   gamma_t = sigmoid(h_t Wc^T + c)
///            S = gamma_t S,   S += k_t^T beta_t (v_t - k_t S)      f(y) = y / |y|
///
/// A key is made of the token before (`token_shift`), so that a pair "key value" is bound in one layer; of the first
/// token of a segment, from the last row of the segment before. So the split of a stream into segments changes nothing
/// but rounding. With keys of length 1 and beta below 1 the state cannot grow beyond the values it was given.
///
/// The rule `additive` writes beside what is there, k_t^T beta_t v_t with f(y) = elu(y) + 1, and reads weighted means:
/// sigmoid(g) q_t S / (q_t z + epsilon) with q_t = f(x_t Wq^T), where z, the last column of S, is what values of 1
/// would have left.
///
/// Source:  Yang, Kautz & Hatamizadeh (2024), "Gated delta networks", eq. 10; Munkhdalai, Faruqui & Gopal (2024),
///          "Leave no context behind", eq. 3-4 (additive). The gates g start at 1/2; "read_gate"
///          may have a learning rate of its own (ParameterGroups), for it moves slowly at that of a model.
/// Shapes:  x, h, r [tokens, features]; S [sequences * heads * key_dim, value_dim, and 1 for z].
/// Errors:  ValueError for settings that do not fit; ShapeError if an input or a state does not.
/// Threads: const; one memory serves any number of threads, each with states and caches of its own.
template <class T>
class DeltaMemory {
 public:
  static constexpr MemoryPlace kPlace = MemoryPlace::branch;

  struct Config {
    Index features = 0;
    Index heads = 4;
    Index key_dim = 0;    ///< Of a head; 0: features / heads.
    Index value_dim = 0;  ///< Of a head; 0: features / heads.
    LinearAttentionRule rule = LinearAttentionRule::delta;
    bool token_shift = true;
    bool forget = true;  ///< Learns gamma; without it gamma is 1.
    double initial_gamma = 0.9997;
    double epsilon = 1e-6;          ///< Of the additive rule.
    Index chunk = kDeltaRuleChunk;  ///< Tokens that are written together; see DeltaRuleOptions.
  };

  struct Parameters {
    Linear<T> query, key, value, output;  // without bias
    Linear<T> beta;
    std::optional<Linear<T>> gamma;  // if forget
    Vector<T> read_gate;             // g: [heads]

    template <class Visitor, class... P>
    static void visit(Visitor&& visitor, P&... p) {
      visit_layer("query", visitor, p.query...);
      visit_layer("key", visitor, p.key...);
      visit_layer("value", visitor, p.value...);
      visit_layer("output", visitor, p.output...);
      visit_layer("beta", visitor, p.beta...);
      visit_optional_layer("gamma", visitor, p.gamma...);
      visit_tensor("read_gate", visitor, p.read_gate...);
    }
  };

  struct State {
    Matrix<T> matrix;  // S, and z as its last column: [sequences * heads * key_dim, value_dim (+ 1)]
    Matrix<T> last;    // the last row that was written, if token_shift: [sequences, features]

    template <class Visitor, class... S>
    static void visit(Visitor&& visitor, S&... s) {
      visit_tensor("matrix", visitor, s.matrix...);
      visit_tensor("last", visitor, s.last...);
    }
  };

  /// What one read leaves for its backward; x and the state stay with the caller and must live until then.
  struct ReadCache {
    Sequences sequences;
    typename Linear<T>::Cache query, output;
    Vector<T> gates;                 // sigmoid(g): [heads]
    Matrix<T> q, dq;                 // [tokens, heads * key_dim]
    Matrix<T> sums, dsums;           // q S: [tokens, heads * (value_dim (+ 1))]
    Matrix<T> means, dmeans, gated;  // additive: before and after their gate, [tokens, heads * value_dim]
  };
  /// What one write leaves for its backward; h and the state stay with the caller and must live until then.
  struct WriteCache {
    Sequences sequences;
    typename Linear<T>::Cache key, value;
    Matrix<T> shifted;                     // [tokens, features]
    Matrix<T> k, dk;                       // [tokens, heads * key_dim]
    Matrix<T> v, dv;                       // with ones if additive: [tokens, heads * (value_dim (+ 1))]
    Matrix<T> dvalue;                      // [tokens, heads * value_dim]
    ConstMatrixView<T> h;                  // [tokens, features]
    Matrix<T> gate_logits, gates, dgates;  // beta, and gamma if forget: [tokens, heads (* 2)]
    ConstMatrixView<T> beta;               // of gates: [tokens, heads]
    Matrix<T> gate_weight, dgate_weight;   // of both: [heads (* 2), features]
    Vector<T> gate_bias, dgate_bias;       // of both: [heads (* 2)]
    DeltaRuleCache<T> rule;
    Matrix<T> dh;  // [tokens, features]
  };

  DeltaMemory(const Config& config, const Random& random)
      : config_(complete(config)), parameters_(initial_parameters(config_, random)) {
    rule_.heads = config_.heads;
    rule_.rule = config_.rule;
    rule_.chunk = config_.chunk;
  }

  [[nodiscard]] const Config& config() const { return config_; }
  [[nodiscard]] const Parameters& parameters() const { return parameters_; }
  [[nodiscard]] Parameters& parameters() { return parameters_; }

  /// Nothing is stored.
  void initial(Index batch, State& state) const {
    state.matrix.resize({batch * config_.heads * config_.key_dim, stored_dim()});
    state.matrix.fill(T(0));
    state.last.resize({config_.token_shift ? batch : 0, config_.features});
    state.last.fill(T(0));
  }
  /// The first state is not learned.
  void initial_backward(const State&, Parameters&) const {}

  ConstMatrixView<T> read(const State& state, ConstMatrixView<T> x, const Sequences& sequences,
                          ReadCache& cache) const {
    check("DeltaMemory::read", "x", state, x, sequences);
    cache.sequences = sequences;
    const auto raw = parameters_.query.forward(x, cache.query);
    cache.gates.resize({config_.heads});
    for (Index h = 0; h < config_.heads; ++h) cache.gates(h) = sigmoid(parameters_.read_gate(h));
    cache.q.resize(raw.shape());
    features_forward(raw, cache.q, cache.gates);
    cache.sums.resize({x.rows(), config_.heads * stored_dim()});
    matrix_memory_read_forward<T>(cache.q, config_.heads, state.matrix, sequences, cache.sums);
    if (!is_additive()) return parameters_.output.forward(cache.sums, cache.output);
    cache.means.resize({x.rows(), values_dim()});
    cache.gated.resize(cache.means.shape());
    divide_by_ones_forward<T>(cache.sums, config_.heads, static_cast<T>(config_.epsilon), cache.means);
    scale_heads(cache.gates, cache.means, cache.gated);
    return parameters_.output.forward(cache.gated, cache.output);
  }

  ConstMatrixView<T> read_backward(ConstMatrixView<T> dr, const State& state, ReadCache& cache, State& dstate,
                                   Parameters& grads) const {
    check_shape("DeltaMemory::read_backward: dr", dr, {cache.sequences.rows(), config_.features});
    check_shape("DeltaMemory::read_backward: dstate", dstate.matrix, state.matrix.shape());
    ConstMatrixView<T> dsums = parameters_.output.backward(dr, cache.output, grads.output.parameters());
    if (is_additive()) {
      read_gate_backward(dsums, cache.gated, cache.gates, grads.read_gate);
      cache.dmeans.resize(cache.means.shape());
      scale_heads(cache.gates, dsums, cache.dmeans);
      cache.dsums.resize(cache.sums.shape());
      divide_by_ones_backward<T>(cache.sums, cache.means, cache.dmeans, config_.heads, static_cast<T>(config_.epsilon),
                                 cache.dsums);
      dsums = cache.dsums;
    }
    cache.dq.resize(cache.q.shape());
    matrix_memory_read_backward<T>(dsums, cache.q, config_.heads, state.matrix, cache.sequences, cache.dq,
                                   dstate.matrix);
    if (!is_additive()) read_gate_backward(cache.dq, cache.q, cache.gates, grads.read_gate);
    features_backward(cache.query.y, cache.q, cache.dq, cache.gates);
    return parameters_.query.backward(cache.dq, cache.query, grads.query.parameters());
  }

  void write(const State& state, ConstMatrixView<T> h, const Sequences& sequences, State& next,
             WriteCache& cache) const {
    check("DeltaMemory::write", "h", state, h, sequences);
    cache.sequences = sequences;
    next.matrix.resize(state.matrix.shape());
    next.last.resize(state.last.shape());
    ConstMatrixView<T> key_rows = h;
    if (config_.token_shift) {
      cache.shifted.resize(h.shape());
      shift_tokens_forward<T>(h, sequences, state.last, cache.shifted, next.last);
      key_rows = cache.shifted;
    }
    const auto raw = parameters_.key.forward(key_rows, cache.key);
    cache.k.resize(raw.shape());
    features_forward(raw, cache.k);
    const auto values = parameters_.value.forward(h, cache.value);
    if (is_additive()) {
      cache.v.resize({h.rows(), config_.heads * stored_dim()});
      append_ones<T>(values, config_.heads, cache.v);
    }
    gates_forward(h, cache);
    delta_rule_forward<T>(rule_, written(cache), state.matrix, next.matrix, cache.rule);
  }

  ConstMatrixView<T> write_backward(const State& dnext, const State& state, WriteCache& cache, State& dstate,
                                    Parameters& grads) const {
    check_shape("DeltaMemory::write_backward: dnext", dnext.matrix, state.matrix.shape());
    check_shape("DeltaMemory::write_backward: dstate", dstate.matrix, state.matrix.shape());
    const DeltaRuleInputs<T> inputs = written(cache);
    cache.dk.resize(inputs.k.shape());
    cache.dv.resize(inputs.v.shape());
    cache.dgates.resize(cache.gates.shape());
    delta_rule_backward<T>(dnext.matrix, rule_, inputs, state.matrix, cache.rule,
                           {cache.dk, cache.dv, gamma_of(cache.dgates.view()), beta_of(cache.dgates.view())},
                           dstate.matrix);
    ConstMatrixView<T> dvalue = cache.dv;
    if (is_additive()) {
      cache.dvalue.resize(cache.value.y.shape());
      append_ones_backward<T>(cache.dv, config_.heads, cache.dvalue);
      dvalue = cache.dvalue;
    }
    cache.dh.assign(parameters_.value.backward(dvalue, cache.value, grads.value.parameters()));
    gates_backward(cache, grads);
    features_backward(cache.key.y, cache.k, cache.dk);
    const auto dkey_rows = parameters_.key.backward(cache.dk, cache.key, grads.key.parameters());
    if (config_.token_shift) {
      shift_tokens_backward<T>(dkey_rows, dnext.last, cache.sequences, cache.dh, dstate.last);
    } else {
      add<T>(cache.dh, dkey_rows, cache.dh);
    }
    return cache.dh;
  }

 private:
  [[nodiscard]] static Config complete(Config config) {
    check_value(config.features >= 1, "DeltaMemory: features", config.features, "at least 1");
    check_value(config.heads >= 1, "DeltaMemory: heads", config.heads, "at least 1");
    for (Index* dim : {&config.key_dim, &config.value_dim}) {
      if (*dim != 0) continue;
      check_value(config.features % config.heads == 0, "DeltaMemory: heads", config.heads, "a divisor of features, ",
                  config.features);
      *dim = config.features / config.heads;
    }
    check_value(config.key_dim >= 1, "DeltaMemory: key_dim", config.key_dim, "at least 1");
    check_value(config.value_dim >= 1, "DeltaMemory: value_dim", config.value_dim, "at least 1");
    check_value(config.chunk >= 1, "DeltaMemory: chunk", config.chunk, "at least 1");
    check_value(config.initial_gamma > 0 && config.initial_gamma < 1, "DeltaMemory: initial_gamma",
                config.initial_gamma, "in (0, 1)");
    check_value(config.epsilon > 0, "DeltaMemory: epsilon", config.epsilon, "above 0");
    return config;
  }
  [[nodiscard]] static Parameters initial_parameters(const Config& c, const Random& random) {
    const Index keys = c.heads * c.key_dim, values = c.heads * c.value_dim;
    Parameters p{Linear<T>({c.features, keys, false}, random.split(0)),
                 Linear<T>({c.features, keys, false}, random.split(1)),
                 Linear<T>({c.features, values, false}, random.split(2)),
                 Linear<T>({values, c.features, false}, random.split(3)),
                 Linear<T>({c.features, c.heads}, random.split(4)),
                 {},
                 Vector<T>({c.heads})};
    p.beta.parameters().bias.fill(T(0));
    if (c.forget) {
      p.gamma.emplace(typename Linear<T>::Config{c.features, c.heads}, random.split(5));
      p.gamma->parameters().weight.fill(T(0));
      p.gamma->parameters().bias.fill(static_cast<T>(std::log(c.initial_gamma / (1 - c.initial_gamma))));
    }
    return p;
  }

  [[nodiscard]] bool is_additive() const { return config_.rule == LinearAttentionRule::additive; }
  [[nodiscard]] Index values_dim() const { return config_.heads * config_.value_dim; }
  [[nodiscard]] Index stored_dim() const { return config_.value_dim + Index{is_additive()}; }
  /// Each head's part of y: its gate times that of x.
  void scale_heads(ConstVectorView<T> gates, ConstMatrixView<T> x, MatrixView<T> y) const {
    for (Index h = 0; h < config_.heads; ++h) {
      const Index at = h * config_.value_dim;
      for (Index t = 0; t < x.rows(); ++t) {
        simd::set_scaled(config_.value_dim, y.row(t) + at, gates(h), x.row(t) + at);
      }
    }
  }
  /// Adds the gradient of g; y has the gates in it as a factor, so that <dy, y> / gate is the gradient of a gate.
  void read_gate_backward(ConstMatrixView<T> dy, ConstMatrixView<T> y, ConstVectorView<T> gates,
                          VectorView<T> dg) const {
    const Index d = y.cols() / config_.heads;
    for (Index h = 0; h < config_.heads; ++h) {
      for (Index t = 0; t < y.rows(); ++t) {
        dg(h) += (T(1) - gates(h)) * simd::dot(d, dy.row(t) + h * d, y.row(t) + h * d);
      }
    }
  }
  [[nodiscard]] DeltaRuleInputs<T> written(const WriteCache& cache) const {
    return {cache.k, is_additive() ? cache.v.view() : cache.value.y.view(), gamma_of(cache.gates.view()),
            beta_of(cache.gates.view()), cache.sequences};
  }
  template <class View>
  [[nodiscard]] View beta_of(View gates) const {
    return gates.middle_cols(0, config_.heads);
  }
  template <class View>
  [[nodiscard]] View gamma_of(View gates) const {
    return config_.forget ? gates.middle_cols(config_.heads, config_.heads) : View();
  }

  /// beta and gamma of one product: a product so narrow costs what a wider one does.
  void gates_forward(ConstMatrixView<T> h, WriteCache& cache) const {
    const Index gates = config_.heads * (config_.forget ? 2 : 1);
    cache.h = h;
    cache.gate_weight.resize({gates, config_.features});
    cache.gate_bias.resize({gates});
    for_each_gate(parameters_, [&](Index first, const auto& gate) {
      std::copy_n(gate.weight.data(), gate.weight.size(), cache.gate_weight.view().row(first));
      std::copy_n(gate.bias.data(), gate.bias.size(), cache.gate_bias.data() + first);
    });
    cache.gate_logits.resize({h.rows(), gates});
    cache.gates.resize(cache.gate_logits.shape());
    matmul<T>(h, transposed<T>(cache.gate_weight), cache.gate_logits, cache.gate_bias);
    activation_forward<T>(Activation::sigmoid, detail::as_row(cache.gate_logits), detail::as_row(cache.gates));
    cache.beta = beta_of(cache.gates.view());
  }
  /// Adds to dh.
  void gates_backward(WriteCache& cache, Parameters& grads) const {
    activation_backward<T>(Activation::sigmoid, detail::as_row(cache.gate_logits), detail::as_row(cache.gates),
                           detail::as_row(cache.dgates), detail::as_row(cache.dgates));
    cache.dgate_weight.resize(cache.gate_weight.shape());
    cache.dgate_bias.resize(cache.gate_bias.shape());
    cache.dgate_bias.fill(T(0));
    matmul<T>(transposed<T>(cache.dgates), cache.h, cache.dgate_weight);
    add_column_sums<T>(cache.dgates, cache.dgate_bias);
    for_each_gate(grads, [&](Index first, auto& gate) {
      simd::add_scaled(gate.weight.size(), gate.weight.data(), T(1), cache.dgate_weight.view().row(first));
      simd::add_scaled(gate.bias.size(), gate.bias.data(), T(1), cache.dgate_bias.data() + first);
    });
    matmul_add<T>(cache.dgates, cache.gate_weight, cache.dh);
  }
  /// Calls fn(first row, parameters) for the maps to beta and gamma.
  template <class P, class Function>
  void for_each_gate(P& parameters, const Function& fn) const {
    fn(Index{0}, parameters.beta.parameters());
    if (config_.forget) fn(config_.heads, parameters.gamma->parameters());
  }

  void check(std::string_view what, std::string_view x_name, const State& state, ConstMatrixView<T> x,
             const Sequences& sequences) const {
    check_shape({what, x_name}, x, {kAny, config_.features});
    check_sequences({what, x_name}, x.rows(), sequences);
    const Index batch = sequences.count(), state_rows = batch * config_.heads * config_.key_dim;
    check_shape({what, "the state's matrix"}, state.matrix, {state_rows, stored_dim()});
    check_shape({what, "the state's last"}, state.last, {config_.token_shift ? batch : 0, config_.features});
  }

  /// f: what keys and queries are compared by. `lengths` are those of the delta rule's queries, the gates of its
  /// readings; the additive rule divides by what a query's length is a factor of, so its means are scaled instead.
  void features_forward(ConstMatrixView<T> raw, MatrixView<T> y, ConstVectorView<T> lengths = {}) const {
    if (is_additive()) return positive_features_forward<T>(raw, y);
    unit_length_forward<T>(raw, config_.heads, y, lengths);
  }
  /// dy becomes the gradient of raw.
  void features_backward(ConstMatrixView<T> raw, ConstMatrixView<T> y, MatrixView<T> dy,
                         ConstVectorView<T> lengths = {}) const {
    if (is_additive()) return positive_features_backward<T>(y, dy, dy);
    unit_length_backward<T>(raw, dy, config_.heads, dy, lengths);
  }

  Config config_;
  Parameters parameters_;
  DeltaRuleOptions rule_;
};

}  // namespace MAT_ABI
}  // namespace mat
