#include "memory/neural_memory_streams.hpp"

namespace neural_memory_test {

TEST_CASE("the neural memory's gradients agree with central differences over five segments", "[memory]") {
  auto config = everything();
  SECTION("a step for each segment") {}
  SECTION("a step for every two tokens") { config.chunk = 2; }
  SECTION("no limit, no clip, keys of the token itself") {
    config.step_limit = config.max_norm = 0;
    config.shift = false;
  }
  SECTION("the article's query, neither momentum nor forgetting") {
    config.key_dim = 4, config.query = NeuralQuery::identity, config.output_projection = false;
    config.momentum = config.forgetting = 0;
  }
  NeuralMemory<double> memory(config, Random(11));
  std::string name;
  const double error = stream_gradient_error(memory, 10, name);
  INFO(name);
  CHECK(error < 1e-6);
}

TEST_CASE("backward twice adds twice the gradient", "[memory]") {
  const NeuralMemory<double> memory(everything(), Random(7));
  Streams<double> streams(memory);
  (void)streams.loss(memory);
  std::vector<Matrix<double>> dx, dh;
  auto once = zeros_like(memory.parameters()), twice = zeros_like(memory.parameters());
  streams.backward(memory, dx, dh, once);
  streams.backward(memory, dx, dh, twice);
  streams.backward(memory, dx, dh, twice);
  for_each_parameter(
      [](const ParameterName&, const auto& a, const auto& b) {
        for (Index i = 0; i < a.size(); ++i) CHECK(std::abs(2 * a.data()[i] - b.data()[i]) < 1e-12);
      },
      once, twice);
}

TEST_CASE("a write is the gradient step that the equations say", "[memory]") {
  const NeuralMemory<double> memory(everything(), Random(7));
  const auto& c = memory.config();
  const auto& p = memory.parameters();
  const Index n = 3, d = c.key_dim, hidden = c.hidden;
  const auto h = random_tensor<double, 2>({2 * n, c.features}, 4);
  const auto before = written(memory, h, {n}), after = written(memory, h, {n, n});
  const auto w = before.weights.at(0), s = before.momentum.at(0);
  std::vector<double> numbers(static_cast<std::size_t>(FastWeights<double>::size_of(hidden, d)));
  const FastWeights<double> g(numbers.data(), hidden, d);
  Matrix<double> hidden_gram({hidden + 1, hidden + 1}), key_gram({d + 1, d + 1});
  double loss = 0;
  for (Index t = n; t < 2 * n; ++t) {
    std::vector<double> key(static_cast<std::size_t>(d + 1)), u(static_cast<std::size_t>(hidden + 1)), e;
    double length = 0;
    for (Index i = 0; i < d; ++i) {
      double& k = key[static_cast<std::size_t>(i)];
      for (Index j = 0; j < c.features; ++j) k += p.key_proj.parameters().weight(i, j) * h(t - 1, j);
      length += k * k;
    }
    for (double& k : key) k /= std::sqrt(length);
    double logit = p.write_rate.parameters().bias(0);
    for (Index j = 0; j < c.features; ++j) logit += p.write_rate.parameters().weight(0, j) * h(t, j);
    const double rate = c.write_rate_max / (1 + std::exp(-logit));
    for (Index j = 0; j < hidden; ++j) {
      double z = w.fc1_bias(j);
      for (Index i = 0; i < d; ++i) z += w.fc1_weight(j, i) * key[static_cast<std::size_t>(i)];
      u[static_cast<std::size_t>(j)] = std::max(z, 0.0);
    }
    for (Index i = 0; i < d; ++i) {
      double error = w.fc2_bias(i);
      for (Index j = 0; j < hidden; ++j) error += w.fc2_weight(i, j) * u[static_cast<std::size_t>(j)];
      for (Index j = 0; j < c.features; ++j) error -= p.value_proj.parameters().weight(i, j) * h(t, j);
      loss += rate * error * error;
      e.push_back(rate * error);
    }
    for (Index i = 0; i < d; ++i) {
      g.fc2_bias(i) += c.bias_rate * e[static_cast<std::size_t>(i)];
      for (Index j = 0; j < hidden; ++j) {
        g.fc2_weight(i, j) += e[static_cast<std::size_t>(i)] * u[static_cast<std::size_t>(j)];
      }
    }
    for (Index j = 0; j < hidden; ++j) {
      if (u[static_cast<std::size_t>(j)] == 0) continue;
      double delta = 0;
      for (Index i = 0; i < d; ++i) delta += e[static_cast<std::size_t>(i)] * w.fc2_weight(i, j);
      g.fc1_bias(j) += c.bias_rate * delta;
      for (Index i = 0; i < d; ++i) g.fc1_weight(j, i) += delta * key[static_cast<std::size_t>(i)];
    }
    u.back() = key.back() = std::sqrt(c.bias_rate);
    for (Index i = 0; i <= hidden; ++i) {
      for (Index j = 0; j <= hidden; ++j) {
        hidden_gram(i, j) += rate * u[static_cast<std::size_t>(i)] * u[static_cast<std::size_t>(j)];
      }
    }
    for (Index i = 0; i <= d; ++i) {
      for (Index j = 0; j <= d; ++j) {
        key_gram(i, j) += rate * key[static_cast<std::size_t>(i)] * key[static_cast<std::size_t>(j)];
      }
    }
  }
  const auto fc2 = w.fc2_weight.matrix();
  const double keys = key_gram.matrix().norm();
  const double curvature = hidden_gram.matrix().norm() + keys * (fc2 * fc2.transpose()).norm() + std::sqrt(loss * keys);
  const double mu = c.momentum, lambda = c.forgetting;
  const double limit = c.step_limit * (2 - lambda) * (1 + mu) / (1 - mu), step = 1 / (1 + curvature / limit);
  double norm = 0;
  for (const double x : numbers) norm += x * x;
  norm = step * std::sqrt(norm);
  const double factor = (1 - mu) * step * c.max_norm * std::tanh(norm / c.max_norm) / norm;
  const auto w0 = fast_weights_of<const double>(p.start.parameters());
  double worst = 0;
  mat::detail::for_each_fast_weight(
      [&](Index count, const double* w1, const double* s1, const double* a, const double* a0, const double* b,
          const double* gradient) {
        for (Index i = 0; i < count; ++i) {
          const double momentum = mu * b[i] - factor * gradient[i];
          worst = std::max(worst, std::abs(s1[i] - momentum));
          worst = std::max(worst, std::abs(w1[i] - (a[i] + lambda * (a0[i] - a[i]) + momentum)));
        }
      },
      after.weights.at(0), after.momentum.at(0), w, w0, s, g);
  CHECK(worst < 1e-13);
}

TEMPLATE_TEST_CASE("with a write rate of 0 the neural memory is the article's memory layer, bit for bit", "[memory]",
                   float, double) {
  using T = TestType;
  typename NeuralMemory<T>::Config config;
  config.features = 9;
  config.hidden = 13;
  config.query = NeuralQuery::identity;
  config.output_projection = false;
  config.write_rate_max = 0;
  const NeuralMemory<T> memory(config, Random(1));
  const MemoryLayer<T> article({9, 13}, Random(1));
  typename MemoryLayer<T>::Cache article_cache;
  typename NeuralMemory<T>::ReadCache read;
  typename NeuralMemory<T>::WriteCache write;
  typename NeuralMemory<T>::State state, next;
  memory.initial(3, state);
  const Sequences sequences({4, 0, 7});
  const auto x = random_tensor<T, 2>({11, 9}, 2);
  memory.write(state, x, sequences, next, write);
  CHECK(same_state(state, next));
  CHECK(same_bits<T>(memory.read(next, x, sequences, read), article.forward(x, article_cache)));
}

TEST_CASE("a first-order gradient differs by what goes through the weights of a write", "[memory]") {
  auto config = everything();
  const NeuralMemory<double> exact(config, Random(7));
  config.gradient = WriteGradient::first_order;
  const NeuralMemory<double> first_order(config, Random(7));
  const auto h = random_tensor<double, 2>({3, 4}, 2);
  NeuralMemory<double>::State start, next, dnext, dstate;
  NeuralMemory<double>::WriteCache cache;
  const auto gradient = [&](const NeuralMemory<double>& memory) {
    memory.initial(1, start);
    memory.write(start, h, Sequences::single(3), next, cache);
    zero_state_like(next, dnext);
    dnext.weights.fc2_weight = random_tensor<double, 2>({3, 5}, 3);
    zero_state_like(start, dstate);
    auto grads = zeros_like(memory.parameters());
    return Matrix<double>(memory.write_backward(dnext, start, cache, dstate, grads));
  };
  const Matrix<double> dh = gradient(exact);
  const Matrix<double> dweights = dstate.weights.fc2_weight;
  CHECK(gradient(first_order) == dh);
  CHECK_FALSE(dstate.weights.fc2_weight == dweights);
  // Of one write, dtheta = (1 - lambda) dtheta' is all that is left.
  CHECK(largest_difference(dstate.weights.fc1_weight, Matrix<double>({5, 3})) == 0);
}

TEST_CASE("what is written is read, and forgotten towards the start", "[memory]") {
  NeuralMemory<double>::Config config;
  config.features = 8;
  config.hidden = 32;
  config.shift = false;
  config.momentum = 0;
  config.forgetting = 0.1;
  config.query = NeuralQuery::identity;
  config.output_projection = false;
  NeuralMemory<double> memory(config, Random(1));
  auto& p = memory.parameters();
  p.key_proj.parameters().weight.matrix().setIdentity();
  p.value_proj.parameters().weight.matrix().setIdentity();
  auto h = random_tensor<double, 2>({1, 8}, 3);
  h.matrix() /= h.matrix().norm();
  NeuralMemory<double>::State start, state, next;
  NeuralMemory<double>::ReadCache read;
  NeuralMemory<double>::WriteCache write;
  memory.initial(1, start);
  const auto error = [&](const NeuralMemory<double>::State& of) {
    return (memory.read(of, h, Sequences::single(1), read).matrix() - h.matrix()).norm();
  };
  const double before = error(start);
  state = start;
  for (int i = 0; i < 100; ++i) {
    memory.write(state, h, Sequences::single(1), next, write);
    std::swap(state, next);
  }
  CHECK(error(state) < 0.5 * before);

  // Tokens of rate 0 write nothing: what remains is forgetting.
  p.write_rate.parameters().bias(0) = -1000;
  double far = distance(state.weights, start.weights);
  for (int i = 0; i < 200; ++i) {
    memory.write(state, h, Sequences::single(1), next, write);
    std::swap(state, next);
    CHECK(distance(state.weights, start.weights) <= far);
    far = distance(state.weights, start.weights);
  }
  CHECK(far < 1e-7);
}

TEST_CASE("a step of the soft clip is never longer than its norm", "[memory]") {
  auto config = everything();
  config.max_norm = 0.01;
  config.momentum = config.forgetting = 0;
  const NeuralMemory<double> memory(config, Random(7));
  const auto h = random_tensor<double, 2>({6, 4}, 5, 100);
  NeuralMemory<double>::State start;
  memory.initial(1, start);
  CHECK(distance(written(memory, h, {6}).weights, start.weights) <= 0.01);
  CHECK(distance(written(memory, h, {6}).weights, start.weights) > 0.009);
}

TEST_CASE("a stream of 64 features and 64 hidden units is within 80 kB", "[memory]") {
  NeuralMemory<float>::Config config;
  config.features = 64;
  const NeuralMemory<float> memory(config, Random(1));
  NeuralMemory<float>::State state;
  memory.initial(1, state);
  CHECK(state_bytes(state) == 4 * (2 * (2 * 64 * 64 + 64 + 64) + 64));
  CHECK(state_bytes(state) < 80000);
}

TEST_CASE("the neural memory says what does not fit", "[memory]") {
  using Memory = NeuralMemory<float>;
  const auto with = [](const auto& change) {
    Memory::Config config;
    config.features = 4;
    change(config);
    return Memory(config, Random(1));
  };
  CHECK_THROWS_WITH(Memory(Memory::Config{}, Random(1)), "NeuralMemory: features is 0, expected at least 1");
  CHECK_THROWS_WITH(with([](auto& c) { c.key_dim = 3, c.output_projection = false; }),
                    "NeuralMemory: key_dim without both projections is 3, expected features, 4");
  CHECK_THROWS_WITH(with([](auto& c) { c.write_rate_max = -1; }),
                    "NeuralMemory: write_rate_max is -1, expected at least 0");
  CHECK_THROWS_WITH(with([](auto& c) { c.bias_rate = 2; }), "NeuralMemory: bias_rate is 2, expected in [0, 1]");
  CHECK_THROWS_WITH(with([](auto& c) { c.step_limit = 2; }), "NeuralMemory: step_limit is 2, expected in [0, 1]");
  CHECK_THROWS_WITH(with([](auto& c) { c.max_norm = -1; }), "NeuralMemory: max_norm is -1, expected at least 0");
  CHECK_THROWS_WITH(with([](auto& c) { c.momentum = 0.9; }), "NeuralMemory: momentum is 0.9, expected in [0, 0.9)");
  CHECK_THROWS_WITH(with([](auto& c) { c.forgetting = 1; }), "NeuralMemory: forgetting is 1, expected in [0, 1)");
  const Memory memory = with([](auto&) {});
  Memory::State state, next;
  memory.initial(2, state);
  Memory::ReadCache read;
  Memory::WriteCache write;
  const Matrix<float> x({3, 4}), wide({3, 5});
  CHECK_THROWS_WITH(memory.read(state, wide, Sequences({1, 2}), read),
                    "NeuralMemory::read: x is [3, 5], expected [*, 4]");
  CHECK_THROWS_WITH(memory.write(state, x, Sequences({1, 1}), next, write),
                    "NeuralMemory::write: h is 3 tokens, expected 2, the rows of its sequences");
  CHECK_THROWS_WITH(memory.write(state, x, Sequences({1, 1, 1}), next, write),
                    "NeuralMemory::write: the state's fc1_weight is [8, 4], expected [12, 4]");
}

}  // namespace neural_memory_test
