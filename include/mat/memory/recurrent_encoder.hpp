#pragma once

#include <mat/blocks/transformer_encoder.hpp>
#include <mat/memory/memory.hpp>

#include <deque>

namespace mat {
inline namespace MAT_ABI {

/// An encoder, or with `causal` a decoder, that reads a sequence segment by segment with a memory between segments.
///
///     branch    x' = x + read(state, norm x),   h = layer(x'),   next = write(state, norm h)           per layer
///     context   h = layer(x) with read(state) as earlier keys and values,   next = write(state, x)    per layer
///     tokens    z = norm(layers(read(state, x))),   y = z at the tokens,   next = write(state, z)      once
///     y = norm(h of the last layer), if the encoder ends with a norm; the rows of tokens pass it too
///
/// The norms before reading and writing exist if the layers' norms come first: then their inputs are not normalised.
/// With `next` null nothing is written. Positions are the caller's or, better, the layers' own (rotary, relative).
///
/// Source:  see the memories; the contract is in memory/memory.hpp.
/// Shapes:  x, y [tokens, d_model].
/// Errors:  ValueError for sizes that do not fit; ShapeError if x, dy or a state does not.
/// Threads: const; one encoder serves any number of threads, each with states and caches of its own.
template <class T, class Memory>
class RecurrentEncoder {
 public:
  static constexpr Index kEveryLayer = -1;

  struct Config {
    typename TransformerEncoder<T>::Config encoder;
    typename Memory::Config memory;    ///< Its `features` are the encoder's d_model.
    Index memory_layer = kEveryLayer;  ///< The one layer with a memory; tokens pass through all.
    bool causal = false;
  };

  struct Parameters {
    TransformerEncoder<T> encoder;
    std::deque<Memory> memories;                       // one for each layer that has one, or for the stack
    std::deque<LayerNorm<T>> read_norms, write_norms;  // of branches, if the layers' norms come first

    template <class Visitor, class... P>
    static void visit(Visitor&& visitor, P&... p) {
      visit_layer("encoder", visitor, p.encoder...);
      visit_layers("memories", visitor, p.memories...);
      visit_layers("read_norms", visitor, p.read_norms...);
      visit_layers("write_norms", visitor, p.write_norms...);
    }
  };

  /// One state for each memory.
  struct State {
    std::vector<typename Memory::State> memories;

    template <class Visitor, class... S>
    static void visit(Visitor&& visitor, S&... s) {
      visit_values("memories", visitor, s.memories...);
    }
  };

  /// The tokens of a segment: sequence b of the batch goes on with its tokens, if it has any.
  struct Segment {
    ConstMatrixView<T> tokens;
    const Sequences* sequences = nullptr;
  };

  using Output = ConstMatrixView<T>;

  /// What the forward of one segment leaves for its backward; x and the states must live until then.
  struct Cache {
    struct Layer {
      typename EncoderLayer<T>::Cache layer;
      typename Memory::ReadCache read;
      typename Memory::WriteCache write;
      typename LayerNorm<T>::Cache read_norm, write_norm;
      Matrix<T> x, dx, dh;  // [tokens, d_model]
    };
    std::deque<Layer> layers;
    typename LayerNorm<T>::Cache norm;
    bool written = false;
  };

  RecurrentEncoder(const Config& config, const Random& random)
      : config_(config), parameters_{TransformerEncoder<T>(config.encoder, random.split(0)), {}, {}, {}} {
    check_is_memory<T, Memory>();
    const Index layers = config.encoder.num_layers;
    check_value(config.memory_layer >= kEveryLayer && config.memory_layer < layers, "RecurrentEncoder: memory_layer",
                config.memory_layer, "-1 or below num_layers, ", layers);
    check_value(layers >= 1 || place() != MemoryPlace::tokens, "RecurrentEncoder: num_layers", layers,
                "at least 1 with memory tokens");
    config_.memory.features = config.encoder.layer.d_model;
    if constexpr (may_be_at(MemoryPlace::tokens)) config_.memory.causal = config.causal;
    for (Index i = 0; i < memories(); ++i) {
      parameters_.memories.emplace_back(config_.memory, random.split(static_cast<std::uint64_t>(i) + 1));
      if (place() != MemoryPlace::branch || !config.encoder.layer.norm_first) continue;
      parameters_.read_norms.emplace_back(config.encoder.layer.norm_config());
      parameters_.write_norms.emplace_back(config.encoder.layer.norm_config());
    }
  }

  [[nodiscard]] const Config& config() const { return config_; }
  [[nodiscard]] const Parameters& parameters() const { return parameters_; }
  [[nodiscard]] Parameters& parameters() { return parameters_; }

  /// What a batch of sequences remembers before its first segment.
  void initial(Index batch, State& state) const {
    state.memories.resize(parameters_.memories.size());
    for (std::size_t i = 0; i < state.memories.size(); ++i) parameters_.memories[i].initial(batch, state.memories[i]);
  }
  void initial_backward(const State& dstate, Parameters& grads) const {
    for (std::size_t i = 0; i < parameters_.memories.size(); ++i) {
      parameters_.memories[i].initial_backward(dstate.memories[i], grads.memories[i].parameters());
    }
  }

  /// One segment; `next` receives what is remembered after it, and may be null.
  ConstMatrixView<T> forward(const Segment& segment, const State& state, State* next, const Dropout& dropout,
                             Cache& cache) const {
    check_shape("RecurrentEncoder::forward: x", segment.tokens, {kAny, config_.encoder.layer.d_model});
    check_sequences("RecurrentEncoder::forward: x", segment.tokens.rows(), segment.sequences);
    check_value(state.memories.size() == parameters_.memories.size(), "RecurrentEncoder::forward: the state's memories",
                static_cast<Index>(state.memories.size()), "those of the encoder, ", memories());
    const Stack& layers = parameters_.encoder.parameters().layers;
    if (cache.layers.size() < layers.size()) cache.layers.resize(layers.size());
    if (next != nullptr) next->memories.resize(parameters_.memories.size());
    cache.written = next != nullptr;
    ConstMatrixView<T> x = segment.tokens;
    const Sequences* sequences = segment.sequences;
    AttentionCall<T> call{config_.causal ? AttentionMask<T>::causal() : AttentionMask<T>::none(), dropout};
    if constexpr (may_be_at(MemoryPlace::tokens)) {
      if (place() == MemoryPlace::tokens) {
        x = memory(0).read(state.memories[0], x, *sequences, cache.layers[0].read);
        sequences = &memory(0).rows_of(cache.layers[0].read);
        call.mask = memory(0).mask(cache.layers[0].read);
      }
    }
    for (std::size_t i = 0; i < layers.size(); ++i) {
      const AttentionCall<T> layer_call{call.mask, dropout.split(i)};
      x = forward_layer(i, x, *sequences, state, next, layer_call, cache.layers[i]);
    }
    const auto& norm = parameters_.encoder.parameters().norm;
    if (norm) x = norm->forward(x, cache.norm);
    if constexpr (may_be_at(MemoryPlace::tokens)) {
      if (place() == MemoryPlace::tokens) {
        typename Cache::Layer& first = cache.layers[0];
        if (next != nullptr) memory(0).write(state.memories[0], x, *sequences, next->memories[0], first.write);
        x = memory(0).tokens_of(x, first.read);
      }
    }
    return x;
  }

  /// The gradient of x. Adds to `dstate` and `grads`; `dnext`, the gradient of what the forward wrote, may be null.
  ConstMatrixView<T> backward(ConstMatrixView<T> dy, const State* dnext, const State& state, Cache& cache,
                              State& dstate, Parameters& grads) const {
    if (!cache.written) dnext = nullptr;
    ConstMatrixView<T> d = dy;
    if constexpr (may_be_at(MemoryPlace::tokens)) {
      if (place() == MemoryPlace::tokens) {
        typename Cache::Layer& first = cache.layers[0];
        d = memory(0).tokens_of_backward(d, first.read);
        if (dnext != nullptr) d = sum<T>(d, write_backward(0, *dnext, state, first, dstate, grads), first.dh);
      }
    }
    const auto& norm = parameters_.encoder.parameters().norm;
    if (norm) d = norm->backward(d, cache.norm, grads.encoder.parameters().norm->parameters());
    for (std::size_t i = parameters_.encoder.parameters().layers.size(); i-- > 0;) {
      d = backward_layer(i, d, dnext, state, cache.layers[i], dstate, grads);
    }
    return place() == MemoryPlace::tokens ? read_backward(0, d, state, cache.layers[0], dstate, grads) : d;
  }

 private:
  using Stack = std::deque<EncoderLayer<T>>;

  /// Whether a memory of this class can enter here: whether this one does, `place` says.
  [[nodiscard]] static constexpr bool may_be_at(MemoryPlace place) {
    return Memory::kPlace == place || Memory::kPlace == MemoryPlace::chosen;
  }
  [[nodiscard]] MemoryPlace place() const { return place_of<Memory>(config_.memory); }
  [[nodiscard]] Index memories() const {
    if (place() == MemoryPlace::nowhere) return 0;
    if (place() == MemoryPlace::tokens || config_.memory_layer != kEveryLayer) return 1;
    return config_.encoder.num_layers;
  }
  /// Which memory layer i has, if any: branch and context.
  [[nodiscard]] std::optional<std::size_t> memory_of(std::size_t layer) const {
    if (place() != MemoryPlace::branch && place() != MemoryPlace::context) return std::nullopt;
    if (config_.memory_layer == kEveryLayer) return layer;
    return static_cast<std::size_t>(config_.memory_layer) == layer ? std::optional<std::size_t>(0) : std::nullopt;
  }
  [[nodiscard]] const Memory& memory(std::size_t i) const { return parameters_.memories[i]; }

  [[nodiscard]] ConstMatrixView<T> forward_layer(std::size_t i, ConstMatrixView<T> x, const Sequences& sequences,
                                                 const State& state, State* next, const AttentionCall<T>& call,
                                                 typename Cache::Layer& cache) const {
    const EncoderLayer<T>& layer = parameters_.encoder.parameters().layers[i];
    const std::optional<std::size_t> m = memory_of(i);
    if (!m) return layer.forward(x, sequences, call, cache.layer);
    if constexpr (may_be_at(MemoryPlace::context)) {
      if (place() == MemoryPlace::context) {
        const auto rows = memory(*m).read(state.memories[*m], x, sequences, cache.read);
        const EarlierTokens<T> earlier{rows, &memory(*m).rows_of(cache.read)};
        const auto h = layer.forward(x, sequences, earlier, call, cache.layer);
        if (next != nullptr) memory(*m).write(state.memories[*m], x, sequences, next->memories[*m], cache.write);
        return h;
      }
    }
    const bool norms = !parameters_.read_norms.empty();
    const auto query = norms ? parameters_.read_norms[*m].forward(x, cache.read_norm) : x;
    const auto r = memory(*m).read(state.memories[*m], query, sequences, cache.read);
    const auto h = layer.forward(sum<T>(x, r, cache.x), sequences, call, cache.layer);
    if (next == nullptr) return h;
    const auto written = norms ? parameters_.write_norms[*m].forward(h, cache.write_norm) : h;
    memory(*m).write(state.memories[*m], written, sequences, next->memories[*m], cache.write);
    return h;
  }

  [[nodiscard]] ConstMatrixView<T> backward_layer(std::size_t i, ConstMatrixView<T> dh, const State* dnext,
                                                  const State& state, typename Cache::Layer& cache, State& dstate,
                                                  Parameters& grads) const {
    const EncoderLayer<T>& layer = parameters_.encoder.parameters().layers[i];
    auto& layer_grads = grads.encoder.parameters().layers[i].parameters();
    const std::optional<std::size_t> m = memory_of(i);
    if (!m) return layer.backward(dh, cache.layer, layer_grads);
    if (place() == MemoryPlace::context) {
      const auto d = layer.backward_with_earlier(dh, cache.layer, layer_grads);
      static_cast<void>(read_backward(*m, d.dearlier, state, cache, dstate, grads));
      return dnext == nullptr ? d.dx : sum<T>(d.dx, write_backward(*m, *dnext, state, cache, dstate, grads), cache.dx);
    }
    const bool norms = !parameters_.read_norms.empty();
    if (dnext != nullptr) {
      auto d = write_backward(*m, *dnext, state, cache, dstate, grads);
      if (norms) d = parameters_.write_norms[*m].backward(d, cache.write_norm, grads.write_norms[*m].parameters());
      dh = sum<T>(dh, d, cache.dh);
    }
    const auto dx = layer.backward(dh, cache.layer, layer_grads);
    auto d = read_backward(*m, dx, state, cache, dstate, grads);
    if (norms) d = parameters_.read_norms[*m].backward(d, cache.read_norm, grads.read_norms[*m].parameters());
    return sum<T>(dx, d, cache.dx);
  }

  [[nodiscard]] ConstMatrixView<T> read_backward(std::size_t m, ConstMatrixView<T> dr, const State& state,
                                                 typename Cache::Layer& cache, State& dstate, Parameters& grads) const {
    return memory(m).read_backward(dr, state.memories[m], cache.read, dstate.memories[m],
                                   grads.memories[m].parameters());
  }
  [[nodiscard]] ConstMatrixView<T> write_backward(std::size_t m, const State& dnext, const State& state,
                                                  typename Cache::Layer& cache, State& dstate,
                                                  Parameters& grads) const {
    return memory(m).write_backward(dnext.memories[m], state.memories[m], cache.write, dstate.memories[m],
                                    grads.memories[m].parameters());
  }

  Config config_;
  Parameters parameters_;
};

}  // namespace MAT_ABI
}  // namespace mat
