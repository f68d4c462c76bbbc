#include "support/allocations.hpp"
#include "support/bits.hpp"
#include "support/catch.hpp"
#include "support/gradients.hpp"

#include <mat/memory/knn_memory.hpp>

#include <numeric>

namespace knn_memory_test {

using namespace mat;
using mat::test::gradient_error;
using mat::test::inner_product;
using mat::test::largest_difference;
using mat::test::parameter_gradient_error;
using mat::test::random_tensor;
using mat::test::same_bits;

namespace {

template <class T>
using Memory = KnnMemory<T>;

template <class T>
typename Memory<T>::Config config_of(Index features, Index heads, Index capacity, Index top_k) {
  typename Memory<T>::Config config;
  config.features = features;
  config.heads = heads;
  config.capacity = capacity;
  config.top_k = top_k;
  return config;
}

/// Several segments of a ragged batch, each read and then written, with a loss on what each of them read.
struct Story {
  Memory<double> memory;
  std::vector<std::vector<Index>> lengths{{2, 3, 0}, {1, 0, 2}, {3, 1, 2}, {0, 2, 1}, {2, 1, 1}};
  std::vector<Matrix<double>> x, h, dy;
  std::vector<Memory<double>::State> states;
  std::vector<Memory<double>::ReadCache> reads;
  std::vector<Memory<double>::WriteCache> writes;

