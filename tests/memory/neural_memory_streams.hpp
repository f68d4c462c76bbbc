#pragma once

#include "support/bits.hpp"
#include "support/catch.hpp"
#include "support/gradients.hpp"

#include <mat/memory/neural_memory.hpp>

namespace neural_memory_test {

// Streams that neural memories read and write.

using namespace mat;
using mat::test::gradient_error;
using mat::test::inner_product;
using mat::test::largest_difference;
using mat::test::parameter_gradient_error;
using mat::test::random_tensor;
using mat::test::same_bits;

/// A stream of segments for two sequences, one of which is empty now and then, and a loss of what each segment reads
/// and of the last state.
template <class T>
struct Streams {
  using Memory = NeuralMemory<T>;
  using State = typename Memory::State;

  std::vector<Sequences> sequences{Sequences({3, 2}), Sequences({0, 4}), Sequences({5, 1}), Sequences({2, 0}),
                                   Sequences({1, 3})};
  std::vector<Matrix<T>> x, h, dr;
  State dlast;
  std::vector<State> states;
  std::vector<typename Memory::ReadCache> reads;
  std::vector<typename Memory::WriteCache> writes;

  explicit Streams(const Memory& memory, std::uint64_t seed = 10) : states(6), reads(5), writes(5) {
    for (std::size_t i = 0; i < sequences.size(); ++i) {
      const Shape<2> shape{sequences[i].rows(), memory.config().features};
      x.push_back(random_tensor<T, 2>(shape, seed + 10 * i));
      h.push_back(random_tensor<T, 2>(shape, seed + 10 * i + 1));
      dr.push_back(random_tensor<T, 2>(shape, seed + 10 * i + 2));
    }
    memory.initial(2, dlast);
    std::uint64_t stream = 0;
    for_each_parameter([&](const ParameterName&, Matrix<T>& t) { initialize_normal<T>(t, 1, Random(seed, ++stream)); },
                       dlast);
  }

  double loss(const Memory& memory) {
    double sum = 0;
    memory.initial(2, states[0]);
    for (std::size_t i = 0; i < x.size(); ++i) {
      sum += inner_product(memory.read(states[i], x[i], sequences[i], reads[i]), dr[i]);
      memory.write(states[i], h[i], sequences[i], states[i + 1], writes[i]);
    }
    for_each_parameter([&](const ParameterName&, const Matrix<T>& a,
                           const Matrix<T>& b) { sum += inner_product(ConstMatrixView<T>(a), b); },
                       states.back(), dlast);
    return sum;
  }

  void backward(const Memory& memory, std::vector<Matrix<T>>& dx, std::vector<Matrix<T>>& dh,
                typename Memory::Parameters& grads) {
    State dnext = dlast, dstate;
    dx.resize(x.size());
    dh.resize(x.size());
    for (std::size_t i = x.size(); i-- > 0;) {
      zero_state_like(states[i], dstate);
      dh[i].assign(memory.write_backward(dnext, states[i], writes[i], dstate, grads));
      dx[i].assign(memory.read_backward(dr[i], states[i], reads[i], dstate, grads));
      std::swap(dnext, dstate);
    }
    memory.initial_backward(dnext, grads);
  }
};

/// Everything on, and large enough that a gradient shows.
[[nodiscard]] NeuralMemory<double>::Config everything() {
  NeuralMemory<double>::Config config;
  config.features = 4;
  config.key_dim = 3;
  config.hidden = 5;
  config.max_norm = 0.7;
  config.write_rate_max = 1.3;
  config.bias_rate = 0.6;
  config.momentum = 0.4;
  config.forgetting = 0.1;
  return config;
}

/// The largest error of all gradients, at seeds that keep relu's inputs away from its kink; `name` receives that of the
/// worst parameter.
inline double stream_gradient_error(NeuralMemory<double>& memory, std::uint64_t seed, std::string& name) {
  initialize_normal<double>(memory.parameters().write_rate.parameters().weight, 0.5, Random(3));
  Streams<double> streams(memory, seed), scratch = streams;
  (void)streams.loss(memory);
  std::vector<Matrix<double>> dx, dh;
  auto grads = zeros_like(memory.parameters());
  streams.backward(memory, dx, dh, grads);
  const auto loss = [&] { return scratch.loss(memory); };
  double worst = parameter_gradient_error(loss, memory.parameters(), grads, name);
  for (std::size_t i = 0; i < dx.size(); ++i) {
    worst = std::max(worst, gradient_error(loss, scratch.x[i], dx[i]));
    worst = std::max(worst, gradient_error(loss, scratch.h[i], dh[i]));
  }
  return worst;
}

/// The state after writing `h` to a fresh stream in segments of these lengths.
template <class T>
typename NeuralMemory<T>::State written(const NeuralMemory<T>& memory, const Matrix<T>& h,
                                        const std::vector<Index>& lengths) {
  typename NeuralMemory<T>::State state, next;
  typename NeuralMemory<T>::WriteCache cache;
  memory.initial(1, state);
  Index first = 0;
  for (const Index length : lengths) {
    memory.write(state, h.view().middle_rows(first, length), Sequences::single(length), next, cache);
    std::swap(state, next);
    first += length;
  }
  return state;
}

/// The norm of all differences of two states.
template <class State>
double distance(const State& a, const State& b) {
  double squares = 0;
  for_each_parameter(
      [&](const ParameterName&, const auto& x, const auto& y) {
        for (Index i = 0; i < x.size(); ++i) squares += std::pow(static_cast<double>(x.data()[i] - y.data()[i]), 2);
      },
      a, b);
  return std::sqrt(squares);
}

}  // namespace neural_memory_test
