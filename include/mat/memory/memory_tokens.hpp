#pragma once

#include <mat/core/simd.hpp>
#include <mat/layers/initialize.hpp>
#include <mat/memory/memory.hpp>
#include <mat/ops/activation.hpp>
#include <mat/ops/attention_mask.hpp>
#include <mat/ops/rows.hpp>

namespace mat {
inline namespace MAT_ABI {

/// A few rows that travel through the whole stack beside each segment, and are what the next one is told.
///
///     Write::end      input [s; X; s + e],   output [.; Y; z]       read rows in front, write rows at the end
///     Write::front    input [s; X],          output [z; Y]
///     s' = z,   gated: s' = sigmoid(g) z + (1 - sigmoid(g)) s
///
/// In a causal stack a token sees the read rows and the tokens up to itself; read rows see each other, write rows see
/// everything. Rows in front only would see nothing of the segment there, so a causal stack that writes in front
/// remembers nothing: the combination exists to show that.
///
/// Source:  Bulatov, Kuratov & Burtsev (2022), "Recurrent memory transformer", section 3.2; the gate is that of
///          Hutchins et al. (2022), "Block-recurrent transformers", eq. 4 (fixed gate). Unlike in published code the
///          rows start from different values, and the gradient crosses segments.
/// Shapes:  X, Y [tokens, features]; s, z [sequences * count, features]; e [features]; g [features].
/// Errors:  ValueError for a size below 1; ShapeError if an input does not fit.
/// Threads: const; one memory serves any number of threads, each with states and caches of its own.
template <class T>
class MemoryTokens {
 public:
  static constexpr MemoryPlace kPlace = MemoryPlace::tokens;

  /// Where the rows stand whose outputs are written.
  enum class Write { end, front };

  struct Config {
    Index features = 0;
    Index count = 4;  ///< Rows of memory.
    Write write = Write::end;
    bool causal = false;           ///< The stack is causal: see above who sees whom.
    bool write_embedding = false;  ///< Learns e, what tells write rows from read rows; without it e is 0.
    bool gated = false;
    double initial_scale = 0.02;  ///< Standard deviation of the first rows.
  };

  struct Parameters {
    Matrix<T> memory;           // the first state: [count, features]
    Vector<T> write_embedding;  // e: [features], or empty
    Vector<T> gate;             // g: [features], or empty

    template <class Visitor, class... P>
    static void visit(Visitor&& visitor, P&... p) {
      visit_tensor("memory", visitor, p.memory...);
      visit_tensor("write_embedding", visitor, p.write_embedding...);
      visit_tensor("gate", visitor, p.gate...);
    }
  };

  struct State {
    Matrix<T> rows;  // [sequences * count, features]

    template <class Visitor, class... S>
    static void visit(Visitor&& visitor, S&... s) {
      visit_tensor("rows", visitor, s.rows...);
    }
  };

  /// A matrix with a row for each of the stack's, of which those that the memory or the tokens have stay 0.
  struct Sparse {
    Matrix<T> rows;       // [tokens + rows of memory, features]
    Sequences sequences;  // of the rows,
    Index count = 0;      // of which so many are memory
    Write write = Write::end;
  };

  struct ReadCache {
    Sequences tokens;     // the segment's own
    Sequences sequences;  // with the rows of memory
    std::vector<Index> lengths;
    Tensor<bool, 4> allowed;  // who sees whom, if causal: [sequences or 1, 1, longest, longest]
    Matrix<T> rows;           // the stack's input: [tokens + rows of memory, features]
    Matrix<T> y;              // its output at the tokens: [tokens, features]
    Sparse dz;                // the gradient of its output, 0 at the rows of memory
    Matrix<T> dx;             // [tokens, features]
  };
  struct WriteCache {
    Sequences sequences;
    Matrix<T> z;  // if gated: [sequences * count, features]
    Sparse dh;    // the gradient of the stack's output, 0 at the tokens
  };

  MemoryTokens(const Config& config, const Random& random) : config_(config) {
    check_value(config.features >= 1, "MemoryTokens: features", config.features, "at least 1");
    check_value(config.count >= 1, "MemoryTokens: count", config.count, "at least 1");
    parameters_.memory.resize({config.count, config.features});
    initialize_normal<T>(parameters_.memory, config.initial_scale, random.split(0));
    if (config.write_embedding) {
      parameters_.write_embedding.resize({config.features});
      initialize_normal<T>(parameters_.write_embedding, config.initial_scale, random.split(1));
    }
    if (config.gated) parameters_.gate = Vector<T>({config.features});
  }

  [[nodiscard]] const Config& config() const { return config_; }
  [[nodiscard]] const Parameters& parameters() const { return parameters_; }
  [[nodiscard]] Parameters& parameters() { return parameters_; }

  void initial(Index batch, State& state) const {
    state.rows.resize({batch * config_.count, config_.features});
    for (Index b = 0; b < batch; ++b) copy(config_.count, parameters_.memory, 0, state.rows, b * config_.count);
  }
  void initial_backward(const State& dstate, Parameters& grads) const {
    for (Index b = 0; b * config_.count < dstate.rows.rows(); ++b) {
      simd::add_scaled(grads.memory.size(), grads.memory.data(), T(1), dstate.rows.view().row(b * config_.count));
    }
  }

  /// The input of the stack: x with the rows of memory, which rows_of(cache) divides and mask(cache) is for. A
  /// sequence without tokens has no rows either.
  ConstMatrixView<T> read(const State& state, ConstMatrixView<T> x, const Sequences& sequences,
                          ReadCache& cache) const {
    check_shape("MemoryTokens::read: x", x, {kAny, config_.features});
    check_sequences("MemoryTokens::read: x", x.rows(), sequences);
    check_shape("MemoryTokens::read: state", state.rows, {sequences.count() * config_.count, config_.features});
    cache.tokens = sequences;
    cache.lengths.clear();
    for (Index b = 0; b < sequences.count(); ++b) cache.lengths.push_back(with_memory(sequences.length(b)));
    cache.sequences.assign(cache.lengths);
    cache.rows.resize({cache.sequences.rows(), config_.features});
    for (Index b = 0; b < sequences.count(); ++b) {
      if (sequences.length(b) == 0) continue;
      const Index begin = cache.sequences.begin(b);
      copy(config_.count, state.rows, b * config_.count, cache.rows, begin);
      copy(sequences.length(b), x, sequences.begin(b), cache.rows, begin + config_.count);
      if (config_.write == Write::front) continue;
      const Index last = cache.sequences.end(b) - config_.count;
      copy(config_.count, state.rows, b * config_.count, cache.rows, last);
      if (!config_.write_embedding) continue;
      for (Index i = 0; i < config_.count; ++i) {
        simd::add_scaled(config_.features, cache.rows.view().row(last + i), T(1), parameters_.write_embedding.data());
      }
    }
    if (config_.causal) allow(cache);
    return cache.rows;
  }

  [[nodiscard]] const Sequences& rows_of(const ReadCache& cache) const { return cache.sequences; }
  /// Who sees whom among the rows that read returned.
  [[nodiscard]] AttentionMask<T> mask(const ReadCache& cache) const {
    if (!config_.causal) return {};
    return AttentionMask<T>::allowed(TensorView<const bool, 4>(cache.allowed));
  }

  /// The stack's output at the tokens.
  ConstMatrixView<T> tokens_of(ConstMatrixView<T> z, ReadCache& cache) const {
    cache.y.resize({cache.tokens.rows(), config_.features});
    for_each_sequence(cache, [&](Index length, Index with, Index without) { copy(length, z, with, cache.y, without); });
    return cache.y;
  }
  /// The backward of tokens_of: the gradient of the stack's output, 0 at the rows of memory.
  ConstMatrixView<T> tokens_of_backward(ConstMatrixView<T> dy, ReadCache& cache) const {
    check_shape("MemoryTokens::tokens_of_backward: dy", dy, {cache.tokens.rows(), config_.features});
    prepare(cache.sequences, cache.dz);
    for_each_sequence(cache,
                      [&](Index length, Index with, Index without) { copy(length, dy, without, cache.dz.rows, with); });
    return cache.dz.rows;
  }

  ConstMatrixView<T> read_backward(ConstMatrixView<T> drows, const State&, ReadCache& cache, State& dstate,
                                   Parameters& grads) const {
    check_shape("MemoryTokens::read_backward: drows", drows, cache.rows.shape());
    cache.dx.resize({cache.tokens.rows(), config_.features});
    for (Index b = 0; b < cache.tokens.count(); ++b) {
      if (cache.tokens.length(b) == 0) continue;
      const Index begin = cache.sequences.begin(b);
      T* const dmemory = dstate.rows.view().row(b * config_.count);
      for (Index i = 0; i < config_.count; ++i) {
        simd::add_scaled(config_.features, dmemory + i * config_.features, T(1), drows.row(begin + i));
      }
      copy(cache.tokens.length(b), drows, begin + config_.count, cache.dx, cache.tokens.begin(b));
      if (config_.write == Write::front) continue;
      const Index last = cache.sequences.end(b) - config_.count;
      for (Index i = 0; i < config_.count; ++i) {
        simd::add_scaled(config_.features, dmemory + i * config_.features, T(1), drows.row(last + i));
        if (!config_.write_embedding) continue;
        simd::add_scaled(config_.features, grads.write_embedding.data(), T(1), drows.row(last + i));
      }
    }
    return cache.dx;
  }

  /// `h` is the output of the stack and `sequences` are those of the read.
  void write(const State& state, ConstMatrixView<T> h, const Sequences& sequences, State& next,
             WriteCache& cache) const {
    check_shape("MemoryTokens::write: h", h, {kAny, config_.features});
    check_sequences("MemoryTokens::write: h", h.rows(), sequences);
    check_shape("MemoryTokens::write: state", state.rows, {sequences.count() * config_.count, config_.features});
    cache.sequences = sequences;
    if (config_.gated) cache.z.resize(state.rows.shape());
    next.rows.resize(state.rows.shape());
    for (Index b = 0; b < sequences.count(); ++b) {
      const Index row = b * config_.count;
      if (sequences.length(b) == 0) {
        copy(config_.count, state.rows, row, next.rows, row);
        continue;
      }
      if (!config_.gated) {
        copy(config_.count, h, written(sequences, b), next.rows, row);
        continue;
      }
      copy(config_.count, h, written(sequences, b), cache.z, row);
      for (Index i = row; i < row + config_.count; ++i) {
        for (Index j = 0; j < config_.features; ++j) {
          const T share = gate(j);
          next.rows(i, j) = share * cache.z(i, j) + (T(1) - share) * state.rows(i, j);
        }
      }
    }
  }

  ConstMatrixView<T> write_backward(const State& dnext, const State& state, WriteCache& cache, State& dstate,
                                    Parameters& grads) const {
    check_shape("MemoryTokens::write_backward: dnext", dnext.rows, state.rows.shape());
    prepare(cache.sequences, cache.dh);
    for (Index b = 0; b < cache.sequences.count(); ++b) {
      for (Index i = 0; i < config_.count; ++i) {
        const Index row = b * config_.count + i;
        if (cache.sequences.length(b) == 0) {
          simd::add_scaled(config_.features, dstate.rows.view().row(row), T(1), dnext.rows.view().row(row));
          continue;
        }
        T* const dz = cache.dh.rows.view().row(written(cache.sequences, b) + i);
        if (!config_.gated) {
          std::copy_n(dnext.rows.view().row(row), config_.features, dz);
          continue;
        }
        for (Index j = 0; j < config_.features; ++j) {
          const T d = dnext.rows(row, j), share = gate(j);
          dz[j] = share * d;
          dstate.rows(row, j) += (T(1) - share) * d;
          grads.gate(j) += share * (T(1) - share) * (cache.z(row, j) - state.rows(row, j)) * d;
        }
      }
    }
    return cache.dh.rows;
  }

 private:
  [[nodiscard]] Index with_memory(Index length) const {
    return length == 0 ? 0 : length + (config_.write == Write::end ? 2 : 1) * config_.count;
  }
  /// The first row whose output is written.
  [[nodiscard]] Index written(const Sequences& sequences, Index b) const {
    return config_.write == Write::end ? sequences.end(b) - config_.count : sequences.begin(b);
  }
  [[nodiscard]] T gate(Index j) const { return sigmoid(parameters_.gate(j)); }

  /// Zeros, but for the rows that are written in any case: segment after segment of the same lengths that saves a pass
  /// over all rows, for a few of them.
  void prepare(const Sequences& sequences, Sparse& d) const {
    const bool same = d.sequences == sequences && d.count == config_.count && d.write == config_.write;
    if (same && d.rows.cols() == config_.features) return;
    d.rows.resize({sequences.rows(), config_.features});
    d.rows.fill(T(0));
    d.sequences = sequences;
    d.count = config_.count;
    d.write = config_.write;
  }
  static void copy(Index count, ConstMatrixView<T> from, Index from_row, MatrixView<T> to, Index to_row) {
    for (Index i = 0; i < count; ++i) std::copy_n(from.row(from_row + i), from.cols(), to.row(to_row + i));
  }
  /// Calls fn(length, first row of the tokens with memory, and without) for sequences that have tokens.
  template <class Function>
  void for_each_sequence(const ReadCache& cache, const Function& fn) const {
    for (Index b = 0; b < cache.tokens.count(); ++b) {
      if (cache.tokens.length(b) == 0) continue;
      fn(cache.tokens.length(b), cache.sequences.begin(b) + config_.count, cache.tokens.begin(b));
    }
  }

  void allow(ReadCache& cache) const {
    const Sequences& s = cache.sequences;
    bool same = true;
    for (Index b = 1; b < s.count(); ++b) same = same && s.length(b) == s.length(0);
    const Index masks = same ? std::min<Index>(1, s.count()) : s.count(), longest = s.longest();
    cache.allowed.resize({masks, 1, longest, longest});
    cache.allowed.fill(false);
    for (Index b = 0; b < masks; ++b) {
      const Index length = s.length(b), last = length - (config_.write == Write::end ? config_.count : 0);
      for (Index i = 0; i < length; ++i) {
        const Index seen = i < config_.count ? config_.count : i < last ? i + 1 : length;
        std::fill_n(&cache.allowed(b, 0, i, 0), seen, true);
      }
    }
  }

  Config config_;
  Parameters parameters_;
};

}  // namespace MAT_ABI
}  // namespace mat
