#include "support/bits.hpp"
#include "support/catch.hpp"
#include "support/gradients.hpp"

#include <mat/memory/neural_memory.hpp>

namespace neural_memory_test {

using namespace mat;
using mat::test::gradient_error;
using mat::test::inner_product;
using mat::test::largest_difference;
using mat::test::parameter_gradient_error;
using mat::test::random_tensor;
using mat::test::same_bits;

namespace {

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
double stream_gradient_error(NeuralMemory<double>& memory, std::uint64_t seed, std::string& name) {
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

}  // namespace

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
