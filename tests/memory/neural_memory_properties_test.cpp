#include "memory/neural_memory_streams.hpp"

namespace neural_memory_properties_test {

using namespace neural_memory_test;

TEST_CASE("P3: where only the second map can learn, a chunk of one token is the delta rule", "[memory]") {
  // relu(K W1) = size K for keys that are not negative. Then what W2 learns is size^2 faster than all else.
  constexpr double kSize = 1e6;
  constexpr Index kKey = 3;
  std::vector<double> numbers(static_cast<std::size_t>(FastWeights<double>::size_of(kKey, kKey))),
      step_numbers = numbers;
  std::vector<double> zeros = numbers, next_momentum = numbers, gradient = numbers;
  const auto network = [](std::vector<double>& of) { return FastWeights<double>(of.data(), kKey, kKey); };
  FastWeights<double> w = network(numbers), next = network(step_numbers);
  for (Index i = 0; i < kKey; ++i) w.fc1_weight(i, i) = kSize;
  Matrix<double> s({kKey, kKey});  // the delta rule's: [key, value]
  Matrix<double> hidden({1, kKey}), dhidden({1, kKey}), error({1, kKey}), weighted({1, kKey});
  for (std::uint64_t t = 0; t < 20; ++t) {
    auto k = random_tensor<double, 2>({1, kKey}, 10 + t);
    const auto v = random_tensor<double, 2>({1, kKey}, 40 + t);
    k.matrix() = k.matrix().cwiseAbs() / k.matrix().norm();
    const double beta = Random(3).uniform(t);
    const Matrix<double> rate({1, 1}, {beta / (kSize * kSize)});
    SurpriseTape<double> tape;
    tape.hidden = hidden, tape.dhidden = dhidden, tape.error = error, tape.weighted_error = weighted;
    tape.gradient = network(gradient);
    surprise_forward<double>(w, {k, v, rate}, tape, {});
    fast_weight_step_forward<double>({}, {w, network(zeros), w, tape.gradient}, next, network(next_momentum));
    std::swap(w, next);
    s.matrix() += k.matrix().transpose() * (beta * (v.matrix() - k.matrix() * s.matrix()));
    const Matrix<double> q({1, kKey}, {0.3, 0.5, 0.2});
    fast_weights_forward<double>(w, q, hidden, error);
    CHECK((error.matrix() - q.matrix() * s.matrix()).norm() < 1e-9);
  }
}

TEST_CASE("P5: a stream may be cut anywhere between chunks", "[memory]") {
  auto config = everything();
  config.chunk = 2;
  const NeuralMemory<double> memory(config, Random(7));
  const auto h = random_tensor<double, 2>({12, 4}, 5);
  const auto whole = written(memory, h, {12});
  for (const auto& lengths : std::vector<std::vector<Index>>{{2, 10}, {4, 0, 8}, {2, 2, 2, 2, 2, 2}, {6, 6}}) {
    CHECK(same_state(written(memory, h, lengths), whole));
  }
  CHECK_FALSE(same_state(written(memory, h, {3, 9}), whole));
}

TEST_CASE("P10: a state is all that a stream goes on with, and streams do not leak into each other", "[memory]") {
  const NeuralMemory<float>::Config config = [] {
    NeuralMemory<float>::Config c;
    c.features = 16;
    c.chunk = 3;
    return c;
  }();
  const NeuralMemory<float> memory(config, Random(1));
  const auto a = random_tensor<float, 2>({20, 16}, 2), b = random_tensor<float, 2>({20, 16}, 3, 1e3);
  const auto expected = written(memory, a, {5, 5, 5, 5});
  NeuralMemory<float>::State state, other, next;
  NeuralMemory<float>::WriteCache cache;
  memory.initial(1, state);
  memory.initial(1, other);
  for (Index first = 0; first < 20; first += 5) {
    memory.write(state, a.view().middle_rows(first, 5), Sequences::single(5), next, cache);
    state = NeuralMemory<float>::State(next);  // a copy in the middle of the stream
    memory.write(other, b.view().middle_rows(first, 5), Sequences::single(5), next, cache);
    other = next;
  }
  CHECK(same_state(state, expected));
}

TEMPLATE_TEST_CASE("P6: a sequence is written and read with the same bits alone and in any batch", "[memory]", float,
                   double) {
  using T = TestType;
  typename NeuralMemory<T>::Config config;
  config.features = 17;
  config.key_dim = 9;
  config.hidden = 21;
  config.chunk = 4;
  const NeuralMemory<T> memory(config, Random(1));
  const Sequences batch({5, 0, 13, 1});
  const auto h = random_tensor<T, 2>({batch.rows(), 17}, 2);
  typename NeuralMemory<T>::State start, state, alone_state;
  typename NeuralMemory<T>::WriteCache write;
  typename NeuralMemory<T>::ReadCache read, alone_read;
  memory.initial(4, start);
  memory.write(start, h, batch, state, write);
  const auto r = memory.read(state, h, batch, read);
  for (Index b = 0; b < batch.count(); ++b) {
    const Matrix<T> rows(h.view().middle_rows(batch.begin(b), batch.length(b)));
    memory.initial(1, start);
    memory.write(start, rows, Sequences::single(rows.rows()), alone_state, write);
    CHECK(same_bits<T>(alone_state.weights.fc1_weight.view(), state.weights.fc1_weight.view().middle_rows(21 * b, 21)));
    CHECK(same_bits<T>(memory.read(alone_state, rows, Sequences::single(rows.rows()), alone_read),
                       r.middle_rows(batch.begin(b), batch.length(b))));
  }
}

TEST_CASE("P12: every parameter learns from what is read two segments later", "[memory]") {
  for (const auto gradient : {WriteGradient::exact, WriteGradient::first_order}) {
    auto config = everything();
    config.gradient = gradient;
    const NeuralMemory<double> memory(config, Random(7));
    Streams<double> streams(memory);
    (void)streams.loss(memory);
    for (std::size_t i = 0; i < 4; ++i) streams.dr[i].fill(0);
    zero_state_like(streams.states.back(), streams.dlast);
    std::vector<Matrix<double>> dx, dh;
    auto grads = zeros_like(memory.parameters());
    streams.backward(memory, dx, dh, grads);
    for_each_parameter(
        [](const ParameterName& name, const auto& g) {
          INFO(name.str());
          double largest = 0;
          for (Index i = 0; i < g.size(); ++i) largest = std::max(largest, std::abs(g.data()[i]));
          CHECK(largest > 1e-6);
        },
        grads);
  }
}

TEST_CASE("P13: a chunk of fewer tokens is written too", "[memory]") {
  auto config = everything();
  config.chunk = 64;
  const NeuralMemory<double> memory(config, Random(7));
  const auto h = random_tensor<double, 2>({3, 4}, 5);
  NeuralMemory<double>::State start;
  memory.initial(1, start);
  CHECK(distance(written(memory, h, {3}), start) > 1e-2);
  CHECK(distance(written(memory, h, {1}), written(memory, h, {2})) > 1e-2);
}

}  // namespace neural_memory_properties_test
