#pragma once

#include <mat/core/sequences.hpp>
#include <mat/layers/parameters.hpp>

#include <algorithm>
#include <cassert>
#include <cmath>
#include <type_traits>
#include <utility>

namespace mat {
inline namespace MAT_ABI {

// The contract of a memory that persists: what is read from it is a function of a state, and what is written to it is
// the next state. A stream of any length is read segment by segment, at constant cost and size.
//
//     memory.initial(batch, state)                       one value for all sequences of a batch
//     r = memory.read(state, x, sequences, cache)        before the layer: what the past says to each token
//     memory.write(state, h, sequences, next, cache)     after it: `next` is what the segment leaves behind
//
// Laws. Reading comes before writing in every segment, so that nothing of a segment reaches itself through the memory.
// `write` is out of place: a state that was is never changed, so a checkpoint, a fork or a resumed stream is a copy. A
// sequence without tokens in a segment keeps its state, to the bit. The backwards add to `dstate` and `grads`. What a
// sequence reads or writes depends on that sequence alone.
//
// A memory is a class M<T> with
//
//     static constexpr MemoryPlace kPlace
//     Config            with `Index features`, which the stack sets to its d_model
//     M(const Config&, const Random&)
//     Parameters (with visit), parameters()                                              as every layer
//     State             plain tensors and `static void visit(visitor, state...)`, as Parameters: each holds as many
//                       numbers for every sequence of the batch, one sequence after the other. It is also the type of
//                       its gradient, in which tensors that have no gradient stay 0
//     ReadCache, WriteCache
//     void initial(Index batch, State& state) const
//     ConstMatrixView<T> read(const State&, ConstMatrixView<T> x, const Sequences&, ReadCache&) const
//     void write(const State&, ConstMatrixView<T> h, const Sequences&, State& next, WriteCache&) const
//     ConstMatrixView<T> read_backward(ConstMatrixView<T> dr, const State&, ReadCache&, State& dstate,
//                                      Parameters& grads) const
//     ConstMatrixView<T> write_backward(const State& dnext, const State&, WriteCache&, State& dstate,
//                                       Parameters& grads) const
//     void initial_backward(const State& dstate, Parameters& grads) const
//
// and, if its rows are context or tokens,
//
//     const Sequences& rows_of(const ReadCache&) const                which of the rows that read returned are whose
//
// Rows that are context must not depend on x: the stack drops the dx of their read_backward. And, if they are tokens,
// whose write is given the stack's output with the sequences of rows_of, Config::causal, and as MemoryTokens has them
//
//     AttentionMask<T> mask(const ReadCache&) const                                     who sees whom among those rows
//     ConstMatrixView<T> tokens_of(ConstMatrixView<T> z, ReadCache&) const              what of the stack's output is y
//     ConstMatrixView<T> tokens_of_backward(ConstMatrixView<T> dy, ReadCache&) const
//
// read_backward returns dx, write_backward returns dh, both living in the cache; x, h and the states of the forward
// must live until then. The equations are with each memory.

/// Where a memory enters a stack of layers.
enum class MemoryPlace {
  nowhere,  ///< The stack as it is, to compare with.
  branch,   ///< A row for each token of a layer's input, added to it; the layer's output is written.
  context,  ///< Earlier rows that a layer attends to before its own; the layer's input is written.
  tokens,   ///< Rows that pass through the whole stack beside the segment's own; what becomes of them is written.
  chosen,   ///< One of the others, by the config's `place()`.
};

/// Where a memory with this config enters.
template <class Memory>
[[nodiscard]] MemoryPlace place_of(const typename Memory::Config& config) {
  if constexpr (Memory::kPlace == MemoryPlace::chosen) {
    return config.place();
  } else {
    static_cast<void>(config);
    return Memory::kPlace;
  }
}

namespace detail {

template <class M, class = void>
struct HasMemoryTypes : std::false_type {};
template <class M>
struct HasMemoryTypes<M, std::void_t<typename M::Config, typename M::Parameters, typename M::State,
                                     typename M::ReadCache, typename M::WriteCache, decltype(M::kPlace)>>
    : std::true_type {};

template <class T, class M, class = void>
struct ReadsMemory : std::false_type {};
template <class T, class M>
struct ReadsMemory<T, M,
                   std::void_t<decltype(std::declval<const M&>().initial(Index{1}, std::declval<typename M::State&>())),
                               decltype(ConstMatrixView<T>(std::declval<const M&>().read(
                                   std::declval<const typename M::State&>(), std::declval<ConstMatrixView<T>>(),
                                   std::declval<const Sequences&>(), std::declval<typename M::ReadCache&>())))>>
    : std::true_type {};

template <class T, class M, class = void>
struct WritesMemory : std::false_type {};
template <class T, class M>
struct WritesMemory<
    T, M,
    std::void_t<decltype(std::declval<const M&>().write(
        std::declval<const typename M::State&>(), std::declval<ConstMatrixView<T>>(), std::declval<const Sequences&>(),
        std::declval<typename M::State&>(), std::declval<typename M::WriteCache&>()))>> : std::true_type {};

template <class T, class M, class = void>
struct LearnsMemory : std::false_type {};
template <class T, class M>
struct LearnsMemory<
    T, M,
    std::void_t<decltype(ConstMatrixView<T>(std::declval<const M&>().read_backward(
                    std::declval<ConstMatrixView<T>>(), std::declval<const typename M::State&>(),
                    std::declval<typename M::ReadCache&>(), std::declval<typename M::State&>(),
                    std::declval<typename M::Parameters&>()))),
                decltype(ConstMatrixView<T>(std::declval<const M&>().write_backward(
                    std::declval<const typename M::State&>(), std::declval<const typename M::State&>(),
                    std::declval<typename M::WriteCache&>(), std::declval<typename M::State&>(),
                    std::declval<typename M::Parameters&>()))),
                decltype(std::declval<const M&>().initial_backward(std::declval<const typename M::State&>(),
                                                                   std::declval<typename M::Parameters&>()))>>
    : std::true_type {};

template <class M, class = void>
struct TellsRows : std::false_type {};
template <class M>
struct TellsRows<
    M, std::void_t<decltype(std::declval<const M&>().rows_of(std::declval<const typename M::ReadCache&>()).count())>>
    : std::true_type {};

}  // namespace detail

/// Stops the compiler with a sentence unless M keeps the contract above for the scalar T.
template <class T, class M>
constexpr void check_is_memory() {
  static_assert(detail::HasMemoryTypes<M>::value,
                "a memory has the types Config, Parameters, State, ReadCache and WriteCache, and kPlace: "
                "see mat/memory/memory.hpp");
  static_assert(std::is_copy_constructible_v<typename M::State> && std::is_copy_assignable_v<typename M::State>,
                "the state of a memory is a plain value that can be copied");
  static_assert(detail::ReadsMemory<T, M>::value,
                "a memory has initial(batch, state) and read(state, x, sequences, cache) -> ConstMatrixView<T>, const");
  static_assert(detail::WritesMemory<T, M>::value,
                "a memory has write(state, h, sequences, next, cache), const: it must not change the state it reads");
  static_assert(
      detail::LearnsMemory<T, M>::value,
      "a memory has read_backward(dr, state, cache, dstate, grads) -> dx, write_backward(dnext, state, cache, "
      "dstate, grads) -> dh and initial_backward(dstate, grads), const");
  static_assert(M::kPlace == MemoryPlace::nowhere || M::kPlace == MemoryPlace::branch || detail::TellsRows<M>::value,
                "a memory whose rows are context or tokens has rows_of(cache) -> const Sequences&, const");
}

// The tensors of states are walked by for_each_parameter, as those of parameters are.

/// The bytes of the numbers of a state.
template <class State>
[[nodiscard]] Index state_bytes(const State& state) {
  Index bytes = 0;
  for_each_parameter(
      [&](const ParameterName&, const auto& tensor) {
        bytes += tensor.size() * static_cast<Index>(sizeof(typename std::decay_t<decltype(tensor)>::Scalar));
      },
      state);
  return bytes;
}

/// True if all tensors are equal.
template <class State>
[[nodiscard]] bool same_state(const State& a, const State& b) {
  bool same = true;
  for_each_parameter([&](const ParameterName&, const auto& x, const auto& y) { same = same && x == y; }, a, b);
  return same;
}

/// The root of the sum of all squares: not finite if something of the state is not.
template <class State>
[[nodiscard]] double state_norm(const State& state) {
  double squares = 0;
  for_each_parameter(
      [&](const ParameterName&, const auto& tensor) {
        for (Index i = 0; i < tensor.size(); ++i) {
          squares += static_cast<double>(tensor.data()[i]) * static_cast<double>(tensor.data()[i]);
        }
      },
      state);
  return std::sqrt(squares);
}

/// Copies what a state keeps for its sequence `from_sequence` to `to_sequence` of another, of batches of these sizes.
template <class State>
void copy_sequence_of_state(const State& from, Index from_sequence, Index from_batch, State& to, Index to_sequence,
                            Index to_batch) {
  for_each_parameter(
      [&](const ParameterName&, auto& target, const auto& source) {
        const Index numbers = source.size() / from_batch;
        assert(numbers * from_batch == source.size() && numbers * to_batch == target.size());
        std::copy_n(source.data() + from_sequence * numbers, numbers, target.data() + to_sequence * numbers);
        static_cast<void>(to_batch);
      },
      to, from);
}

/// Sets to 0 what a state, the gradient of one, keeps for one sequence of its batch.
template <class State>
void zero_sequence_of_state(State& state, Index sequence, Index batch) {
  for_each_parameter(
      [&](const ParameterName&, auto& tensor) {
        const Index numbers = tensor.size() / batch;
        std::fill_n(tensor.data() + sequence * numbers, numbers, typename std::decay_t<decltype(tensor)>::Scalar(0));
      },
      state);
}

/// A state of zeros of the same shapes: a gradient before the first backward. Reuses the memory of `zeros`.
template <class State>
void zero_state_like(const State& state, State& zeros) {
  zeros = state;
  for_each_parameter(
      [](const ParameterName&, auto& tensor) { tensor.fill(typename std::decay_t<decltype(tensor)>::Scalar(0)); },
      zeros);
}

}  // namespace MAT_ABI
}  // namespace mat
