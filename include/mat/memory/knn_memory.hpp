#pragma once

#include <mat/layers/linear.hpp>
#include <mat/memory/last_rows.hpp>
#include <mat/memory/memory.hpp>
#include <mat/memory/state_gradient.hpp>
#include <mat/ops/activation.hpp>
#include <mat/ops/residual.hpp>
#include <mat/ops/top_k.hpp>
#include <mat/ops/unit_length.hpp>

#include <cmath>

namespace mat {
inline namespace MAT_ABI {

/// Keys and values of many earlier tokens, of which each token reads the few that fit it best.
///
///     read    q = unit(x Wq^T),   s_j = e^t <q, K_j> over the kept rows j,   p = softmax over the top_k largest s_j,
///             r = sum_j p_j V_j,   y = [sigmoid(g_h) r_h over the heads h] Wo^T
///     write   K' = the last `capacity` rows of [K; unit(h Wk^T)],   V' = those of [V; h Wv^T]
///
///     dr = sigmoid(g) dy,  dg += sigmoid'(g) sum <dy, r>  (dy before Wo),   dp_j = <dr, V_j>,
///     ds_j = p_j (dp_j - sum_l p_l dp_l),   dt += sum ds_j s_j,   dq = e^t sum_j ds_j K_j
///     with `through`:   dK_j += e^t ds_j q,   dV_j += p_j dr
///
/// unit() brings the part of each head to length 1. The search is exact: every score is computed. Of equal scores the
/// newest rows are taken. A sequence that keeps nothing yet reads 0, and with fewer than top_k rows it reads all.
/// A write copies all that is kept: with a large capacity long segments are cheaper.
/// A detached memory gives Wk and Wv no gradient at all: they stay as they begin, a random projection.
///
/// Source:  Wu et al. (2022), "Memorizing transformers", section 3 (detached there); unit lengths and the learned
///          temperature as in Henry et al. (2020), "Query-key normalization for Transformers".
/// Shapes:  x, y, h [tokens, features]; K, V [sequences * capacity, features], each sequence's block filled from its
///          first row, oldest first; g, t [heads].
/// Errors:  ValueError for a size below 1, heads that do not divide features or a temperature that is not positive;
///          ShapeError or ValueError if an input or a state does not fit.
/// Threads: const; one memory serves any number of threads, each with states and caches of its own.
template <class T>
class KnnMemory {
 public:
  static constexpr MemoryPlace kPlace = MemoryPlace::branch;

  struct Config {
    Index features = 0;
    Index heads = 1;
    Index capacity = 1024;   ///< The most rows that are kept of a sequence.
    Index top_k = 16;        ///< The most rows that a token reads.
    double temperature = 8;  ///< e^t at the beginning, or always.
    bool learned_temperature = true;
    StateGradient gradient = StateGradient::through;
  };

  struct Parameters {
    Linear<T> q_proj, k_proj, v_proj, out_proj;
    Vector<T> gate;             // g: [heads]
    Vector<T> log_temperature;  // t: [heads], or empty

    template <class Visitor, class... P>
    static void visit(Visitor&& visitor, P&... p) {
      visit_layer("q_proj", visitor, p.q_proj...);
      visit_layer("k_proj", visitor, p.k_proj...);
      visit_layer("v_proj", visitor, p.v_proj...);
      visit_layer("out_proj", visitor, p.out_proj...);
      visit_tensor("gate", visitor, p.gate...);
      visit_tensor("log_temperature", visitor, p.log_temperature...);
    }
  };

  struct State {
    Matrix<T> keys, values;  // K, V, 0 where there are none yet: [sequences * capacity, features]
    Vector<Index> lengths;   // how many rows of its block a sequence has: [sequences]

    template <class Visitor, class... S>
    static void visit(Visitor&& visitor, S&... s) {
      visit_tensor("keys", visitor, s.keys...);
      visit_tensor("values", visitor, s.values...);
      visit_tensor("lengths", visitor, s.lengths...);
    }
  };

  struct ReadCache {
    Sequences sequences;
    typename Linear<T>::Cache q_proj, out_proj;
    ConstMatrixView<T> projected;  // x Wq^T, in q_proj
    Matrix<T> q, dq;               // of unit length: [tokens, features]
    Matrix<Index> chosen;          // rows of the sequence's block: [tokens, heads * top_k]
    Matrix<T> scores, weights;     // s and p of the chosen: [tokens, heads * top_k]
    Matrix<T> r, gated;            // [tokens, features]
    Matrix<T> dr;                  // [tokens, features]
    Matrix<T> workspace;           // [threads, numbers of one thread]
    Matrix<Index> found;           // rows of the block: [threads, 2 * top_k]
    Matrix<T> dt;                  // each sequence's part: [sequences, heads]
  };
  struct WriteCache {
    Sequences sequences;
    typename Linear<T>::Cache k_proj, v_proj;
    ConstMatrixView<T> projected;  // h Wk^T, in k_proj
    Matrix<T> keys;                // of unit length: [tokens, features]
    Matrix<T> dkeys, dvalues, dh;  // [tokens, features]
  };

  KnnMemory(const Config& config, const Random& random)
      : config_(checked(config)), parameters_{projection(random.split(0)), projection(random.split(1)),
                                              projection(random.split(2)), projection(random.split(3)),
                                              Vector<T>({config.heads}),   {}} {
    if (!config.learned_temperature) return;
    parameters_.log_temperature.resize({config.heads});
    parameters_.log_temperature.fill(static_cast<T>(std::log(config.temperature)));
  }

  [[nodiscard]] const Config& config() const { return config_; }
  [[nodiscard]] const Parameters& parameters() const { return parameters_; }
  [[nodiscard]] Parameters& parameters() { return parameters_; }

  /// No rows.
  void initial(Index batch, State& state) const {
    state.keys.resize({batch * config_.capacity, config_.features});
    state.values.resize(state.keys.shape());
    state.lengths.resize({batch});
    state.keys.fill(T(0));
    state.values.fill(T(0));
    state.lengths.fill(0);
  }
  void initial_backward(const State&, Parameters&) const {}

  ConstMatrixView<T> read(const State& state, ConstMatrixView<T> x, const Sequences& sequences,
                          ReadCache& cache) const {
    check("KnnMemory::read", "x", state, x, sequences);
    cache.sequences = sequences;
    cache.projected = parameters_.q_proj.forward(x, cache.q_proj);
    cache.q.resize(x.shape());
    unit_length_forward<T>(cache.projected, config_.heads, cache.q);
    cache.chosen.resize({x.rows(), config_.heads * config_.top_k});
    cache.scores.resize(cache.chosen.shape());
    cache.weights.resize(cache.chosen.shape());
    cache.r.resize(x.shape());
    cache.gated.resize(x.shape());
    if (sequences.has_gaps()) {
      cache.r.fill(T(0));
      cache.gated.fill(T(0));
    }
    cache.workspace.resize({max_threads(), kTileQueries * longest(state) + 4 * config_.top_k});
    cache.found.resize({max_threads(), 2 * config_.top_k});
    for_each_head(state, cache, [&](Index b, Index h, Index thread) {
      for (Index t = sequences.begin(b); t < sequences.end(b); t += kTileQueries) {
        read_tile(state, b, h, t, std::min(kTileQueries, sequences.end(b) - t), cache, thread);
      }
    });
    return parameters_.out_proj.forward(cache.gated, cache.out_proj);
  }

  ConstMatrixView<T> read_backward(ConstMatrixView<T> dy, const State& state, ReadCache& cache, State& dstate,
                                   Parameters& grads) const {
    check_shape("KnnMemory::read_backward: dy", dy, cache.q.shape());
    cache.dr.assign(parameters_.out_proj.backward(dy, cache.out_proj, grads.out_proj.parameters()));
    gate_backward(cache, grads);
    cache.dq.resize(cache.q.shape());
    cache.dq.fill(T(0));
    cache.dt.resize({cache.sequences.count(), config_.heads});
    cache.workspace.resize({max_threads(), config_.top_k});
    for_each_head(state, cache, [&](Index b, Index h, Index thread) {
      T dt = 0;
      for (Index t = cache.sequences.begin(b); t < cache.sequences.end(b); ++t) {
        dt += token_backward(state, b, h, t, cache, dstate, cache.workspace.view().row(thread));
      }
      cache.dt(b, h) = dt;
    });
    if (config_.learned_temperature) add_column_sums<T>(cache.dt, grads.log_temperature);
    unit_length_backward<T>(cache.projected, cache.dq, config_.heads, cache.dq);
    return parameters_.q_proj.backward(cache.dq, cache.q_proj, grads.q_proj.parameters());
  }

  void write(const State& state, ConstMatrixView<T> h, const Sequences& sequences, State& next,
             WriteCache& cache) const {
    check("KnnMemory::write", "h", state, h, sequences);
    cache.sequences = sequences;
    cache.projected = parameters_.k_proj.forward(h, cache.k_proj);
    cache.keys.resize(h.shape());
    unit_length_forward<T>(cache.projected, config_.heads, cache.keys);
    const auto values = parameters_.v_proj.forward(h, cache.v_proj);
    detail::keep_last_rows<T>(config_.capacity, state.lengths, state.keys, cache.keys, sequences, next.keys);
    detail::keep_last_rows<T>(config_.capacity, state.lengths, state.values, values, sequences, next.values);
    detail::set_kept_lengths(config_.capacity, state.lengths, sequences, next.lengths);
  }

  /// The gradient of h; 0 if the memory is detached.
  ConstMatrixView<T> write_backward(const State& dnext, const State& state, WriteCache& cache, State& dstate,
                                    Parameters& grads) const {
    check_shape("KnnMemory::write_backward: dnext's keys", dnext.keys, state.keys.shape());
    check_shape("KnnMemory::write_backward: dnext's values", dnext.values, state.values.shape());
    cache.dh.resize(cache.keys.shape());
    cache.dh.fill(T(0));
    if (config_.gradient == StateGradient::detached) return cache.dh;
    const auto backward = [&](const Matrix<T>& dnext_rows, Matrix<T>& drows, Matrix<T>& dadded) {
      dadded.resize(cache.keys.shape());
      dadded.fill(T(0));
      detail::keep_last_rows_backward<T>(config_.capacity, state.lengths, dnext_rows, cache.sequences, drows, dadded);
    };
    backward(dnext.keys, dstate.keys, cache.dkeys);
    backward(dnext.values, dstate.values, cache.dvalues);
    unit_length_backward<T>(cache.projected, cache.dkeys, config_.heads, cache.dkeys);
    add<T>(parameters_.k_proj.backward(cache.dkeys, cache.k_proj, grads.k_proj.parameters()),
           parameters_.v_proj.backward(cache.dvalues, cache.v_proj, grads.v_proj.parameters()), cache.dh);
    return cache.dh;
  }

 private:
  /// Queries that meet all keys in one product.
  static constexpr Index kTileQueries = 16;

  [[nodiscard]] static const Config& checked(const Config& c) {
    check_value(c.features >= 1, "KnnMemory: features", c.features, "at least 1");
    check_value(c.heads >= 1 && c.features % c.heads == 0, "KnnMemory: heads", c.heads, "a divisor of features, ",
                c.features);
    check_value(c.capacity >= 1, "KnnMemory: capacity", c.capacity, "at least 1");
    check_value(c.top_k >= 1, "KnnMemory: top_k", c.top_k, "at least 1");
    check_value(c.temperature > 0, "KnnMemory: temperature", c.temperature, "above 0");
    return c;
  }
  [[nodiscard]] Linear<T> projection(const Random& random) const {
    return Linear<T>({config_.features, config_.features, false}, random);
  }
  [[nodiscard]] Index head_dim() const { return config_.features / config_.heads; }
  [[nodiscard]] T temperature(Index h) const {
    return config_.learned_temperature ? std::exp(parameters_.log_temperature(h)) : static_cast<T>(config_.temperature);
  }
  [[nodiscard]] T open(Index h) const { return sigmoid(parameters_.gate(h)); }

  void check(std::string_view what, std::string_view x_name, const State& state, ConstMatrixView<T> x,
             const Sequences& sequences) const {
    check_shape({what, x_name}, x, {kAny, config_.features});
    check_sequences({what, x_name}, x.rows(), sequences);
    detail::check_kept_lengths(what, config_.capacity, state.lengths, sequences);
    const Shape<2> shape{sequences.count() * config_.capacity, config_.features};
    check_shape({what, "the state's keys"}, state.keys, shape);
    check_shape({what, "the state's values"}, state.values, shape);
  }

  [[nodiscard]] static Index longest(const State& state) {
    Index longest = 0;
    for (Index b = 0; b < state.lengths.size(); ++b) longest = std::max(longest, state.lengths.data()[b]);
    return longest;
  }
  /// Rows that sequence b can read, of those that it keeps.
  [[nodiscard]] Index read_rows(const State& state, Index b) const {
    return std::min(config_.top_k, state.lengths.data()[b]);
  }

  template <class Function>
  void for_each_head(const State& state, const ReadCache& cache, const Function& fn) const {
    Index work = 0;
    for (Index b = 0; b < cache.sequences.count(); ++b) {
      work += cache.sequences.length(b) * state.lengths.data()[b] * config_.features;
    }
    parallel_for(cache.sequences.count() * config_.heads, work,
                 [&](Index item, Index thread) { fn(item / config_.heads, item % config_.heads, thread); });
  }

  /// Tokens [t, t + count) of sequence b, one head.
  void read_tile(const State& state, Index b, Index h, Index t, Index count, ReadCache& cache, Index thread) const {
    const Index d = head_dim(), kept = state.lengths.data()[b], k = read_rows(state, b), first = b * config_.capacity;
    T* scratch = cache.workspace.view().row(thread);
    Index* found = cache.found.view().row(thread);
    const MatrixView<T> products(scratch, {count, kept});
    const auto keys = state.keys.view().middle_rows(first, kept).middle_cols(h * d, d);
    matmul<T>(cache.q.view().middle_rows(t, count).middle_cols(h * d, d), transposed<T>(keys), products);
    const T factor = temperature(h), gate = open(h);
    for (Index i = 0; i < count; ++i) {
      const Index column = h * config_.top_k;
      Index* chosen = cache.chosen.view().row(t + i) + column;
      T* scores = cache.scores.view().row(t + i) + column;
      T* weights = cache.weights.view().row(t + i) + column;
      T* r = cache.r.view().row(t + i) + h * d;
      top_k(kept, products.row(i), config_.top_k, found, scratch + kTileQueries * kept);
      std::copy_n(found, k, chosen);
      for (Index n = 0; n < k; ++n) scores[n] = factor * products.row(i)[chosen[n]];
      const T highest = simd::largest_of(k, scores);
      T sum = 0;
      for (Index n = 0; n < k; ++n) sum += weights[n] = std::exp(scores[n] - highest);
      std::fill_n(r, d, T(0));
      for (Index n = 0; n < k; ++n) {
        weights[n] /= sum;
        simd::add_scaled(d, r, weights[n], state.values.view().row(first + chosen[n]) + h * d);
      }
      simd::set_scaled(d, cache.gated.view().row(t + i) + h * d, gate, r);
    }
  }

  /// dr, that of the gated rows, becomes that of r; the gates have their gradients.
  void gate_backward(ReadCache& cache, Parameters& grads) const {
    const Index d = head_dim();
    for (Index h = 0; h < config_.heads; ++h) {
      const T gate = open(h);
      T dgate = 0;
      for (Index b = 0; b < cache.sequences.count(); ++b) {
        for (Index t = cache.sequences.begin(b); t < cache.sequences.end(b); ++t) {
          T* dr = cache.dr.view().row(t) + h * d;
          dgate += simd::dot(d, static_cast<const T*>(dr), static_cast<const T*>(cache.r.view().row(t) + h * d));
          simd::set_scaled(d, dr, gate, dr);
        }
      }
      grads.gate(h) += gate * (1 - gate) * dgate;
    }
  }

  /// Adds to dq, and with `through` to dstate; returns the token's part of dt. scratch: [top_k].
  [[nodiscard]] T token_backward(const State& state, Index b, Index h, Index t, ReadCache& cache, State& dstate,
                                 T* scratch) const {
    const Index d = head_dim(), at = h * d, first = b * config_.capacity, k = read_rows(state, b);
    const Index* chosen = cache.chosen.view().row(t) + h * config_.top_k;
    const T* scores = cache.scores.view().row(t) + h * config_.top_k;
    const T* weights = cache.weights.view().row(t) + h * config_.top_k;
    const T* dr = cache.dr.view().row(t) + at;
    const T* q = cache.q.view().row(t) + at;
    const T factor = temperature(h);
    const bool through = config_.gradient == StateGradient::through;
    T mean = 0, dt = 0;
    for (Index n = 0; n < k; ++n) {
      scratch[n] = simd::dot(d, dr, state.values.view().row(first + chosen[n]) + at);
      mean += weights[n] * scratch[n];
    }
    for (Index n = 0; n < k; ++n) {
      const Index row = first + chosen[n];
      const T ds = weights[n] * (scratch[n] - mean);
      dt += ds * scores[n];
      simd::add_scaled(d, cache.dq.view().row(t) + at, factor * ds, state.keys.view().row(row) + at);
      if (!through) continue;
      simd::add_scaled(d, dstate.keys.view().row(row) + at, factor * ds, q);
      simd::add_scaled(d, dstate.values.view().row(row) + at, weights[n], dr);
    }
    return dt;
  }

  Config config_;
  Parameters parameters_;
};

}  // namespace MAT_ABI
}  // namespace mat
