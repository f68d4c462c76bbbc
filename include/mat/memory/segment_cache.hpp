#pragma once

#include <mat/core/random.hpp>
#include <mat/memory/last_rows.hpp>
#include <mat/memory/memory.hpp>
#include <mat/memory/state_gradient.hpp>

namespace mat {
inline namespace MAT_ABI {

/// The last rows that went into a layer, which its attention sees before those of the segment.
///
///     read   the rows of C, oldest first
///     write  C' = the last `length` rows of [C; X]
///     with `through`:   dC_j = dr_j + (dC' of the row that C_j became),   dX_t = dC' of the row that X_t became
///
/// The layer projects the cached rows to keys and values again, so that its weights learn from them either way.
///
/// Source:  Dai et al. (2019), "Transformer-XL: attentive language models beyond a fixed-length context", section 3.2
///          (detached).
/// Shapes:  X [tokens, features]; C [sequences * length, features], each sequence's block filled from its first row.
/// Errors:  ValueError for features below 1 or a negative length; ShapeError or ValueError if an input or a state does
///          not fit.
/// Threads: const; one memory serves any number of threads, each with states and caches of its own.
template <class T>
class SegmentCache {
 public:
  static constexpr MemoryPlace kPlace = MemoryPlace::context;

  struct Config {
    Index features = 0;
    Index length = 64;  ///< The most rows that are kept of a sequence.
    StateGradient gradient = StateGradient::detached;
  };

  /// Nothing is learned.
  struct Parameters {
    template <class Visitor, class... P>
    static void visit(Visitor&&, P&...) {}
  };

  struct State {
    Matrix<T> rows;         // C, 0 where there are none yet: [sequences * length, features]
    Vector<Index> lengths;  // how many of its block a sequence has: [sequences]

    template <class Visitor, class... S>
    static void visit(Visitor&& visitor, S&... s) {
      visit_tensor("rows", visitor, s.rows...);
      visit_tensor("lengths", visitor, s.lengths...);
    }
  };

  struct ReadCache {
    Sequences sequences;  // which of the rows that read returned are whose; with gaps
    Matrix<T> dx;         // 0: [tokens, features]
  };
  struct WriteCache {
    Sequences sequences;
    Matrix<T> dh;  // [tokens, features]
  };

  SegmentCache(const Config& config, const Random&) : config_(config) {
    check_value(config.features >= 1, "SegmentCache: features", config.features, "at least 1");
    check_value(config.length >= 0, "SegmentCache: length", config.length, "at least 0");
  }

  [[nodiscard]] const Config& config() const { return config_; }
  [[nodiscard]] const Parameters& parameters() const { return parameters_; }
  [[nodiscard]] Parameters& parameters() { return parameters_; }

  /// No rows.
  void initial(Index batch, State& state) const {
    state.rows.resize({batch * config_.length, config_.features});
    state.lengths.resize({batch});
    state.rows.fill(T(0));
    state.lengths.fill(0);
  }
  void initial_backward(const State&, Parameters&) const {}

  /// The cached rows themselves, not a copy; rows_of(cache) says which are whose. x says only how many sequences.
  ConstMatrixView<T> read(const State& state, ConstMatrixView<T> x, const Sequences& sequences,
                          ReadCache& cache) const {
    check("SegmentCache::read", "x", state, x, sequences);
    cache.sequences.assign_with_capacity(sequences.count(), config_.length,
                                         [&](Index b) { return state.lengths.data()[b]; });
    cache.dx.resize(x.shape());
    return state.rows;
  }

  [[nodiscard]] const Sequences& rows_of(const ReadCache& cache) const { return cache.sequences; }

  /// dr is the gradient of the rows that read returned. What the rows were is no function of x: dx is 0.
  ConstMatrixView<T> read_backward(ConstMatrixView<T> dr, const State& state, ReadCache& cache, State& dstate,
                                   Parameters&) const {
    check_shape("SegmentCache::read_backward: dr", dr, state.rows.shape());
    cache.dx.fill(T(0));
    if (config_.gradient == StateGradient::detached) return cache.dx;
    const Sequences& rows = cache.sequences;
    parallel_for(rows.count(), dr.size(), [&](Index b, Index) {
      for (Index j = rows.begin(b); j < rows.end(b); ++j) {
        simd::add_scaled(config_.features, dstate.rows.view().row(j), T(1), dr.row(j));
      }
    });
    return cache.dx;
  }

  /// Keeps the last rows of what was kept and of h, the layer's input.
  void write(const State& state, ConstMatrixView<T> h, const Sequences& sequences, State& next,
             WriteCache& cache) const {
    check("SegmentCache::write", "h", state, h, sequences);
    cache.sequences = sequences;
    detail::keep_last_rows<T>(config_.length, state.lengths, state.rows, h, sequences, next.rows);
    detail::set_kept_lengths(config_.length, state.lengths, sequences, next.lengths);
  }

  /// The gradient of h; 0 if the cache is detached.
  ConstMatrixView<T> write_backward(const State& dnext, const State& state, WriteCache& cache, State& dstate,
                                    Parameters&) const {
    check_shape("SegmentCache::write_backward: dnext", dnext.rows, state.rows.shape());
    cache.dh.resize({cache.sequences.rows(), config_.features});
    cache.dh.fill(T(0));
    if (config_.gradient == StateGradient::detached) return cache.dh;
    detail::keep_last_rows_backward<T>(config_.length, state.lengths, dnext.rows, cache.sequences, dstate.rows,
                                       cache.dh);
    return cache.dh;
  }

 private:
  void check(std::string_view what, std::string_view x_name, const State& state, ConstMatrixView<T> x,
             const Sequences& sequences) const {
    check_shape({what, x_name}, x, {kAny, config_.features});
    check_sequences({what, x_name}, x.rows(), sequences);
    detail::check_kept_lengths(what, config_.length, state.lengths, sequences);
    check_shape({what, "the state's rows"}, state.rows, {sequences.count() * config_.length, config_.features});
  }

  Config config_;
  Parameters parameters_;
};

}  // namespace MAT_ABI
}  // namespace mat
