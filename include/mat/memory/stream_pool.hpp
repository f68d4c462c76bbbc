#pragma once

#include <mat/core/sequences.hpp>
#include <mat/core/simd.hpp>
#include <mat/core/tensor.hpp>
#include <mat/layers/parameters.hpp>
#include <mat/ops/rows.hpp>
#include <mat/ops/softmax.hpp>

#include <algorithm>
#include <limits>

namespace mat {
inline namespace MAT_ABI {

/// The article's pooled attention as an exact stream: the softmax over all tokens so far, in a state of one row.
///
///     write   m' = max(m, max_t s_t),   r = e^(m - m'),   e_t = e^(s_t - m')
///             Z' = decay r Z + sum_t e_t,   S' = decay r S + sum_t e_t M_t
///     read    y = S / Z, and 0 before the first token
///
/// With decay 1, y after the last segment is what SelfAttention pools from the whole document, wherever it was cut. A
/// decay below 1 is applied once in each segment that has tokens. Scores of minus infinity weigh nothing.
///
/// The value does not depend on m, which only keeps the exponentials in range, so m has no gradient:
///
///     read    dS += dy / Z,   dZ -= <dy, S> / Z^2
///     write   ds_t = e_t (<M_t, dS'> + dZ'),   dM_t = e_t dS',   dZ += decay r dZ',   dS += decay r dS'
///
/// Source:  Milakov & Gimelshein (2018), "Online normalizer calculation for softmax", algorithm 3.
/// Shapes:  s [tokens, 1]; M [tokens, features]; y, S [sequences, features]; m, Z [sequences, 1].
/// Errors:  ValueError for a setting outside of its range; ShapeError if an input does not fit.
/// Threads: const; uses parallel_for over sequences; the bits of a sequence depend on the sequence alone.
template <class T>
class StreamPool {
 public:
  struct Config {
    Index features = 0;
    double decay = 1;  ///< In (0, 1].
  };

  struct State {
    Matrix<T> largest;  // m: [sequences, 1]
    Matrix<T> weight;   // Z: [sequences, 1]
    Matrix<T> sum;      // S: [sequences, features]

    template <class Visitor, class... S>
    static void visit(Visitor&& visitor, S&... s) {
      visit_tensor("largest", visitor, s.largest...);
      visit_tensor("weight", visitor, s.weight...);
      visit_tensor("sum", visitor, s.sum...);
    }
  };

  struct ReadCache {
    Matrix<T> y;  // [sequences, features]
  };
  /// `memory` stays with the caller and must live until the backward.
  struct WriteCache {
    ConstMatrixView<T> memory;  // [tokens, features]
    Sequences sequences;
    Matrix<T> e, dscores;  // [tokens, 1]
    Matrix<T> kept;        // decay r: [sequences, 1]
    Matrix<T> dmemory;     // [tokens, features]
  };

  /// The gradients of what was written, living in the cache.
  struct InputGradients {
    ConstMatrixView<T> dscores, dmemory;
  };

  explicit StreamPool(const Config& config) : config_(config) {
    check_value(config.features >= 1, "StreamPool: features", config.features, "at least 1");
    check_value(config.decay > 0 && config.decay <= 1, "StreamPool: decay", config.decay, "in (0, 1]");
  }

  [[nodiscard]] const Config& config() const { return config_; }

  void initial(Index batch, State& state) const {
    state.largest.resize({batch, 1});
    state.weight.resize({batch, 1});
    state.sum.resize({batch, config_.features});
    state.largest.fill(-std::numeric_limits<T>::infinity());
    state.weight.fill(T(0));
    state.sum.fill(T(0));
  }

  ConstMatrixView<T> read(const State& state, ReadCache& cache) const {
    check_state("StreamPool::read", state, state.sum.rows());
    cache.y.resize(state.sum.shape());
    for (Index b = 0; b < state.sum.rows(); ++b) {
      simd::set_scaled(config_.features, cache.y.view().row(b), simd::inverse_or_zero(state.weight(b, 0)),
                       state.sum.view().row(b));
    }
    return cache.y;
  }
  /// Adds to dstate.
  void read_backward(ConstMatrixView<T> dy, const State& state, State& dstate) const {
    check_state("StreamPool::read_backward", state, state.sum.rows());
    check_shape("StreamPool::read_backward: dy", dy, state.sum.shape());
    for (Index b = 0; b < dy.rows(); ++b) {
      const T factor = simd::inverse_or_zero(state.weight(b, 0));
      simd::add_scaled(dy.cols(), dstate.sum.view().row(b), factor, dy.row(b));
      dstate.weight(b, 0) -= simd::dot(dy.cols(), dy.row(b), state.sum.view().row(b)) * factor * factor;
    }
  }

  void write(const State& state, ConstMatrixView<T> scores, ConstMatrixView<T> memory, const Sequences& sequences,
             State& next, WriteCache& cache) const {
    check_shape("StreamPool::write: scores", scores, {kAny, 1});
    check_shape("StreamPool::write: memory", memory, {scores.rows(), config_.features});
    check_sequences("StreamPool::write: scores", scores.rows(), sequences);
    check_state("StreamPool::write", state, sequences.count());
    cache.memory = memory;
    cache.sequences = sequences;
    cache.e.resize(scores.shape());
    cache.kept.resize({sequences.count(), 1});
    next = state;
    parallel_for(sequences.count(), detail::kReadWork * memory.size(), [&](Index b, int) {
      if (sequences.length(b) > 0) write_sequence(b, scores, next, cache);
    });
  }

  InputGradients write_backward(const State& dnext, WriteCache& cache, State& dstate) const {
    const Sequences& sequences = cache.sequences;
    check_state("StreamPool::write_backward", dnext, sequences.count());
    cache.dscores.resize(cache.e.shape());
    cache.dmemory.resize(cache.memory.shape());
    cache.dscores.fill(T(0));
    cache.dmemory.fill(T(0));
    const Index d = config_.features;
    parallel_for(sequences.count(), detail::kReadWork * cache.memory.size(), [&](Index b, int) {
      const T* const dsum = dnext.sum.view().row(b);
      const T kept = sequences.length(b) > 0 ? cache.kept(b, 0) : T(1);
      dstate.weight(b, 0) += kept * dnext.weight(b, 0);
      simd::add_scaled(d, dstate.sum.view().row(b), kept, dsum);
      for (Index t = sequences.begin(b); t < sequences.end(b); ++t) {
        const T e = cache.e(t, 0);
        cache.dscores(t, 0) = e * (simd::dot(d, cache.memory.row(t), dsum) + dnext.weight(b, 0));
        simd::set_scaled(d, cache.dmemory.view().row(t), e, dsum);
      }
    });
    return {cache.dscores, cache.dmemory};
  }

 private:
  void check_state(std::string_view what, const State& state, Index sequences) const {
    check_shape({what, "the state's largest"}, state.largest, {sequences, 1});
    check_shape({what, "the state's weight"}, state.weight, {sequences, 1});
    check_shape({what, "the state's sum"}, state.sum, {sequences, config_.features});
  }
  [[nodiscard]] static T exponential(T x) { return simd::first(simd::exp(simd::broadcast(x))); }

  /// `next` holds the state before.
  void write_sequence(Index b, ConstMatrixView<T> scores, State& next, WriteCache& cache) const {
    const Index begin = cache.sequences.begin(b), end = cache.sequences.end(b);
    T largest = next.largest(b, 0);
    for (Index t = begin; t < end; ++t) largest = std::max(largest, scores(t, 0));
    const T shift = detail::softmax_shift(largest);  // of scores that are all minus infinity, none
    const T kept = static_cast<T>(config_.decay) * exponential(next.largest(b, 0) - shift);
    cache.kept(b, 0) = kept;
    T* sum = next.sum.view().row(b);
    simd::set_scaled(config_.features, sum, kept, sum);
    T weight = kept * next.weight(b, 0);
    for (Index t = begin; t < end; ++t) {
      cache.e(t, 0) = exponential(scores(t, 0) - shift);
      weight += cache.e(t, 0);
      simd::add_scaled(config_.features, sum, cache.e(t, 0), cache.memory.row(t));
    }
    next.largest(b, 0) = largest;
    next.weight(b, 0) = weight;
  }

  Config config_;
};

}  // namespace MAT_ABI
}  // namespace mat
