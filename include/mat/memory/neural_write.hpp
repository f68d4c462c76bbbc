#pragma once

#include <mat/core/sequences.hpp>
#include <mat/memory/fast_weight_state.hpp>
#include <mat/ops/fast_weight_step.hpp>
#include <mat/ops/surprise.hpp>

#include <vector>

namespace mat {
inline namespace MAT_ABI {

/// What the gradient of a write goes through.
enum class WriteGradient {
  exact,        ///< Everything: second order in the weights.
  first_order,  ///< The weights count as constants in the inner gradient: cheaper, and blind to later surprises.
};

/// The sizes of the network that is written to.
struct NeuralWriteSizes {
  Index hidden = 0, features = 0;
};

template <class T>
struct NeuralWriteOptions {
  Index chunk = 0;         ///< Tokens of one gradient step; 0 is all of a sequence.
  T bias_rate = 0;         ///< As SurpriseInputs's.
  FastWeightStep<T> step;  ///< Its momentum, forgetting, max_norm and limit.
  WriteGradient gradient = WriteGradient::exact;
};

/// Weights and momentum of a batch.
template <class State>
struct NeuralWriteState {
  State* weights = nullptr;
  State* momentum = nullptr;
};

/// The gradients of mu and lambda.
struct NeuralGateGradients {
  double dmomentum = 0, dforgetting = 0;
};

/// What one write leaves for its backward, and memory to work in.
template <class T>
struct NeuralWriteTape {
  std::vector<Index> first_chunk;            // of each sequence, and the number of all: [sequences + 1]
  Matrix<T> hidden, dhidden;                 // [tokens, hidden]
  Matrix<T> error, weighted_error, dvalues;  // [tokens, features]
  Matrix<T> starts;                          // weights and momentum before each chunk, if a sequence has several
  Matrix<T> chunks;                          // g and three Gram matrices: [chunks, numbers of a chunk]
  std::vector<CurvatureBound<T>> bounds;     // [chunks]
  Matrix<T> dstart;                          // the gradient of the learned start: [sequences, numbers of a network]
  std::vector<NeuralGateGradients> dgates;   // [sequences]
  Matrix<T> workspace;                       // [threads, numbers of a thread]

  [[nodiscard]] FastWeights<const T> start_gradient(Index b, NeuralWriteSizes sizes) const {
    return FastWeights<const T>(dstart.view().row(b), sizes.hidden, sizes.features);
  }
};

/// Writes chunks of keys and values into the fast weights of each sequence, one gradient step for each chunk.
///
/// Source:  that of its steps, surprise_forward and fast_weight_step_forward.
/// Shapes:  keys, values [tokens, features]; rates [tokens, 1]; the states as FastWeightState.
/// Threads: uses parallel_for over sequences.
template <class T>
class NeuralWrite {
 public:
  NeuralWrite(NeuralWriteSizes sizes, const NeuralWriteOptions<T>& options, FastWeights<const T> start)
      : h_(sizes.hidden), d_(sizes.features), options_(options), start_(start) {}

  /// A sequence without tokens keeps its weights and its momentum.
  void forward(const SurpriseInputs<T>& in, const Sequences& sequences,
               NeuralWriteState<const FastWeightState<T>> state, NeuralWriteState<FastWeightState<T>> next,
               NeuralWriteTape<T>& tape) const {
    prepare(sequences, tape);
    parallel_for(sequences.count(), 8 * sequences.rows() * h_ * d_, [&](Index b, int thread) {
      Network<const T> from{state.weights->at(b), state.momentum->at(b)};
      const Network<T> last{next.weights->at(b), next.momentum->at(b)};
      if (sequences.length(b) == 0) {
        copy(from.weights, last.weights);
        copy(from.momentum, last.momentum);
      }
      for_each_chunk(sequences, b, tape, [&](Index chunk, Index begin, Index count) {
        const bool is_last = chunk + 1 == chunk_end(tape, b);
        const Network<T> to = is_last ? last : start_of(tape, chunk + 1);
        const SurpriseTape<T> surprise = tape_of(tape, chunk, begin, count);
        surprise_forward<T>(from.weights, rows_of(in, begin, count), surprise, scratch_of(tape, thread, count));
        fast_weight_step_forward<T>(step_of(surprise, count), {from.weights, from.momentum, start_, surprise.gradient},
                                    to.weights, to.momentum);
        from = {to.weights, to.momentum};
      });
    });
  }

  /// Adds to `grads`, whose dweights it does not use, and to dstate; the gradient of the start is in tape.dstart.
  NeuralGateGradients backward(const SurpriseInputs<T>& in, const Sequences& sequences,
                               NeuralWriteState<const FastWeightState<T>> state,
                               NeuralWriteState<const FastWeightState<T>> dnext, NeuralWriteTape<T>& tape,
                               const SurpriseGradients<T>& grads, NeuralWriteState<FastWeightState<T>> dstate) const {
    tape.dstart.resize({sequences.count(), size()});
    tape.dstart.fill(T(0));
    tape.dgates.assign(static_cast<std::size_t>(sequences.count()), {});
    parallel_for(sequences.count(), 18 * sequences.rows() * h_ * d_, [&](Index b, int thread) {
      const Network<T> d{network(tape, thread, 0), network(tape, thread, 1)};
      copy(dnext.weights->at(b), d.weights);
      copy(dnext.momentum->at(b), d.momentum);
      const Network<const T> first{state.weights->at(b), state.momentum->at(b)};
      for_each_chunk_backward(sequences, b, tape, [&](Index chunk, Index begin, Index count) {
        const bool is_first = chunk == tape.first_chunk[static_cast<std::size_t>(b)];
        const Network<const T> from = is_first ? first : Network<const T>(start_of(tape, chunk));
        chunk_backward(in, {chunk, begin, count, b, thread}, from, d, tape, grads);
      });
      add(d.weights, dstate.weights->at(b));
      add(d.momentum, dstate.momentum->at(b));
    });
    NeuralGateGradients sum;
    for (const NeuralGateGradients& gates : tape.dgates) {
      sum.dmomentum += gates.dmomentum;
      sum.dforgetting += gates.dforgetting;
    }
    return sum;
  }

 private:
  template <class U>
  struct Network {
    FastWeights<U> weights, momentum;

    Network(FastWeights<U> w, FastWeights<U> m) : weights(w), momentum(m) {}
    template <class V, class = std::enable_if_t<std::is_same_v<U, const V>>>
    explicit Network(const Network<V>& other) : weights(other.weights), momentum(other.momentum) {}
  };
  struct Chunk {
    Index chunk, begin, count, sequence;
    int thread;
  };

  void chunk_backward(const SurpriseInputs<T>& in, const Chunk& at, const Network<const T>& from, const Network<T>& d,
                      NeuralWriteTape<T>& tape, const SurpriseGradients<T>& grads) const {
    const SurpriseTape<T> surprise = tape_of(tape, at.chunk, at.begin, at.count);
    const FastWeights<T> dg = network(tape, at.thread, 2);
    const FastWeightStepGradients step = fast_weight_step_backward<T>(
        step_of(surprise, at.count), {from.weights, from.momentum, start_, surprise.gradient}, d.weights, d.momentum,
        FastWeights<T>(tape.dstart.view().row(at.sequence), h_, d_), dg);
    NeuralGateGradients& gates = tape.dgates[static_cast<std::size_t>(at.sequence)];
    gates.dmomentum += step.dmomentum;
    gates.dforgetting += step.dforgetting;
    SurpriseGradients<T> rows{grads.dkeys.middle_rows(at.begin, at.count),
                              grads.dvalues.middle_rows(at.begin, at.count),
                              grads.drates.middle_rows(at.begin, at.count),
                              {}};
    if (options_.gradient == WriteGradient::exact) rows.dweights = d.weights;
    surprise_backward<T>(dg, static_cast<T>(step.dcurvature), from.weights, rows_of(in, at.begin, at.count), surprise,
                         scratch_of(tape, at.thread, at.count), rows);
  }

  [[nodiscard]] Index size() const { return FastWeights<T>::size_of(h_, d_); }
  [[nodiscard]] Index chunk_size() const { return size() + h_ * h_ + h_ + 2 * d_ * d_ + d_; }
  [[nodiscard]] Index rows_of_chunk(Index length) const { return options_.chunk == 0 ? length : options_.chunk; }
  [[nodiscard]] Index chunk_end(const NeuralWriteTape<T>& tape, Index b) const {
    return tape.first_chunk[static_cast<std::size_t>(b) + 1];
  }

  void prepare(const Sequences& sequences, NeuralWriteTape<T>& tape) const {
    tape.first_chunk.assign(1, 0);
    bool several = false;
    Index longest = 0;
    for (Index b = 0; b < sequences.count(); ++b) {
      const Index length = sequences.length(b), rows = std::max<Index>(1, rows_of_chunk(length));
      const Index count = (length + rows - 1) / rows;
      several = several || count > 1;
      longest = std::max(longest, std::min(rows, length));
      tape.first_chunk.push_back(tape.first_chunk.back() + count);
    }
    const Index tokens = sequences.rows(), chunks = tape.first_chunk.back();
    tape.hidden.resize({tokens, h_});
    tape.dhidden.resize({tokens, h_});
    tape.error.resize({tokens, d_});
    tape.weighted_error.resize({tokens, d_});
    tape.chunks.resize({chunks, chunk_size()});
    tape.starts.resize({several ? chunks : 0, 2 * size()});
    tape.bounds.resize(static_cast<std::size_t>(chunks));
    tape.workspace.resize({max_threads(), 3 * size() + h_ * d_ + 2 * longest * (h_ + d_)});
  }

  /// fn(chunk, first row, rows) for the chunks of one sequence.
  template <class Function>
  void for_each_chunk(const Sequences& sequences, Index b, const NeuralWriteTape<T>& tape, const Function& fn) const {
    const Index first = tape.first_chunk[static_cast<std::size_t>(b)];
    for (Index chunk = first; chunk < chunk_end(tape, b); ++chunk) call(sequences, b, chunk, first, fn);
  }
  template <class Function>
  void for_each_chunk_backward(const Sequences& sequences, Index b, const NeuralWriteTape<T>& tape,
                               const Function& fn) const {
    const Index first = tape.first_chunk[static_cast<std::size_t>(b)];
    for (Index chunk = chunk_end(tape, b); chunk-- > first;) call(sequences, b, chunk, first, fn);
  }
  template <class Function>
  void call(const Sequences& sequences, Index b, Index chunk, Index first, const Function& fn) const {
    const Index rows = rows_of_chunk(sequences.length(b)), done = (chunk - first) * rows;
    fn(chunk, sequences.begin(b) + done, std::min(rows, sequences.length(b) - done));
  }

  [[nodiscard]] SurpriseInputs<T> rows_of(const SurpriseInputs<T>& in, Index begin, Index count) const {
    return {in.keys.middle_rows(begin, count), in.values.middle_rows(begin, count), in.rates.middle_rows(begin, count),
            options_.bias_rate};
  }
  [[nodiscard]] Network<T> start_of(NeuralWriteTape<T>& tape, Index chunk) const {
    T* const numbers = tape.starts.view().row(chunk);
    return {FastWeights<T>(numbers, h_, d_), FastWeights<T>(numbers + size(), h_, d_)};
  }
  [[nodiscard]] SurpriseTape<T> tape_of(NeuralWriteTape<T>& tape, Index chunk, Index begin, Index count) const {
    T* at = tape.chunks.view().row(chunk);
    const auto take = [&at](Index n) {
      T* const begin_of = at;
      at += n;
      return begin_of;
    };
    SurpriseTape<T> s;
    s.hidden = tape.hidden.view().middle_rows(begin, count);
    s.dhidden = tape.dhidden.view().middle_rows(begin, count);
    s.error = tape.error.view().middle_rows(begin, count);
    s.weighted_error = tape.weighted_error.view().middle_rows(begin, count);
    s.gradient = FastWeights<T>(take(size()), h_, d_);
    s.hidden_gram = {MatrixView<T>(take(h_ * h_), {h_, h_}), VectorView<T>(take(h_), {h_})};
    s.key_gram = {MatrixView<T>(take(d_ * d_), {d_, d_}), VectorView<T>(take(d_), {d_})};
    s.fc2_gram = MatrixView<T>(take(d_ * d_), {d_, d_});
    if (options_.step.limit > 0) s.bound = &tape.bounds[static_cast<std::size_t>(chunk)];
    return s;
  }
  [[nodiscard]] SurpriseScratch<T> scratch_of(NeuralWriteTape<T>& tape, Index thread, Index count) const {
    T* const numbers = tape.workspace.view().row(thread) + 3 * size();
    const Index hidden = count * h_, rows = count * d_;
    T* const at = numbers + h_ * d_;
    return {MatrixView<T>(at, {count, h_}), MatrixView<T>(at + hidden, {count, h_}),
            MatrixView<T>(at + 2 * hidden, {count, d_}), MatrixView<T>(at + 2 * hidden + rows, {count, d_}),
            MatrixView<T>(numbers, {d_, h_})};
  }
  /// One of the three networks of a thread's own: two gradients of a state, one of g.
  [[nodiscard]] FastWeights<T> network(NeuralWriteTape<T>& tape, Index thread, Index which) const {
    return FastWeights<T>(tape.workspace.view().row(thread) + which * size(), h_, d_);
  }

  [[nodiscard]] FastWeightStep<T> step_of(const SurpriseTape<T>& surprise, Index count) const {
    FastWeightStep<T> step = options_.step;
    const FastWeights<const T> g = surprise.gradient;
    if (step.max_norm > 0) step.norm = std::sqrt(detail::fast_weights_dot<T>(g, g));
    if (step.limit > 0) {
      step.curvature = static_cast<double>(surprise.bound->value());
    } else {
      step.scale = 1 / static_cast<double>(count);
    }
    return step;
  }
  static void copy(FastWeights<const T> from, FastWeights<T> to) {
    detail::for_each_fast_weight([](Index n, T* y, const T* x) { std::copy_n(x, n, y); }, to, from);
  }
  static void add(FastWeights<const T> from, FastWeights<T> to) {
    detail::for_each_fast_weight([](Index n, T* y, const T* x) { simd::add_scaled(n, y, T(1), x); }, to, from);
  }

  Index h_, d_;
  NeuralWriteOptions<T> options_;
  FastWeights<const T> start_;
};

}  // namespace MAT_ABI
}  // namespace mat
