#pragma once

#include <mat/memory/memory.hpp>
#include <mat/ops/dropout.hpp>

#include <algorithm>
#include <deque>

namespace mat {
inline namespace MAT_ABI {

/// Runs a model over the segments of a batch of sequences and takes the gradient back through them.
///
/// The segments are cut into windows of `depth`. Each window runs forward, keeping the state before every segment, and
/// then backward, last segment first:
///
///     ds = 0;   for i = last ... first of the window:   dx_i, ds' = backward(dy_i, ds);   ds = ds'
///
/// What flows out of the first segment of a window is dropped: beyond it the gradient is exactly 0. Before the first
/// segment of all it goes to the learned first state, unless the caller brought a state. With `recompute` the
/// activations of one segment are kept instead of a window's, and each forward runs twice: the memory is
/// O(state * depth).
///
/// Model has State, Cache, Parameters, Segment, Output, initial(batch, state), initial_backward(dstate, grads),
/// forward(segment, state, next, dropout, cache) -> y and backward(dy, dnext, state, cache, dstate, grads), as
/// RecurrentEncoder and LanguageModel do. What `dropout` is the model says; it has split(key), as Dropout.
///
/// Source:  Williams & Peng (1990), "An efficient gradient-based algorithm for on-line training of recurrent network
///          trajectories" (truncated backpropagation through time); Chen et al. (2016), "Training deep nets with
///          sublinear memory cost" (recomputation).
/// Errors:  ValueError for a negative depth.
/// Threads: const; each thread has a cache and gradients of its own.
template <class Model>
class Recurrence {
 public:
  using State = typename Model::State;
  using Parameters = typename Model::Parameters;

  struct Config {
    Index depth = 0;         ///< Segments through which the gradient flows; 0: all.
    bool recompute = false;  ///< Keep no activations but those of one segment.
  };

  /// Where the sequences of a batch begin.
  struct Start {
    const State* state = nullptr;              ///< The state before segment 0; null: all sequences are fresh.
    const std::vector<bool>* fresh = nullptr;  ///< Sequences that begin with the model's own first state all the same.
  };

  struct Cache {
    State initial;             // of fresh sequences beside others
    std::deque<State> states;  // before each segment of a window, and after the last; one may be a caller's start
    std::deque<typename Model::Cache> segments;  // of each segment of a window, or of one
    std::vector<typename Model::Output> outputs;
    State dnext, dstate;
  };

  explicit Recurrence(const Config& config) : config_(config) {
    check_value(config.depth >= 0, "Recurrence: depth", config.depth, "at least 0");
  }

  [[nodiscard]] const Config& config() const { return config_; }

  /// Adds the gradients of `count` segments to `grads`, and returns the state after the last, living in the cache.
  ///
  /// segment(i) is the model's input of segment i; loss(i, y) returns the gradient dy of its output, which must live
  /// until the next call. The losses of a window are asked for last segment first. The model's first state learns from
  /// the sequences that begin with it. All segments have the same number of sequences.
  template <class Segments, class Loss, class ModelDropout = Dropout>
  const State& backward(const Model& model, Index count, const Segments& segment, const Start& start, Loss&& loss,
                        const ModelDropout& dropout, Cache& cache, Parameters& grads) const {
    const Index all = std::max<Index>(count, 1), depth = config_.depth == 0 ? all : std::min(config_.depth, all);
    const std::size_t kept = config_.recompute ? 1 : static_cast<std::size_t>(depth);
    if (cache.segments.size() < kept) cache.segments.resize(kept);
    if (cache.states.size() < static_cast<std::size_t>(depth) + 1) {
      cache.states.resize(static_cast<std::size_t>(depth) + 1);
    }
    const Index batch = count > 0 ? segment(Index{0}).sequences->count() : 0;
    begin(model, batch, start, cache);
    for (Index first = 0; first < count; first += depth) {
      const Index size = std::min(depth, count - first);
      window(model, first, size, segment, loss, dropout, cache, grads);
      if (first == 0) learn_start(model, batch, start, cache, grads);
      std::swap(cache.states[0], cache.states[static_cast<std::size_t>(size)]);
    }
    return cache.states[0];
  }

 private:
  [[nodiscard]] static bool is_fresh(const Start& start, Index b) {
    return start.state == nullptr || (start.fresh != nullptr && (*start.fresh)[static_cast<std::size_t>(b)]);
  }
  static void begin(const Model& model, Index batch, const Start& start, Cache& cache) {
    if (start.state == nullptr) return model.initial(batch, cache.states[0]);
    cache.states[0] = *start.state;
    if (start.fresh == nullptr) return;
    check_value(static_cast<Index>(start.fresh->size()) == batch, "Recurrence::backward: fresh",
                static_cast<Index>(start.fresh->size()), "one for each sequence, ", batch);
    model.initial(batch, cache.initial);
    for (Index b = 0; b < batch; ++b) {
      if (is_fresh(start, b)) copy_sequence_of_state(cache.initial, b, batch, cache.states[0], b, batch);
    }
  }
  /// cache.dnext is the gradient of the state before segment 0.
  static void learn_start(const Model& model, Index batch, const Start& start, Cache& cache, Parameters& grads) {
    bool any = false;
    for (Index b = 0; b < batch; ++b) {
      if (is_fresh(start, b)) {
        any = true;
      } else {
        zero_sequence_of_state(cache.dnext, b, batch);
      }
    }
    if (any) model.initial_backward(cache.dnext, grads);
  }

  template <class Segments, class Loss, class ModelDropout>
  void window(const Model& model, Index first, Index size, const Segments& segment, Loss& loss,
              const ModelDropout& dropout, Cache& cache, Parameters& grads) const {
    const auto at = [&](Index i) ->
        typename Model::Cache& { return cache.segments[config_.recompute ? 0 : static_cast<std::size_t>(i)]; };
    const auto state = [&](Index i) -> State& { return cache.states[static_cast<std::size_t>(i)]; };
    const auto forward = [&](Index i) {
      return model.forward(segment(first + i), state(i), &state(i + 1),
                           dropout.split(static_cast<std::uint64_t>(first + i)), at(i));
    };
    const auto output = [&](Index i) -> typename Model::Output& { return cache.outputs[static_cast<std::size_t>(i)]; };
    if (cache.outputs.size() < static_cast<std::size_t>(size)) cache.outputs.resize(static_cast<std::size_t>(size));
    for (Index i = 0; i < size; ++i) output(i) = forward(i);
    zero_state_like(state(size), cache.dnext);
    for (Index i = size; i-- > 0;) {
      if (config_.recompute && i + 1 < size) output(i) = forward(i);
      zero_state_like(state(i), cache.dstate);
      const auto dy = loss(first + i, output(i));
      model.backward(dy, &cache.dnext, state(i), at(i), cache.dstate, grads);
      std::swap(cache.dnext, cache.dstate);
    }
  }

  Config config_;
};

}  // namespace MAT_ABI
}  // namespace mat