  explicit Story(const Memory<double>::Config& config) : memory(config, Random(3)) {
    memory.parameters().gate = random_tensor<double, 1>({config.heads}, 5);
    for (std::size_t i = 0; i < lengths.size(); ++i) {
      const Shape<2> shape{Sequences(lengths[i]).rows(), config.features};
      x.push_back(random_tensor<double, 2>(shape, 10 + i));
      h.push_back(random_tensor<double, 2>(shape, 20 + i));
      dy.push_back(random_tensor<double, 2>(shape, 30 + i));
    }
    states.resize(lengths.size() + 1);
    reads.resize(lengths.size());
    writes.resize(lengths.size());
  }
  double loss() {
    double sum = 0;
    memory.initial(3, states[0]);
    for (std::size_t i = 0; i < lengths.size(); ++i) {
      const Sequences sequences(lengths[i]);
      sum += inner_product(memory.read(states[i], x[i], sequences, reads[i]), dy[i]);
      memory.write(states[i], h[i], sequences, states[i + 1], writes[i]);
    }
    return sum;
  }
  struct Gradients {
    std::vector<Matrix<double>> dx, dh;
    Memory<double>::Parameters parameters;
  };
  Gradients backward() {
    Gradients g{{}, {}, zeros_like(memory.parameters())};
    Memory<double>::State dnext, dstate;
    zero_state_like(states.back(), dnext);
    for (std::size_t i = lengths.size(); i-- > 0;) {
      zero_state_like(states[i], dstate);
      g.dh.emplace(g.dh.begin(), memory.write_backward(dnext, states[i], writes[i], dstate, g.parameters));
      g.dx.emplace(g.dx.begin(), memory.read_backward(dy[i], states[i], reads[i], dstate, g.parameters));
      std::swap(dnext, dstate);
    }
    memory.initial_backward(dnext, g.parameters);
    return g;
  }
};

}  // namespace

TEST_CASE("a kNN memory keeps the memory contract", "[memory]") {
  check_is_memory<float, Memory<float>>();
  check_is_memory<double, Memory<double>>();
  const Memory<float> memory(config_of<float>(6, 2, 5, 2), Random(1));
  CHECK(parameter_names(memory.parameters()) == std::vector<std::string>{"q_proj.weight", "k_proj.weight",
                                                                         "v_proj.weight", "out_proj.weight", "gate",
                                                                         "log_temperature"});
  Memory<float>::State state;
  memory.initial(3, state);
  CHECK(state_bytes(state) == 3 * 5 * (6 + 6) * 4 + 3 * 8);
}

TEST_CASE("a token reads the rows that fit it best", "[memory]") {
  const Index capacity = 40, top_k = 3, d = 3;
  Memory<double> memory(config_of<double>(6, 2, capacity, top_k), Random(1));
  memory.parameters().gate = random_tensor<double, 1>({2}, 5);
  const auto& p = memory.parameters();
  Memory<double>::State state, next;
  Memory<double>::ReadCache read;
  Memory<double>::WriteCache write;
  memory.initial(2, state);
  const auto h = random_tensor<double, 2>({57, 6}, 2), x = random_tensor<double, 2>({37, 6}, 3);
  const Sequences written({50, 7}), readers({17, 20});
  memory.write(state, h, written, next, write);
  const auto y = memory.read(next, x, readers, read);

  const auto row_times = [](const Matrix<double>& m, Index t, const Linear<double>& linear) {
    std::vector<double> out(6, 0.0);
    for (Index i = 0; i < 6; ++i) {
      for (Index j = 0; j < 6; ++j) out[static_cast<std::size_t>(i)] += linear.parameters().weight(i, j) * m(t, j);
    }
    return out;
  };
  const auto part = [&](const std::vector<double>& row, Index head, bool unit) {
    std::vector<double> v(row.begin() + head * d, row.begin() + (head + 1) * d);
    const double length = std::sqrt(std::inner_product(v.begin(), v.end(), v.begin(), 0.0));
    for (double& a : v) a /= unit ? length : 1;
    return v;
  };
  for (Index b = 0; b < 2; ++b) {
    const Index first = std::max(written.begin(b), written.end(b) - capacity);
    for (Index t = readers.begin(b); t < readers.end(b); ++t) {
      Matrix<double> gated({1, 6});
      for (Index head = 0; head < 2; ++head) {
        const auto q = part(row_times(x, t, p.q_proj), head, true);
        std::vector<std::pair<double, Index>> scores;
        for (Index j = first; j < written.end(b); ++j) {
          const auto k = part(row_times(h, j, p.k_proj), head, true);
          scores.emplace_back(8 * std::inner_product(q.begin(), q.end(), k.begin(), 0.0), j);
        }
        std::sort(scores.rbegin(), scores.rend());
        scores.resize(static_cast<std::size_t>(top_k));
        double sum = 0;
        for (const auto& s : scores) sum += std::exp(s.first);
        for (const auto& s : scores) {
          const auto v = part(row_times(h, s.second, p.v_proj), head, false);
          for (Index i = 0; i < d; ++i) {
            gated(0, head * d + i) +=
                std::exp(s.first) / sum * v[static_cast<std::size_t>(i)] / (1 + std::exp(-p.gate(head)));
          }
        }
      }
      const auto expected = row_times(gated, 0, p.out_proj);
      for (Index i = 0; i < 6; ++i) CHECK(std::abs(y(t, i) - expected[static_cast<std::size_t>(i)]) < 1e-12);
    }
  }
}

TEST_CASE("of keys that fit equally well the newest are read", "[memory]") {
  Memory<double> memory(config_of<double>(2, 1, 4, 2), Random(1));
  Memory<double>::State state, next;
  Memory<double>::ReadCache read;
  Memory<double>::WriteCache write;
  memory.initial(1, state);
  Matrix<double> h({6, 2}), x({1, 2});
  h.fill(1);
  x.fill(1);
  memory.write(state, h, Sequences({6}), next, write);
  (void)memory.read(next, x, Sequences({1}), read);
  CHECK(read.chosen == Matrix<Index>({1, 2}, {2, 3}));
  CHECK(read.weights == Matrix<double>({1, 2}, {0.5, 0.5}));
}

TEST_CASE("a memory that keeps nothing reads nothing", "[memory]") {
  const Memory<float> memory(config_of<float>(4, 2, 3, 2), Random(1));
  Memory<float>::State state;
  Memory<float>::ReadCache read;
  memory.initial(2, state);
  const auto x = random_tensor<float, 2>({3, 4}, 1);
  CHECK(
      same_bits<float>(memory.read(state, x, Sequences({2, 1}), read), Matrix<float>({3, 4}).view().middle_rows(0, 3)));
}

TEST_CASE("the gradients of a kNN memory agree with central differences over 5 segments", "[memory]") {
  auto config = config_of<double>(4, 2, 4, 2);
  SECTION("of the best two rows") {}
  SECTION("of all rows") { config.top_k = 9; }
  SECTION("of the best row") {
    config.top_k = 1;
    config.heads = 1;
  }
  SECTION("with a temperature that is not learned") { config.learned_temperature = false; }
  Story story(config);
  (void)story.loss();
  const auto g = story.backward();
  const auto loss = [&] { return story.loss(); };
  std::string name;
  CHECK(parameter_gradient_error(loss, story.memory.parameters(), g.parameters, name) < 1e-6);
  for (std::size_t i = 0; i < story.lengths.size(); ++i) {
    CHECK(gradient_error(loss, story.x[i], g.dx[i]) < 1e-6);
    CHECK(gradient_error(loss, story.h[i], g.dh[i]) < 1e-6);
  }
}

TEST_CASE("a detached kNN memory passes nothing to what was written", "[memory]") {
  auto config = config_of<double>(4, 2, 4, 2);
  Story through(config);
  config.gradient = StateGradient::detached;
  Story detached(config);
  CHECK(through.loss() == detached.loss());
  const auto a = through.backward(), b = detached.backward();
  for (std::size_t i = 0; i < detached.lengths.size(); ++i) {
    CHECK(same_bits<double>(a.dx[i], b.dx[i]));
    CHECK(b.dh[i] == Matrix<double>(b.dh[i].shape()));
  }
  CHECK(a.parameters.q_proj.parameters().weight == b.parameters.q_proj.parameters().weight);
  CHECK(b.parameters.k_proj.parameters().weight == Matrix<double>({4, 4}));
  CHECK(b.parameters.v_proj.parameters().weight == Matrix<double>({4, 4}));
}

TEST_CASE("P12: a loss two segments later gives every parameter a gradient", "[memory]") {
  Story story(config_of<double>(4, 2, 8, 2));
  for (std::size_t i = 0; i < story.dy.size(); ++i) {
    if (i != 2) story.dy[i].fill(0);
  }
  for (std::size_t i = 1; i < story.h.size(); ++i) story.h[i].fill(0);
  (void)story.loss();
  const auto g = story.backward();
  for_each_parameter(
      [](const ParameterName& name, const auto& gradient) {
        double largest = 0;
        for (Index i = 0; i < gradient.size(); ++i) largest = std::max(largest, std::abs(gradient.data()[i]));
        INFO(name.str());
        CHECK(largest > 1e-3);
      },
      g.parameters);
}

TEMPLATE_TEST_CASE("P6 and P10: a kNN memory has the same bits alone, in any batch and after a copy of the state",
                   "[memory]", float, double) {
  using T = TestType;
  const Memory<T> memory(config_of<T>(10, 2, 30, 4), Random(1));
  typename Memory<T>::State state, next, copy, copy_next;
  std::vector<typename Memory<T>::State> alone(3);
  typename Memory<T>::ReadCache read, read_alone;
  typename Memory<T>::WriteCache write, write_alone;
  memory.initial(3, state);
  for (auto& one : alone) memory.initial(1, one);
  std::uint64_t seed = 1;
  for (const auto& lengths : std::vector<std::vector<Index>>{{20, 3, 0}, {1, 0, 2}, {17, 1, 33}, {0, 2, 1}}) {
    const Sequences sequences(lengths);
    const auto x = random_tensor<T, 2>({sequences.rows(), 10}, ++seed), h = random_tensor<T, 2>(x.shape(), ++seed);
    copy = state;
    const Matrix<T> y(memory.read(state, x, sequences, read));
    memory.write(state, h, sequences, next, write);
    CHECK(same_state(state, copy));
    CHECK(same_bits<T>(memory.read(copy, x, sequences, read), y));
    memory.write(copy, h, sequences, copy_next, write);
    CHECK(same_state(next, copy_next));
    for (Index b = 0; b < 3; ++b) {
      const Sequences one = Sequences::single(sequences.length(b));
      const auto rows = [&](const Matrix<T>& m) { return m.view().middle_rows(sequences.begin(b), one.rows()); };
      auto& own = alone[static_cast<std::size_t>(b)];
      CHECK(same_bits<T>(memory.read(own, rows(x), one, read_alone), rows(y)));
      typename Memory<T>::State own_next;
      memory.write(own, rows(h), one, own_next, write_alone);
      CHECK(same_bits<T>(own_next.keys.view(), next.keys.view().middle_rows(30 * b, 30)));
      CHECK(same_bits<T>(own_next.values.view(), next.values.view().middle_rows(30 * b, 30)));
      CHECK(own_next.lengths(0) == next.lengths(b));
      if (one.rows() == 0) CHECK(same_state(own, own_next));
      own = own_next;
    }
    std::swap(state, next);
  }
}

TEST_CASE("P11: what a token reads depends on it and on the segments before", "[memory]") {
  const Memory<float> memory(config_of<float>(6, 2, 20, 3), Random(1));
  Memory<float>::State state, next;
  Memory<float>::ReadCache read;
  Memory<float>::WriteCache write;
  memory.initial(1, state);
  const auto h = random_tensor<float, 2>({9, 6}, 1);
  memory.write(state, h, Sequences({9}), next, write);
  auto x = random_tensor<float, 2>({5, 6}, 2);
  const Matrix<float> before(memory.read(next, x, Sequences({5}), read));
  x(3, 1) += 1;
  const Matrix<float> after(memory.read(next, x, Sequences({5}), read));
  for (Index t = 0; t < 5; ++t) {
    CHECK(same_bits<float>(before.view().middle_rows(t, 1), after.view().middle_rows(t, 1)) == (t != 3));
  }
}

TEST_CASE("a NaN in one sequence leaves the memory of the others as it is", "[memory]") {
  const Memory<float> memory(config_of<float>(4, 2, 20, 2), Random(1));
  Memory<float>::State state, next;
  Memory<float>::ReadCache read;
  Memory<float>::WriteCache write;
  memory.initial(2, state);
  auto h = random_tensor<float, 2>({20, 4}, 1);
  const auto x = random_tensor<float, 2>({4, 4}, 2);
  h(3, 1) = std::numeric_limits<float>::quiet_NaN();
  memory.write(state, h, Sequences({10, 10}), next, write);
  const auto y = memory.read(next, x, Sequences({2, 2}), read);
  CHECK(std::isnan(y(0, 0)));
  CHECK(std::isfinite(y(2, 0)));
  CHECK(!std::isfinite(state_norm(next)));
}

TEST_CASE("a kNN memory allocates nothing after the first segments", "[memory]") {
  if (!mat::test::allocations_are_counted()) {
    WARN("skipped: under a sanitizer allocations are not counted");
    return;
  }
  const Memory<float> memory(config_of<float>(6, 2, 8, 2), Random(1));
  Memory<float>::State state, next, dnext, dstate;
  Memory<float>::ReadCache read;
  Memory<float>::WriteCache write;
  auto grads = zeros_like(memory.parameters());
  memory.initial(2, state);
  const Sequences sequences({4, 5});
  const auto x = random_tensor<float, 2>({9, 6}, 1);
  long allocations = 0;
  for (int step = 0; step < 6; ++step) {
    const long before = mat::test::allocations();
    (void)memory.read(state, x, sequences, read);
    memory.write(state, x, sequences, next, write);
    zero_state_like(next, dnext);
    zero_state_like(state, dstate);
    (void)memory.write_backward(dnext, state, write, dstate, grads);
    (void)memory.read_backward(x, state, read, dstate, grads);
    std::swap(state, next);
    allocations = mat::test::allocations() - before;
  }
  CHECK(allocations == 0);
}

TEST_CASE("a kNN memory says what does not fit", "[memory]") {
  auto config = config_of<float>(6, 4, 8, 2);
  CHECK_THROWS_WITH(Memory<float>(config, Random(1)), "KnnMemory: heads is 4, expected a divisor of features, 6");
  config.heads = 2;
  config.top_k = 0;
  CHECK_THROWS_WITH(Memory<float>(config, Random(1)), "KnnMemory: top_k is 0, expected at least 1");
  config.top_k = 2;
  config.capacity = 0;
  CHECK_THROWS_WITH(Memory<float>(config, Random(1)), "KnnMemory: capacity is 0, expected at least 1");
  config.capacity = 8;
  config.temperature = 0;
  CHECK_THROWS_WITH(Memory<float>(config, Random(1)), "KnnMemory: temperature is 0, expected above 0");
  config.temperature = 1;
  const Memory<float> memory(config, Random(1));
  Memory<float>::State state, next;
  Memory<float>::ReadCache read;
  Memory<float>::WriteCache write;
  memory.initial(2, state);
  const Matrix<float> x({3, 6}), narrow({3, 5});
  CHECK_THROWS_WITH(memory.read(state, narrow, Sequences({2, 1}), read),
                    "KnnMemory::read: x is [3, 5], expected [*, 6]");
  CHECK_THROWS_WITH(memory.write(state, x, Sequences({3}), next, write),
                    "KnnMemory::write: the state's lengths is [2], expected [1]");
  state.lengths(0) = 9;
  CHECK_THROWS_WITH(memory.read(state, x, Sequences({2, 1}), read),
                    "KnnMemory::read: a length of the state is 9, expected at least 0 and at most 8");
}

}  // namespace knn_memory_test
