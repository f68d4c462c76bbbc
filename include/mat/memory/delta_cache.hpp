#pragma once

#include <mat/layers/initialize.hpp>
#include <mat/layers/linear.hpp>
#include <mat/memory/memory.hpp>
#include <mat/ops/activation.hpp>
#include <mat/ops/delta_rule.hpp>
#include <mat/ops/gather.hpp>
#include <mat/ops/residual.hpp>
#include <mat/ops/unit_length.hpp>

#include <algorithm>
#include <cmath>

namespace mat {
inline namespace MAT_ABI {

/// The last rows that went into a layer, kept in one matrix by the delta rule, each under the learned key of a slot.
///
///     k_t = f(P_(t mod length)),  f(y) = y / |y|     the key of a sequence's token t, counted over all segments
///     read   r_j = k_(n - m + j) S,  0 <= j < m      the last m = min(n, length) of n tokens, oldest first
///     write  beta_t = sigmoid(h_t Wb^T + b)
///            S += k_t^T beta_t (h_t - k_t S)         tokens in order
///
/// The layer's attention sees the rows that were read before those of the segment, as it sees those of a SegmentCache,
/// and that is what this is with keys at right angles and beta of 1: what was written `length` tokens ago is taken out
/// for what comes. With fewer key features than slots it keeps them in fewer numbers, as well as the learned keys
/// allow. The gradient flows through what was written.
///
/// Source:  Schlag, Irie & Schmidhuber (2021), "Linear transformers are secretly fast weight programmers", eq. 24 (the
///          delta rule); Dai et al. (2019), "Transformer-XL", section 3.2 (rows that a layer attends to); the keys of
///          slots are this library's.
/// Shapes:  x, h [tokens, features]; P [length, key_dim]; S [sequences * key_dim, features];
///          r [sequences * length, features], each sequence's block filled from its first row.
/// Errors:  ValueError for sizes below 1 or a beta outside of (0, 1); ShapeError or ValueError if an input or a state
///          does not fit.
/// Threads: const; one memory serves any number of threads, each with states and caches of its own.
template <class T>
class DeltaCache {
 public:
  static constexpr MemoryPlace kPlace = MemoryPlace::context;

  struct Config {
    Index features = 0;
    Index length = 32;           ///< Slots: the most rows that are read of a sequence.
    Index key_dim = 0;           ///< 0: length, which is room for all rows, but at most features.
    double initial_beta = 0.98;  ///< Of every token.

    /// key_dim, or what 0 stands for.
    [[nodiscard]] Index keys() const { return key_dim != 0 ? key_dim : std::min(length, features); }
  };

  struct Parameters {
    Matrix<T> slot_keys;  // P: [length, key_dim]
    Linear<T> beta;

    template <class Visitor, class... P>
    static void visit(Visitor&& visitor, P&... p) {
      visit_tensor("slot_keys", visitor, p.slot_keys...);
      visit_layer("beta", visitor, p.beta...);
    }
  };

  struct State {
    Matrix<T> matrix;       // S: [sequences * key_dim, features]
    Vector<Index> written;  // n if below length, else length + n mod length: [sequences]

    template <class Visitor, class... S>
    static void visit(Visitor&& visitor, S&... s) {
      visit_tensor("matrix", visitor, s.matrix...);
      visit_tensor("written", visitor, s.written...);
    }
  };

  /// The keys of the tokens of a read or a write.
  struct Keys {
    Vector<Index> slots;  // [tokens]
    Matrix<T> all, dall;  // of all slots: [length, key_dim]
    Matrix<T> k, dk;      // of the tokens: [tokens, key_dim]
  };
  /// What one read leaves for its backward; the state stays with the caller and must live until then.
  struct ReadCache {
    Sequences sequences;  // which of the rows that read returned are whose; with gaps
    Keys keys;
    Matrix<T> rows;  // r: [sequences * length, features]
    Matrix<T> dx;    // 0: [tokens, features]
  };
  /// What one write leaves for its backward; h and the state stay with the caller and must live until then.
  struct WriteCache {
    Sequences sequences;
    Keys keys;
    typename Linear<T>::Cache logits;  // of beta, and h
    Matrix<T> beta, dbeta;             // [tokens, 1]
    DeltaRuleCache<T> rule;
    Matrix<T> dh;  // [tokens, features]
  };

  DeltaCache(const Config& config, const Random& random)
      : config_(complete(config)), parameters_(initial_parameters(config_, random)) {}

  [[nodiscard]] const Config& config() const { return config_; }
  [[nodiscard]] const Parameters& parameters() const { return parameters_; }
  [[nodiscard]] Parameters& parameters() { return parameters_; }

  /// No rows.
  void initial(Index batch, State& state) const {
    state.matrix.resize({batch * config_.key_dim, config_.features});
    state.written.resize({batch});
    state.matrix.fill(T(0));
    state.written.fill(0);
  }
  /// The first state is not learned.
  void initial_backward(const State&, Parameters&) const {}

  /// The rows that are kept; rows_of(cache) says which are whose. x says only how many sequences.
  ConstMatrixView<T> read(const State& state, ConstMatrixView<T> x, const Sequences& sequences,
                          ReadCache& cache) const {
    check("DeltaCache::read", "x", state, x, sequences);
    const auto kept = [&](Index b) { return std::min(config_.length, state.written.data()[b]); };
    cache.sequences.assign_with_capacity(sequences.count(), config_.length, kept);
    set_keys(cache.sequences, cache.keys, [&](Index b) { return state.written.data()[b] - kept(b); });
    cache.rows.resize({cache.keys.k.rows(), config_.features});
    cache.dx.resize(x.shape());
    matrix_memory_read_forward<T>(cache.keys.k, 1, state.matrix, cache.sequences, cache.rows);
    return cache.rows;
  }

  [[nodiscard]] const Sequences& rows_of(const ReadCache& cache) const { return cache.sequences; }

  /// dr is the gradient of the rows that read returned. What the rows were is no function of x: dx is 0.
  ConstMatrixView<T> read_backward(ConstMatrixView<T> dr, const State& state, ReadCache& cache, State& dstate,
                                   Parameters& grads) const {
    check_shape("DeltaCache::read_backward: dr", dr, cache.rows.shape());
    check_shape("DeltaCache::read_backward: dstate", dstate.matrix, state.matrix.shape());
    cache.keys.dk.resize(cache.keys.k.shape());
    matrix_memory_read_backward<T>(dr, cache.keys.k, 1, state.matrix, cache.sequences, cache.keys.dk, dstate.matrix);
    keys_backward(cache.keys, grads);
    cache.dx.fill(T(0));
    return cache.dx;
  }

  /// h is the layer's input, and must live until the backward.
  void write(const State& state, ConstMatrixView<T> h, const Sequences& sequences, State& next,
             WriteCache& cache) const {
    check("DeltaCache::write", "h", state, h, sequences);
    cache.sequences = sequences;
    next.matrix.resize(state.matrix.shape());
    next.written.resize(state.written.shape());
    set_keys(sequences, cache.keys, [&](Index b) { return state.written.data()[b]; });
    for (Index b = 0; b < sequences.count(); ++b) {
      const Index all = state.written.data()[b] + sequences.length(b);
      next.written.data()[b] = all < config_.length ? all : config_.length + all % config_.length;
    }
    static_cast<void>(parameters_.beta.forward(h, cache.logits));
    cache.beta.resize({h.rows(), 1});
    activation_forward<T>(Activation::sigmoid, detail::as_row(cache.logits.y), detail::as_row(cache.beta));
    delta_rule_forward<T>({}, written(cache), state.matrix, next.matrix, cache.rule);
  }

  /// The gradient of h.
  ConstMatrixView<T> write_backward(const State& dnext, const State& state, WriteCache& cache, State& dstate,
                                    Parameters& grads) const {
    check_shape("DeltaCache::write_backward: dnext", dnext.matrix, state.matrix.shape());
    check_shape("DeltaCache::write_backward: dstate", dstate.matrix, state.matrix.shape());
    cache.keys.dk.resize(cache.keys.k.shape());
    cache.dbeta.resize(cache.beta.shape());
    cache.dh.resize(cache.logits.x.shape());
    delta_rule_backward<T>(dnext.matrix, {}, written(cache), state.matrix, cache.rule,
                           {cache.keys.dk, cache.dh, {}, cache.dbeta}, dstate.matrix);
    keys_backward(cache.keys, grads);
    activation_backward<T>(Activation::sigmoid, detail::as_row(cache.logits.y), detail::as_row(cache.beta),
                           detail::as_row(cache.dbeta), detail::as_row(cache.dbeta));
    add<T>(cache.dh, parameters_.beta.backward(cache.dbeta, cache.logits, grads.beta.parameters()), cache.dh);
    return cache.dh;
  }

 private:
  [[nodiscard]] static Config complete(Config config) {
    check_value(config.features >= 1, "DeltaCache: features", config.features, "at least 1");
    check_value(config.length >= 1, "DeltaCache: length", config.length, "at least 1");
    config.key_dim = config.keys();
    check_value(config.key_dim >= 1, "DeltaCache: key_dim", config.key_dim, "at least 1");
    check_value(config.initial_beta > 0 && config.initial_beta < 1, "DeltaCache: initial_beta", config.initial_beta,
                "in (0, 1)");
    return config;
  }
  /// Keys at right angles if there is room for them.
  [[nodiscard]] static Parameters initial_parameters(const Config& c, const Random& random) {
    Parameters p{Matrix<T>({c.length, c.key_dim}), Linear<T>({c.features, 1}, random.split(0))};
    if (c.key_dim >= c.length) {
      for (Index i = 0; i < c.length; ++i) p.slot_keys(i, i) = T(1);
    } else {
      initialize_normal<T>(p.slot_keys, 1, random.split(1));
    }
    p.beta.parameters().weight.fill(T(0));
    p.beta.parameters().bias.fill(static_cast<T>(std::log(c.initial_beta / (1 - c.initial_beta))));
    return p;
  }

  [[nodiscard]] DeltaRuleInputs<T> written(const WriteCache& cache) const {
    return {cache.keys.k, cache.logits.x, {}, cache.beta, cache.sequences};
  }

  /// The keys of tokens, of which the first of sequence b is its token first(b). Rows of no sequence get some key too.
  template <class First>
  void set_keys(const Sequences& sequences, Keys& keys, const First& first) const {
    keys.slots.resize({sequences.rows()});
    keys.slots.fill(0);
    for (Index b = 0; b < sequences.count(); ++b) {
      for (Index t = 0; t < sequences.length(b); ++t) {
        keys.slots.data()[sequences.begin(b) + t] = (first(b) + t) % config_.length;
      }
    }
    keys.all.resize(parameters_.slot_keys.shape());
    unit_length_forward<T>(parameters_.slot_keys, 1, keys.all);
    keys.k.resize({keys.slots.size(), config_.key_dim});
    gather_rows<T>(keys.all, keys.slots, keys.k);
  }
  void keys_backward(Keys& keys, Parameters& grads) const {
    keys.dall.resize(keys.all.shape());
    keys.dall.fill(T(0));
    scatter_add_rows<T>(keys.slots, keys.dk, keys.dall);
    unit_length_backward<T>(parameters_.slot_keys, keys.dall, 1, keys.dall);
    add<T>(grads.slot_keys, keys.dall, grads.slot_keys);
  }

  void check(std::string_view what, std::string_view x_name, const State& state, ConstMatrixView<T> x,
             const Sequences& sequences) const {
    check_shape({what, x_name}, x, {kAny, config_.features});
    check_sequences({what, x_name}, x.rows(), sequences);
    check_shape({what, "the state's matrix"}, state.matrix, {sequences.count() * config_.key_dim, config_.features});
    check_shape({what, "the state's written"}, state.written, {sequences.count()});
    for (Index b = 0; b < sequences.count(); ++b) {
      check_value(state.written.data()[b] >= 0 && state.written.data()[b] < 2 * config_.length,
                  {what, "a number of the state's written"}, state.written.data()[b], "at least 0 and below ",
                  2 * config_.length);
    }
  }

  Config config_;
  Parameters parameters_;
};

}  // namespace MAT_ABI
}  // namespace mat
