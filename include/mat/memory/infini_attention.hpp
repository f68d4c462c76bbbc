#pragma once

#include <mat/layers/linear.hpp>
#include <mat/memory/memory.hpp>
#include <mat/ops/activation.hpp>
#include <mat/ops/attention.hpp>
#include <mat/ops/delta_rule.hpp>
#include <mat/ops/normalized_memory.hpp>
#include <mat/ops/residual.hpp>

namespace mat {
inline namespace MAT_ABI {

/// Causal attention within a segment, mixed with what each head remembers of the segments before.
///
///     q = x Wq^T,  k = x Wk^T,  v = x Wv^T,   f(a) = elu(a) + 1,   read(a) = f(a) S / (f(a) z + epsilon)
///     y = [sigmoid(beta_h) read(q) + (1 - sigmoid(beta_h)) attention(q, k, v)] Wo^T
///     S' = S + f(k)^T v (additive) or S + f(k)^T (v - read(k)) (delta),   z' = z + sum_t f(k_t)
///
/// All tokens of a segment are written at once: under the delta rule a key that comes twice in one segment is written
/// twice in full, so the split into segments matters, unlike in DeltaMemory. The gates start at 1/2 and move slowly at
/// a model's learning rate: give "beta" one of its own (ParameterGroups).
///
/// Source:  Munkhdalai, Faruqui & Gopal (2024), "Leave no context behind: efficient infinite context transformers with
///          infini-attention", eq. 3-7.
/// Shapes:  x, y [tokens, features]; beta [heads]; [S z] [sequences * heads * head_dim, head_dim + 1].
/// Errors:  ValueError for settings that do not fit; ShapeError if an input or a state does not.
/// Threads: const; one layer serves any number of threads, each with states and caches of its own.
template <class T>
class InfiniAttention {
 public:
  struct Config {
    Index features = 0;
    Index heads = 1;
    LinearAttentionRule rule = LinearAttentionRule::delta;
    double epsilon = 1e-6;
  };

  struct Parameters {
    Vector<T> beta;            // [heads]
    Linear<T> wq, wk, wv, wo;  // without bias

    template <class Visitor, class... P>
    static void visit(Visitor&& visitor, P&... p) {
      visit_tensor("beta", visitor, p.beta...);
      visit_layer("wq", visitor, p.wq...);
      visit_layer("wk", visitor, p.wk...);
      visit_layer("wv", visitor, p.wv...);
      visit_layer("wo", visitor, p.wo...);
    }
  };

  struct State {
    Matrix<T> matrix;  // S with z as its last column: [sequences * heads * head_dim, head_dim + 1]

    template <class Visitor, class... S>
    static void visit(Visitor&& visitor, S&... s) {
      visit_tensor("matrix", visitor, s.matrix...);
    }
  };

  /// What one forward leaves for its backward; x and the state stay with the caller and must live until then.
  struct Cache {
    Sequences sequences;
    typename Linear<T>::Cache wq, wk, wv, wo;
    AttentionCache<T> attention;
    Matrix<T> fq, fk;                  // positive features: [tokens, features]
    Matrix<T> query_sums, key_sums;    // what they read, and of z: [tokens, features + heads]
    Matrix<T> query_means, key_means;  // [tokens, features]
    Matrix<T> mixed;                   // [tokens, features]
    Matrix<T> new_values, written;     // what is written, and with ones: [tokens, features], [.., features + heads]
    DeltaRuleCache<T> rule;
    Matrix<T> dmemory, dlocal;                     // [tokens, features]
    Matrix<T> dq, dk, dv, dfeatures, dnew_values;  // [tokens, features]
    Matrix<T> dsums, dwritten;                     // [tokens, features + heads]
    Matrix<T> dx;                                  // [tokens, features]
  };

  InfiniAttention(const Config& config, const Random& random)
      : config_(checked(config)), parameters_(initial_parameters(config, random)) {
    rule_.heads = config.heads;
    rule_.rule = LinearAttentionRule::additive;  // of values from which the delta rule has taken what was there
    attention_.heads = config.heads;
    attention_.mask = AttentionMask<T>::causal();
  }

  [[nodiscard]] const Config& config() const { return config_; }
  [[nodiscard]] const Parameters& parameters() const { return parameters_; }
  [[nodiscard]] Parameters& parameters() { return parameters_; }

  /// Nothing is stored; it reads 0.
  void initial(Index batch, State& state) const {
    state.matrix.resize({batch * config_.features, head_dim() + 1});
    state.matrix.fill(T(0));
  }

  /// `next` becomes the state after the segment; what is read is that of before.
  ConstMatrixView<T> forward(const State& state, ConstMatrixView<T> x, const Sequences& sequences, State& next,
                             Cache& cache) const {
    check_shape("InfiniAttention::forward: x", x, {kAny, config_.features});
    check_sequences("InfiniAttention::forward: x", x.rows(), sequences);
    check_shape("InfiniAttention::forward: the state's matrix", state.matrix,
                {sequences.count() * config_.features, head_dim() + 1});
    cache.sequences = sequences;
    const auto q = parameters_.wq.forward(x, cache.wq), k = parameters_.wk.forward(x, cache.wk),
               v = parameters_.wv.forward(x, cache.wv);
    const auto local = attention_forward<T>(attention_, {q, k, v, sequences, sequences}, cache.attention);
    read(q, state, cache.fq, cache.query_sums, cache.query_means, cache);
    mix(cache.query_means, local, cache);
    write(state, k, v, next, cache);
    return parameters_.wo.forward(cache.mixed, cache.wo);
  }

  ConstMatrixView<T> backward(ConstMatrixView<T> dy, const State& dnext, const State& state, Cache& cache,
                              State& dstate, Parameters& grads) const {
    check_shape("InfiniAttention::backward: dy", dy, cache.mixed.shape());
    check_shape("InfiniAttention::backward: dnext", dnext.matrix, state.matrix.shape());
    check_shape("InfiniAttention::backward: dstate", dstate.matrix, state.matrix.shape());
    mix_backward(parameters_.wo.backward(dy, cache.wo, grads.wo.parameters()), cache, grads);
    cache.dq.resize(cache.mixed.shape());
    cache.dk.resize(cache.mixed.shape());
    cache.dv.resize(cache.mixed.shape());
    attention_backward<T>(cache.dlocal, attention_,
                          {cache.wq.y, cache.wk.y, cache.wv.y, cache.sequences, cache.sequences}, cache.attention,
                          {cache.dq, cache.dk, cache.dv, {}});
    read_backward(cache.fq, cache.query_sums, cache.query_means, cache.dmemory, state, cache, dstate, cache.dq);
    write_backward(dnext, state, cache, dstate);
    cache.dx.assign(parameters_.wq.backward(cache.dq, cache.wq, grads.wq.parameters()));
    add<T>(cache.dx, parameters_.wk.backward(cache.dk, cache.wk, grads.wk.parameters()), cache.dx);
    add<T>(cache.dx, parameters_.wv.backward(cache.dv, cache.wv, grads.wv.parameters()), cache.dx);
    return cache.dx;
  }

 private:
  [[nodiscard]] static Config checked(const Config& config) {
    check_value(config.features >= 1, "InfiniAttention: features", config.features, "at least 1");
    check_value(config.heads >= 1 && config.features % config.heads == 0, "InfiniAttention: heads", config.heads,
                "a divisor of features, ", config.features);
    check_value(config.epsilon > 0, "InfiniAttention: epsilon", config.epsilon, "above 0");
    return config;
  }
  [[nodiscard]] static Parameters initial_parameters(const Config& c, const Random& random) {
    const typename Linear<T>::Config square{c.features, c.features, false};
    return {Vector<T>({c.heads}), Linear<T>(square, random.split(0)), Linear<T>(square, random.split(1)),
            Linear<T>(square, random.split(2)), Linear<T>(square, random.split(3))};
  }
  [[nodiscard]] Index head_dim() const { return config_.features / config_.heads; }
  [[nodiscard]] bool is_delta() const { return config_.rule == LinearAttentionRule::delta; }
  [[nodiscard]] T gate(Index h) const { return sigmoid(parameters_.beta(h)); }

  /// means = f(raw) S / (f(raw) z + epsilon)
  void read(ConstMatrixView<T> raw, const State& state, Matrix<T>& features, Matrix<T>& sums, Matrix<T>& means,
            const Cache& cache) const {
    features.resize(raw.shape());
    sums.resize({raw.rows(), config_.features + config_.heads});
    means.resize(raw.shape());
    positive_features_forward<T>(raw, features);
    matrix_memory_read_forward<T>(features, config_.heads, state.matrix, cache.sequences, sums);
    divide_by_ones_forward<T>(sums, config_.heads, static_cast<T>(config_.epsilon), means);
  }
  /// Adds to draw and dstate.
  void read_backward(const Matrix<T>& features, const Matrix<T>& sums, const Matrix<T>& means,
                     ConstMatrixView<T> dmeans, const State& state, Cache& cache, State& dstate,
                     Matrix<T>& draw) const {
    cache.dsums.resize(sums.shape());
    cache.dfeatures.resize(features.shape());
    divide_by_ones_backward<T>(sums, means, dmeans, config_.heads, static_cast<T>(config_.epsilon), cache.dsums);
    matrix_memory_read_backward<T>(cache.dsums, features, config_.heads, state.matrix, cache.sequences, cache.dfeatures,
                                   dstate.matrix);
    positive_features_backward<T>(features, cache.dfeatures, cache.dfeatures);
    add<T>(draw, cache.dfeatures, draw);
  }

  void write(const State& state, ConstMatrixView<T> k, ConstMatrixView<T> v, State& next, Cache& cache) const {
    ConstMatrixView<T> values = v;
    if (is_delta()) {
      read(k, state, cache.fk, cache.key_sums, cache.key_means, cache);
      cache.new_values.assign(v);
      for (Index t = 0; t < v.rows(); ++t) {
        simd::add_scaled(v.cols(), cache.new_values.view().row(t), T(-1), cache.key_means.view().row(t));
      }
      values = cache.new_values;
    } else {
      cache.fk.resize(k.shape());
      positive_features_forward<T>(k, cache.fk);
    }
    cache.written.resize({v.rows(), config_.features + config_.heads});
    append_ones<T>(values, config_.heads, cache.written);
    next.matrix.resize(state.matrix.shape());
    delta_rule_forward<T>(rule_, {cache.fk, cache.written, {}, {}, cache.sequences}, state.matrix, next.matrix,
                          cache.rule);
  }
  /// Adds to dk, dv and dstate.
  void write_backward(const State& dnext, const State& state, Cache& cache, State& dstate) const {
    cache.dfeatures.resize(cache.fk.shape());
    cache.dwritten.resize(cache.written.shape());
    cache.dnew_values.resize(cache.fk.shape());
    delta_rule_backward<T>(dnext.matrix, rule_, {cache.fk, cache.written, {}, {}, cache.sequences}, state.matrix,
                           cache.rule, {cache.dfeatures, cache.dwritten, {}, {}}, dstate.matrix);
    positive_features_backward<T>(cache.fk, cache.dfeatures, cache.dfeatures);
    add<T>(cache.dk, cache.dfeatures, cache.dk);
    append_ones_backward<T>(cache.dwritten, config_.heads, cache.dnew_values);
    add<T>(cache.dv, cache.dnew_values, cache.dv);
    if (!is_delta()) return;
    for (Index t = 0; t < cache.dnew_values.rows(); ++t)
      simd::set_scaled(config_.features, cache.dnew_values.view().row(t), T(-1), cache.dnew_values.view().row(t));
    read_backward(cache.fk, cache.key_sums, cache.key_means, cache.dnew_values, state, cache, dstate, cache.dk);
  }

  void mix(ConstMatrixView<T> memory, ConstMatrixView<T> local, Cache& cache) const {
    cache.mixed.resize(memory.shape());
    for_each_head_of_rows(memory.rows(), [&](Index t, Index at, Index h) {
      T* to = cache.mixed.view().row(t) + at;
      simd::set_scaled(head_dim(), to, T(1) - gate(h), local.row(t) + at);
      simd::add_scaled(head_dim(), to, gate(h), memory.row(t) + at);
    });
  }
  /// The gradients of what the memory read, of local attention and of beta.
  void mix_backward(ConstMatrixView<T> dmixed, Cache& cache, Parameters& grads) const {
    cache.dmemory.resize(dmixed.shape());
    cache.dlocal.resize(dmixed.shape());
    const Index d = head_dim();
    for_each_head_of_rows(dmixed.rows(), [&](Index t, Index at, Index h) {
      const T* g = dmixed.row(t) + at;
      const T share = gate(h);
      const T difference =
          simd::dot(d, g, cache.query_means.view().row(t) + at) - simd::dot(d, g, cache.attention.y.view().row(t) + at);
      grads.beta(h) += share * (T(1) - share) * difference;
      simd::set_scaled(d, cache.dmemory.view().row(t) + at, share, g);
      simd::set_scaled(d, cache.dlocal.view().row(t) + at, T(1) - share, g);
    });
  }

  /// Calls fn(token, first column, head).
  template <class Function>
  void for_each_head_of_rows(Index rows, const Function& fn) const {
    for (Index t = 0; t < rows; ++t) {
      for (Index h = 0; h < config_.heads; ++h) fn(t, h * head_dim(), h);
    }
  }

  Config config_;
  Parameters parameters_;
  DeltaRuleOptions rule_;
  AttentionOptions<T> attention_;
};

}  // namespace MAT_ABI
}  // namespace mat
