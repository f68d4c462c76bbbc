#pragma once

#include <mat/memory/delta_cache.hpp>
#include <mat/memory/delta_memory.hpp>
#include <mat/memory/knn_memory.hpp>
#include <mat/memory/memory_kind.hpp>
#include <mat/memory/memory_tokens.hpp>
#include <mat/memory/neural_memory.hpp>
#include <mat/memory/no_memory.hpp>
#include <mat/memory/segment_cache.hpp>

#include <variant>

namespace mat {
inline namespace MAT_ABI {

namespace detail {

/// The memories that AnyMemory chooses from.
template <class T>
struct MemoryChoice {
  /// A part of one of them: Part<M> is a type that belongs to the memory M.
  template <template <class> class Part>
  using OneOf = std::variant<Part<NoMemory<T>>, Part<SegmentCache<T>>, Part<MemoryTokens<T>>, Part<DeltaMemory<T>>,
                             Part<NeuralMemory<T>>, Part<KnnMemory<T>>, Part<DeltaCache<T>>>;
  /// In the order of OneOf; the two rules of a delta memory are one class.
  static constexpr MemoryKind kKinds[] = {MemoryKind::none,       MemoryKind::cache,  MemoryKind::tokens,
                                          MemoryKind::delta,      MemoryKind::neural, MemoryKind::knn,
                                          MemoryKind::delta_cache};

  // The memory whose config this is.
  static NoMemory<T> owner(const typename NoMemory<T>::Config&);
  static SegmentCache<T> owner(const typename SegmentCache<T>::Config&);
  static MemoryTokens<T> owner(const typename MemoryTokens<T>::Config&);
  static DeltaMemory<T> owner(const typename DeltaMemory<T>::Config&);
  static NeuralMemory<T> owner(const typename NeuralMemory<T>::Config&);
  static KnnMemory<T> owner(const typename KnnMemory<T>::Config&);
  static DeltaCache<T> owner(const typename DeltaCache<T>::Config&);

  /// The part of one memory among those of any. Errors: ValueError if it is another memory's.
  template <class Part, class Any>
  [[nodiscard]] static auto& part(std::string_view what, Any& any) {
    auto* held = std::get_if<Part>(&any);
    if (held != nullptr) return *held;
    throw_value_error({what, "the memory"}, std::string(name_of(kKinds[any.index()])),
                      std::string(name_of(kKinds[index_of<Part>(any)])));
  }

 private:
  template <class Part, class... Parts>
  [[nodiscard]] static std::size_t index_of(const std::variant<Parts...>&) {
    const bool is_it[] = {std::is_same_v<Part, Parts>...};
    return static_cast<std::size_t>(std::find(std::begin(is_it), std::end(is_it), true) - std::begin(is_it));
  }
};

}  // namespace detail

/// One of the library's memories, chosen by its config when the program runs: models with it are compiled once for all
/// of them. A program that knows its memory uses the class.
///
///     AnyMemory<float>::Config::of(MemoryKind::delta)      or any config of a memory, as `memory`
///
/// Everything is that of the memory which was chosen, to the bit, and so are the names of parameters and states.
///
/// Source:  see the memories.
/// Shapes:  those of the memory.
/// Errors:  the memory's; ValueError for states or gradients of another memory.
/// Threads: as the memory.
template <class T>
class AnyMemory {
  using Choice = detail::MemoryChoice<T>;
  template <template <class> class Part>
  using OneOf = typename Choice::template OneOf<Part>;
  template <class M>
  using Itself = M;
  template <class M>
  using ConfigOf = typename M::Config;
  template <class M>
  using StateOf = typename M::State;
  template <class M>
  using ReadCacheOf = typename M::ReadCache;
  template <class M>
  using WriteCacheOf = typename M::WriteCache;

 public:
  static constexpr MemoryPlace kPlace = MemoryPlace::chosen;

  struct Config {
    Index features = 0;      ///< The memory's.
    bool causal = false;     ///< The stack is causal: memory tokens have to know.
    OneOf<ConfigOf> memory;  ///< Its own `features` and `causal` are replaced by those above.

    /// The config that makes a memory of this kind.
    [[nodiscard]] static Config of(MemoryKind kind, const MemorySize& size = {});
    [[nodiscard]] MemoryPlace place() const {
      return std::visit([](const auto& chosen) { return decltype(Choice::owner(chosen))::kPlace; }, memory);
    }
  };

  struct Parameters {
    OneOf<Itself> memory;

    template <class Visitor, class First, class... Rest>
    static void visit(Visitor&& visitor, First& first, Rest&... rest) {
      std::visit(
          [&](auto& m) {
            using M = std::decay_t<decltype(m)>;
            M::Parameters::visit(visitor, m.parameters(),
                                 Choice::template part<M>("for_each_parameter", rest.memory).parameters()...);
          },
          first.memory);
    }
  };

  struct State {
    OneOf<StateOf> memory;

    template <class Visitor, class First, class... Rest>
    static void visit(Visitor&& visitor, First& first, Rest&... rest) {
      std::visit(
          [&](auto& state) {
            using S = std::decay_t<decltype(state)>;
            S::visit(visitor, state, Choice::template part<S>("for_each_parameter", rest.memory)...);
          },
          first.memory);
    }
  };

  struct ReadCache {
    OneOf<ReadCacheOf> memory;
  };
  struct WriteCache {
    OneOf<WriteCacheOf> memory;
  };

  AnyMemory(const Config& config, const Random& random) : config_(config), parameters_{make(config, random)} {}

  [[nodiscard]] const Config& config() const { return config_; }
  [[nodiscard]] const Parameters& parameters() const { return parameters_; }
  [[nodiscard]] Parameters& parameters() { return parameters_; }

  void initial(Index batch, State& state) const {
    visit([&](const auto& m) { m.initial(batch, room_for<StateOf>(m, state.memory)); });
  }
  void initial_backward(const State& dstate, Parameters& grads) const {
    constexpr std::string_view kWhat = "AnyMemory::initial_backward";
    visit([&](const auto& m) { m.initial_backward(state_of(kWhat, m, dstate), grads_of(kWhat, m, grads)); });
  }

  ConstMatrixView<T> read(const State& state, ConstMatrixView<T> x, const Sequences& sequences,
                          ReadCache& cache) const {
    return visit([&](const auto& m) {
      return m.read(state_of("AnyMemory::read", m, state), x, sequences, room_for<ReadCacheOf>(m, cache.memory));
    });
  }
  void write(const State& state, ConstMatrixView<T> h, const Sequences& sequences, State& next,
             WriteCache& cache) const {
    visit([&](const auto& m) {
      m.write(state_of("AnyMemory::write", m, state), h, sequences, room_for<StateOf>(m, next.memory),
              room_for<WriteCacheOf>(m, cache.memory));
    });
  }
  ConstMatrixView<T> read_backward(ConstMatrixView<T> dr, const State& state, ReadCache& cache, State& dstate,
                                   Parameters& grads) const {
    constexpr std::string_view kWhat = "AnyMemory::read_backward";
    return visit([&](const auto& m) {
      return m.read_backward(dr, state_of(kWhat, m, state), room_for<ReadCacheOf>(m, cache.memory),
                             state_of(kWhat, m, dstate), grads_of(kWhat, m, grads));
    });
  }
  ConstMatrixView<T> write_backward(const State& dnext, const State& state, WriteCache& cache, State& dstate,
                                    Parameters& grads) const {
    constexpr std::string_view kWhat = "AnyMemory::write_backward";
    return visit([&](const auto& m) {
      return m.write_backward(state_of(kWhat, m, dnext), state_of(kWhat, m, state),
                              room_for<WriteCacheOf>(m, cache.memory), state_of(kWhat, m, dstate),
                              grads_of(kWhat, m, grads));
    });
  }

  // What a stack asks of a memory at the places `context` and `tokens`.

  [[nodiscard]] const Sequences& rows_of(const ReadCache& cache) const {
    return visit([&](const auto& m) -> const Sequences& {
      using M = std::decay_t<decltype(m)>;
      if constexpr (detail::TellsRows<M>::value) return m.rows_of(std::get<typename M::ReadCache>(cache.memory));
      throw std::bad_variant_access();  // a stack does not ask memories at other places
    });
  }
  [[nodiscard]] AttentionMask<T> mask(const ReadCache& cache) const {
    return tokens().mask(std::get<typename MemoryTokens<T>::ReadCache>(cache.memory));
  }
  ConstMatrixView<T> tokens_of(ConstMatrixView<T> z, ReadCache& cache) const {
    return tokens().tokens_of(z, std::get<typename MemoryTokens<T>::ReadCache>(cache.memory));
  }
  ConstMatrixView<T> tokens_of_backward(ConstMatrixView<T> dy, ReadCache& cache) const {
    return tokens().tokens_of_backward(dy, std::get<typename MemoryTokens<T>::ReadCache>(cache.memory));
  }

 private:
  [[nodiscard]] static OneOf<Itself> make(const Config& config, const Random& random) {
    return std::visit(
        [&](auto chosen) {
          using M = decltype(Choice::owner(chosen));
          chosen.features = config.features;
          if constexpr (M::kPlace == MemoryPlace::tokens) chosen.causal = config.causal;
          return OneOf<Itself>(std::in_place_type<M>, chosen, random);
        },
        config.memory);
  }

  /// Calls fn(memory).
  template <class Function>
  decltype(auto) visit(Function&& fn) const {
    return std::visit(fn, parameters_.memory);
  }
  [[nodiscard]] const MemoryTokens<T>& tokens() const { return std::get<MemoryTokens<T>>(parameters_.memory); }
  /// The part of a memory, which keeps its buffers from call to call.
  template <template <class> class Part, class M>
  [[nodiscard]] static Part<M>& room_for(const M&, OneOf<Part>& part) {
    if (Part<M>* held = std::get_if<Part<M>>(&part)) return *held;
    return part.template emplace<Part<M>>();
  }
  template <class M, class S>
  [[nodiscard]] static auto& state_of(std::string_view what, const M&, S& state) {
    return Choice::template part<typename M::State>(what, state.memory);
  }
  template <class M>
  [[nodiscard]] static typename M::Parameters& grads_of(std::string_view what, const M&, Parameters& grads) {
    return Choice::template part<M>(what, grads.memory).parameters();
  }

  Config config_;
  Parameters parameters_;
};

template <class T>
typename AnyMemory<T>::Config AnyMemory<T>::Config::of(MemoryKind kind, const MemorySize& size) {
  Config config;
  const auto choose = [&](auto memory) {
    config.memory = memory;
    return config;
  };
  switch (kind) {
    case MemoryKind::none:
      return choose(typename NoMemory<T>::Config());
    case MemoryKind::neural:
      return choose(typename NeuralMemory<T>::Config());
    case MemoryKind::cache: {
      typename SegmentCache<T>::Config cache;
      if (size.rows > 0) cache.length = size.rows;
      return choose(cache);
    }
    case MemoryKind::tokens: {
      typename MemoryTokens<T>::Config tokens;
      if (size.rows > 0) tokens.count = size.rows;
      return choose(tokens);
    }
    case MemoryKind::delta_cache: {
      typename DeltaCache<T>::Config cache;
      if (size.rows > 0) cache.length = size.rows;
      return choose(cache);
    }
    case MemoryKind::knn: {
      typename KnnMemory<T>::Config knn;
      if (size.rows > 0) knn.capacity = size.rows;
      if (size.heads > 0) knn.heads = size.heads;
      return choose(knn);
    }
    case MemoryKind::delta:
    case MemoryKind::additive:
      break;
  }
  typename DeltaMemory<T>::Config delta;
  if (size.heads > 0) delta.heads = size.heads;
  if (kind == MemoryKind::additive) delta.rule = LinearAttentionRule::additive;
  return choose(delta);
}

}  // namespace MAT_ABI
}  // namespace mat
