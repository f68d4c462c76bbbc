#include "support/bits.hpp"
#include "support/catch.hpp"
#include "support/threads.hpp"

#include <mat/memory/delta_cache.hpp>
#include <mat/memory/delta_memory.hpp>
#include <mat/memory/infini_attention.hpp>
#include <mat/memory/knn_memory.hpp>
#include <mat/memory/memory_tokens.hpp>
#include <mat/memory/neural_memory.hpp>
#include <mat/memory/segment_cache.hpp>

namespace memory_threads_test {

using namespace mat;
using mat::test::random_tensor;

namespace {

constexpr Index kFeatures = 64;

/// Enough tokens that the smallest product of a memory, one of 16 x 16 for each head, is shared among threads.
const Sequences& sequences() {
  static const Sequences ragged({1200, 1, 0, 900, 700});
  return ragged;
}
static_assert(2801 * kFeatures * 16 > kParallelGrain);

/// The rows, states and gradients of a segment that follows another.
template <class Memory>
struct Results {
  Matrix<float> r, dx, dh;
  typename Memory::State next, dstate;
  typename Memory::Parameters grads;
};

template <class Memory>
bool same_results(const Results<Memory>& a, const Results<Memory>& b) {
  return test::same_bits(a.r, b.r) && test::same_bits(a.dx, b.dx) && test::same_bits(a.dh, b.dh) &&
         same_state(a.next, b.next) && same_state(a.dstate, b.dstate) && same_state(a.grads, b.grads);
}

template <class Memory>
bool threads_do_not_matter(typename Memory::Config config) {
  config.features = kFeatures;
  const Memory memory(config, Random(1));
  return test::same_for_threads(
      [&] {
        Results<Memory> all{{}, {}, {}, {}, {}, zeros_like(memory.parameters())};
        typename Memory::State state;
        typename Memory::ReadCache read;
        typename Memory::WriteCache write;
        const auto x = random_tensor<float, 2>({sequences().rows(), kFeatures}, 2);
        constexpr bool kTokens = Memory::kPlace == MemoryPlace::tokens;
        const auto segment = [&] {  // memory tokens write what went through the stack beside the tokens
          all.r.assign(memory.read(state, x, sequences(), read));
          if constexpr (kTokens) return memory.write(state, all.r, read.sequences, all.next, write);
          if constexpr (!kTokens) return memory.write(state, x, sequences(), all.next, write);
        };
        memory.initial(sequences().count(), state);
        segment();
        std::swap(state, all.next);
        segment();
        zero_state_like(state, all.dstate);
        const auto dr = random_tensor<float, 2>(all.r.shape(), 3);
        all.dh.assign(memory.write_backward(all.next, state, write, all.dstate, all.grads));
        all.dx.assign(memory.read_backward(dr, state, read, all.dstate, all.grads));
        return all;
      },
      same_results<Memory>);
}

}  // namespace

TEST_CASE("what a memory reads, writes and learns has the same bits for any number of threads", "[memory]") {
  CHECK(threads_do_not_matter<DeltaMemory<float>>({}));
  DeltaMemory<float>::Config additive;
  additive.rule = LinearAttentionRule::additive;
  CHECK(threads_do_not_matter<DeltaMemory<float>>(additive));
  CHECK(threads_do_not_matter<NeuralMemory<float>>({}));
  CHECK(threads_do_not_matter<MemoryTokens<float>>({}));
  SegmentCache<float>::Config cache;
  cache.gradient = StateGradient::through;
  CHECK(threads_do_not_matter<SegmentCache<float>>(cache));
  CHECK(threads_do_not_matter<DeltaCache<float>>({}));
  KnnMemory<float>::Config knn;
  knn.capacity = 256;
  CHECK(threads_do_not_matter<KnnMemory<float>>(knn));
}

TEST_CASE("InfiniAttention has the same bits for any number of threads", "[memory]") {
  InfiniAttention<float>::Config config;
  config.features = kFeatures;
  config.heads = 4;
  const InfiniAttention<float> layer(config, Random(1));
  const auto x = random_tensor<float, 2>({sequences().rows(), kFeatures}, 2);
  const auto run = [&] {
    InfiniAttention<float>::State state, next, dstate;
    InfiniAttention<float>::Cache cache;
    auto grads = zeros_like(layer.parameters());
    layer.initial(sequences().count(), state);
    (void)layer.forward(state, x, sequences(), next, cache);
    std::swap(state, next);
    const Matrix<float> y(layer.forward(state, x, sequences(), next, cache));
    zero_state_like(state, dstate);
    const Matrix<float> dx(layer.backward(y, next, state, cache, dstate, grads));
    return std::tuple(y, dx, next, dstate, grads);
  };
  CHECK(test::same_for_threads(run, [](const auto& a, const auto& b) {
    return test::same_bits(std::get<0>(a), std::get<0>(b)) && test::same_bits(std::get<1>(a), std::get<1>(b)) &&
           same_state(std::get<2>(a), std::get<2>(b)) && same_state(std::get<3>(a), std::get<3>(b)) &&
           same_state(std::get<4>(a), std::get<4>(b));
  }));
}

}  // namespace memory_threads_test
