#include "support/allocations.hpp"
#include "support/bits.hpp"
#include "support/catch.hpp"
#include "support/gradients.hpp"

#include <mat/memory/delta_memory.hpp>
#include <mat/training/parameter_groups.hpp>

namespace delta_memory_test {

using namespace mat;
using mat::test::inner_product;
using mat::test::largest_difference;
using mat::test::parameter_gradient_error;
using mat::test::random_tensor;
using mat::test::same_bits;

namespace {

template <class T>
typename DeltaMemory<T>::Config small(LinearAttentionRule rule = LinearAttentionRule::delta) {
  typename DeltaMemory<T>::Config config;
  config.features = 6;
  config.heads = 2;
  config.key_dim = 3;
  config.value_dim = 4;
  config.rule = rule;
  config.chunk = 4;
  config.initial_gamma = 0.8;
  return config;
}

/// Every rule and option, with parameters that are nowhere at their first values.
template <class T>
std::vector<DeltaMemory<T>> memories() {
  std::vector<DeltaMemory<T>> all;
  for (const auto rule : {LinearAttentionRule::delta, LinearAttentionRule::additive}) {
    for (const bool with : {true, false}) {
      auto config = small<T>(rule);
      config.token_shift = config.forget = with;
      DeltaMemory<T> memory(config, Random(1));
      std::uint64_t seed = 100;
      for_each_parameter(
          [&](const ParameterName&, auto& tensor) {
            const Random random(++seed);
            for (Index i = 0; i < tensor.size(); ++i) {
              tensor.data()[i] += static_cast<T>(0.3 * random.normal(static_cast<std::uint64_t>(i)));
            }
          },
          memory.parameters());
      all.push_back(std::move(memory));
    }
  }
  return all;
}

/// Reads and then writes segment after segment of a stream, cut after rows `cuts`; all that was read, and the last
/// state.
template <class T>
struct Streamed {
  std::vector<Matrix<T>> reads;
  typename DeltaMemory<T>::State state;
};
template <class T>
Streamed<T> stream(const DeltaMemory<T>& memory, const Matrix<T>& x, const std::vector<Index>& lengths,
                   const typename DeltaMemory<T>::State* from = nullptr) {
  Streamed<T> result;
  if (from == nullptr) {
    memory.initial(1, result.state);
  } else {
    result.state = *from;
  }
  typename DeltaMemory<T>::ReadCache read_cache;
  typename DeltaMemory<T>::WriteCache write_cache;
  typename DeltaMemory<T>::State next;
  Index row = 0;
  for (const Index length : lengths) {
    const auto rows = x.view().middle_rows(row, length);
    const Sequences sequences = Sequences::single(length);
    result.reads.emplace_back(memory.read(result.state, rows, sequences, read_cache));
    memory.write(result.state, rows, sequences, next, write_cache);
    std::swap(result.state, next);
    row += length;
  }
  return result;
}

/// What the class comment says, number by number: writes the rows of one sequence to S, and reads with them.
struct Reference {
  const DeltaMemory<double>& memory;
  const DeltaMemory<double>::Config& c = memory.config();
  const DeltaMemory<double>::Parameters& p = memory.parameters();
  bool additive = c.rule == LinearAttentionRule::additive;

  static std::vector<double> times(const std::vector<double>& row, const Linear<double>& layer) {
    std::vector<double> y;
    const auto& w = layer.parameters().weight;
    for (Index i = 0; i < w.rows(); ++i) {
      double sum = layer.config().bias ? layer.parameters().bias(i) : 0;
      for (Index j = 0; j < w.cols(); ++j) sum += row[static_cast<std::size_t>(j)] * w(i, j);
      y.push_back(sum);
    }
    return y;
  }
  static double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }
  static std::vector<double> row_of(ConstMatrixView<double> x, Index t) { return {x.row(t), x.row(t) + x.cols()}; }
  std::vector<double> features(std::vector<double> x) const {
    for (Index h = 0; h < c.heads; ++h) {
      double squares = 0;
      for (Index i = 0; i < c.key_dim; ++i) squares += std::pow(x[static_cast<std::size_t>(h * c.key_dim + i)], 2);
      for (Index i = 0; i < c.key_dim; ++i) {
        double& y = x[static_cast<std::size_t>(h * c.key_dim + i)];
        y = additive ? (y > 0 ? y + 1 : std::exp(y)) : squares > 0 ? y / std::sqrt(squares) : 0;
      }
    }
    return x;
  }

  void write(Matrix<double>& s, std::vector<double>& last, ConstMatrixView<double> rows) const {
    for (Index t = 0; t < rows.rows(); ++t) {
      const auto row = row_of(rows, t);
      const auto k = features(times(c.token_shift ? last : row, p.key)), v = times(row, p.value),
                 beta = times(row, p.beta), gamma = c.forget ? times(row, *p.gamma) : std::vector<double>();
      for (Index h = 0; h < c.heads; ++h) {
        const auto at = [&](Index i, Index j) -> double& { return s(h * c.key_dim + i, j); };
        const auto head = static_cast<std::size_t>(h);
        for (Index j = 0; j < s.cols(); ++j) {
          double error = j == c.value_dim ? 1 : v[static_cast<std::size_t>(h * c.value_dim + j)];
          for (Index i = 0; i < c.key_dim; ++i) {
            if (c.forget) at(i, j) *= sigmoid(gamma[head]);
            if (!additive) error -= k[static_cast<std::size_t>(h * c.key_dim + i)] * at(i, j);
          }
          for (Index i = 0; i < c.key_dim; ++i) {
            at(i, j) += k[static_cast<std::size_t>(h * c.key_dim + i)] * sigmoid(beta[head]) * error;
          }
        }
      }
      last = row;
    }
  }
  std::vector<double> read(const Matrix<double>& s, std::vector<double> row) const {
    const auto q = features(times(row, p.query));
    std::vector<double> read;
    for (Index h = 0; h < c.heads; ++h) {
      std::vector<double> sums(static_cast<std::size_t>(s.cols()));
      for (Index i = 0; i < c.key_dim; ++i) {
        for (Index j = 0; j < s.cols(); ++j) {
          sums[static_cast<std::size_t>(j)] += q[static_cast<std::size_t>(h * c.key_dim + i)] * s(h * c.key_dim + i, j);
        }
      }
      for (Index j = 0; j < c.value_dim; ++j) {
        const double value = sums[static_cast<std::size_t>(j)] / (additive ? sums.back() + c.epsilon : 1);
        read.push_back(sigmoid(p.read_gate(h)) * value);
      }
    }
    return times(read, p.output);
  }
};

/// A stream of several segments with losses of every reading and of the last state.
struct Unrolled {
  DeltaMemory<double>& memory;
  std::vector<Sequences> segments;
  std::vector<Matrix<double>> x, h, dr;
  DeltaMemory<double>::State first, dlast;

  Unrolled(DeltaMemory<double>& m, const std::vector<std::vector<Index>>& lengths) : memory(m) {
    std::uint64_t seed = 10;
    for (const auto& segment : lengths) {
      segments.emplace_back(segment);
      for (auto* rows : {&x, &h, &dr}) rows->push_back(random_tensor<double, 2>({segments.back().rows(), 6}, ++seed));
    }
    memory.initial(segments[0].count(), first);
    dlast = first;
    for (auto* state : {&first, &dlast}) {
      state->matrix = random_tensor<double, 2>(state->matrix.shape(), ++seed);
      state->last = random_tensor<double, 2>(state->last.shape(), ++seed);
    }
    // The column of an additive memory that divides is a sum of positive numbers.
    for (Index i = 0; i < first.matrix.rows() && first.matrix.cols() == 5; ++i) {
      first.matrix(i, 4) = 1 + std::abs(first.matrix(i, 4));
    }
  }

  [[nodiscard]] double loss() const {
    DeltaMemory<double>::State state = first, next;
    DeltaMemory<double>::ReadCache read_cache;
    DeltaMemory<double>::WriteCache write_cache;
    double sum = 0;
    for (std::size_t i = 0; i < segments.size(); ++i) {
      sum += inner_product(memory.read(state, x[i], segments[i], read_cache), dr[i]);
      memory.write(state, h[i], segments[i], next, write_cache);
      std::swap(state, next);
    }
    sum += inner_product(ConstMatrixView<double>(state.matrix), dlast.matrix);
    return sum + inner_product(ConstMatrixView<double>(state.last), dlast.last);
  }

  struct Gradients {
    std::vector<Matrix<double>> dx, dh;
    DeltaMemory<double>::State dfirst;
    DeltaMemory<double>::Parameters parameters;
  };
  [[nodiscard]] Gradients gradients(bool only_the_last_reading = false) const {
    const std::size_t n = segments.size();
    std::vector<DeltaMemory<double>::State> states(n + 1);
    std::vector<DeltaMemory<double>::ReadCache> reads(n);
    std::vector<DeltaMemory<double>::WriteCache> writes(n);
    states[0] = first;
    for (std::size_t i = 0; i < n; ++i) {
      (void)memory.read(states[i], x[i], segments[i], reads[i]);
      memory.write(states[i], h[i], segments[i], states[i + 1], writes[i]);
    }
    Gradients g{std::vector<Matrix<double>>(n), std::vector<Matrix<double>>(n), dlast, zeros_like(memory.parameters())};
    if (only_the_last_reading) zero_state_like(dlast, g.dfirst);
    for (std::size_t i = n; i-- > 0;) {
      DeltaMemory<double>::State before;
      zero_state_like(states[i], before);
      g.dh[i] = Matrix<double>(memory.write_backward(g.dfirst, states[i], writes[i], before, g.parameters));
      if (i + 1 == n || !only_the_last_reading) {
        g.dx[i] = Matrix<double>(memory.read_backward(dr[i], states[i], reads[i], before, g.parameters));
      }
      g.dfirst = before;
    }
    return g;
  }
};

}  // namespace

TEST_CASE("a delta memory keeps the contract of a memory", "[memory]") {
  check_is_memory<double, DeltaMemory<double>>();
  check_is_memory<float, DeltaMemory<float>>();
  CHECK(DeltaMemory<double>::kPlace == MemoryPlace::branch);
}

TEST_CASE("a delta memory equals its equations, number by number", "[memory]") {
  for (const DeltaMemory<double>& memory : memories<double>()) {
    const auto x = random_tensor<double, 2>({23, 6}, 2);
    const Streamed<double> streamed = stream(memory, x, {7, 1, 15});
    const Reference reference{memory};
    DeltaMemory<double>::State start;
    memory.initial(1, start);
    std::vector<double> last(6);
    Index row = 0;
    for (const Matrix<double>& read : streamed.reads) {
      for (Index t = 0; t < read.rows(); ++t) {
        const auto expected = reference.read(start.matrix, Reference::row_of(x, row + t));
        for (Index j = 0; j < 6; ++j) CHECK(std::abs(read(t, j) - expected[static_cast<std::size_t>(j)]) < 1e-12);
      }
      reference.write(start.matrix, last, x.view().middle_rows(row, read.rows()));
      row += read.rows();
    }
    CHECK(largest_difference(streamed.state.matrix, start.matrix) < 1e-12);
  }
}

TEST_CASE("a delta memory's gradients through five segments agree with central differences", "[memory]") {
  for (DeltaMemory<double>& memory : memories<double>()) {
    Unrolled run(memory, {{3, 0, 1}, {2, 2, 0}, {1, 5, 1}, {0, 1, 2}, {2, 1, 1}});
    const Unrolled::Gradients g = run.gradients();
    const auto loss = [&] { return run.loss(); };
    std::string name;
    const double worst = parameter_gradient_error(loss, memory.parameters(), g.parameters, name);
    INFO(name);
    CHECK(worst < 1e-6);
    for (std::size_t i = 0; i < run.segments.size(); ++i) {
      CHECK(mat::test::gradient_error(loss, run.x[i], g.dx[i]) < 1e-6);
      CHECK(mat::test::gradient_error(loss, run.h[i], g.dh[i]) < 1e-6);
    }
    CHECK(mat::test::gradient_error(loss, run.first.matrix, g.dfirst.matrix) < 1e-6);
    CHECK(mat::test::gradient_error(loss, run.first.last, g.dfirst.last) < 1e-6);
  }
}

TEST_CASE("backward twice is twice the gradient", "[memory]") {
  DeltaMemory<double> memory = std::move(memories<double>()[0]);
  const auto x = random_tensor<double, 2>({5, 6}, 2), dr = random_tensor<double, 2>({5, 6}, 3);
  const Sequences sequences({3, 2});
  DeltaMemory<double>::State state, next, dstate;
  memory.initial(2, state);
  state.matrix = random_tensor<double, 2>(state.matrix.shape(), 4);
  DeltaMemory<double>::ReadCache read;
  DeltaMemory<double>::WriteCache write;
  (void)memory.read(state, x, sequences, read);
  memory.write(state, x, sequences, next, write);
  auto once = zeros_like(memory.parameters());
  zero_state_like(state, dstate);
  const auto backward = [&](DeltaMemory<double>::Parameters& grads) {
    (void)memory.write_backward(next, state, write, dstate, grads);
    (void)memory.read_backward(dr, state, read, dstate, grads);
  };
  backward(once);
  auto twice = once;
  backward(twice);
  for_each_parameter(
      [](const ParameterName& name, const auto& two, const auto& one) {
        INFO(name.str());
        for (Index i = 0; i < one.size(); ++i) {
          CHECK(std::abs(two.data()[i] - 2 * one.data()[i]) <= 1e-13 * std::abs(one.data()[i]) + 1e-15);
        }
      },
      twice, once);
}

TEST_CASE("P5: any split of a stream into segments writes the same", "[memory]") {
  for (const DeltaMemory<double>& memory : memories<double>()) {
    const auto x = random_tensor<double, 2>({40, 6}, 2);
    const auto whole = stream(memory, x, {40}).state;
    for (const std::vector<Index>& lengths :
         {std::vector<Index>(40, 1), {3, 37}, {8, 8, 8, 8, 8}, {1, 0, 22, 0, 17}, {39, 1}}) {
      const auto split = stream(memory, x, lengths).state;
      CHECK(largest_difference(split.matrix, whole.matrix) < 1e-13);
      CHECK(same_bits(split.last, whole.last));
    }
  }
}

TEMPLATE_TEST_CASE("P6: a sequence reads and writes the same bits alone and in any batch", "[memory]", float, double) {
  using T = TestType;
  for (const DeltaMemory<T>& memory : memories<T>()) {
    const std::vector<Index> lengths{3, 0, 9, 1};
    const Sequences sequences(lengths);
    const auto x = random_tensor<T, 2>({13, 6}, 2);
    typename DeltaMemory<T>::State state, next, alone, alone_next;
    memory.initial(4, state);
    const auto filled = random_tensor<T, 2>(state.matrix.shape(), 3);
    for (Index i = 0; i < filled.size(); ++i) state.matrix.data()[i] = std::abs(filled.data()[i]);
    typename DeltaMemory<T>::ReadCache read;
    typename DeltaMemory<T>::WriteCache write;
    const Matrix<T> r(memory.read(state, x, sequences, read));
    memory.write(state, x, sequences, next, write);
    for (Index b = 0; b < 4; ++b) {
      memory.initial(1, alone);
      const Index rows = alone.matrix.rows(), begin = sequences.begin(b), length = sequences.length(b);
      alone.matrix = Matrix<T>(state.matrix.view().middle_rows(b * rows, rows));
      const auto mine = x.view().middle_rows(begin, length);
      CHECK(
          same_bits<T>(memory.read(alone, mine, Sequences::single(length), read), r.view().middle_rows(begin, length)));
      memory.write(alone, mine, Sequences::single(length), alone_next, write);
      CHECK(same_bits<T>(alone_next.matrix, next.matrix.view().middle_rows(b * rows, rows)));
      if (length > 0) continue;
      CHECK(same_bits(alone_next.matrix, alone.matrix));
      CHECK(same_bits(alone_next.last, alone.last));
    }
  }
}

TEMPLATE_TEST_CASE("P10: a stream goes on from a copied state with the same bits, and streams do not leak", "[memory]",
                   float, double) {
  using T = TestType;
  for (const DeltaMemory<T>& memory : memories<T>()) {
    const auto x = random_tensor<T, 2>({30, 6}, 2), other = random_tensor<T, 2>({30, 6}, 3);
    const std::vector<Index> first{5, 7}, second{11, 7};
    const auto whole = stream(memory, x, {5, 7, 11, 7});
    const auto half = stream(memory, x, first);
    const auto copy = half.state;
    (void)stream(memory, other, {30}, &half.state);  // another stream in between
    const Matrix<T> rest(x.view().middle_rows(12, 18));
    const auto resumed = stream(memory, rest, second, &copy);
    CHECK(same_state(resumed.state, whole.state));
    CHECK(same_bits(resumed.reads[0], whole.reads[2]));
    CHECK(same_bits(resumed.reads[1], whole.reads[3]));
  }
}

TEMPLATE_TEST_CASE("P11: a changed token changes no reading before the next segment", "[memory]", float, double) {
  using T = TestType;
  for (const DeltaMemory<T>& memory : memories<T>()) {
    auto x = random_tensor<T, 2>({20, 6}, 2);
    const auto before = stream(memory, x, {6, 8, 6});
    for (Index j = 0; j < 6; ++j) x(9, j) += 1;
    const auto after = stream(memory, x, {6, 8, 6});
    CHECK(same_bits(after.reads[0], before.reads[0]));
    CHECK(same_bits<T>(after.reads[1].view().middle_rows(0, 3), before.reads[1].view().middle_rows(0, 3)));
    CHECK(same_bits<T>(after.reads[1].view().middle_rows(4, 4), before.reads[1].view().middle_rows(4, 4)));
    CHECK(!same_bits(after.reads[2], before.reads[2]));
  }
}

TEST_CASE("P12: a reading two segments later teaches every parameter of read and write", "[memory]") {
  for (DeltaMemory<double>& memory : memories<double>()) {
    const Unrolled run(memory, {{4}, {4}, {4}});
    const Unrolled::Gradients g = run.gradients(/*only_the_last_reading=*/true);
    for_each_parameter(
        [&](const ParameterName& name, const auto& gradient) {
          INFO(name.str());
          double largest = 0;
          for (Index i = 0; i < gradient.size(); ++i) largest = std::max(largest, std::abs(gradient.data()[i]));
          CHECK(largest > 1e-6);
        },
        g.parameters);
    double largest = 0;
    for (Index i = 0; i < g.dh[0].size(); ++i) largest = std::max(largest, std::abs(g.dh[0].data()[i]));
    CHECK(largest > 1e-6);
  }
}

TEST_CASE("P13: a segment shorter than a chunk is written", "[memory]") {
  for (const DeltaMemory<double>& memory : memories<double>()) {
    const auto x = random_tensor<double, 2>({2, 6}, 2);
    DeltaMemory<double>::State start;
    memory.initial(1, start);
    CHECK(largest_difference(stream(memory, x, {2}).state.matrix, start.matrix) > 0.01);
  }
}

TEST_CASE("an empty memory reads 0", "[memory]") {
  for (const DeltaMemory<double>& memory : memories<double>()) {
    const auto x = random_tensor<double, 2>({5, 6}, 2);
    CHECK(largest_difference(stream(memory, x, {5}).reads[0], Matrix<double>({5, 6})) == 0);
  }
}

TEST_CASE("the newest value of a key is read under the delta rule, a mean of all under the additive one", "[memory]") {
  for (const auto rule : {LinearAttentionRule::delta, LinearAttentionRule::additive}) {
    auto config = small<double>(rule);
    config.heads = 1, config.key_dim = config.value_dim = 6;
    config.token_shift = config.forget = false;
    DeltaMemory<double> memory(config, Random(1));
    auto& p = memory.parameters();
    // Row 0 ... 2 of a token are its key, 3 ... 5 its value; all is written, and read in full.
    for (Linear<double>* layer : {&p.query, &p.key, &p.value, &p.output}) layer->parameters().weight.fill(0);
    for (Index i = 0; i < 6; ++i) {
      if (i < 3) p.query.parameters().weight(i, i) = p.key.parameters().weight(i, i) = 1;
      if (i >= 3) p.value.parameters().weight(i, i) = 1;
      p.output.parameters().weight(i, i) = 1;
    }
    p.beta.parameters().weight.fill(0);
    p.beta.parameters().bias.fill(40);
    p.read_gate.fill(40);
    const Matrix<double> x({3, 6}, {1, 0, 0, 5, 1, 0,  //
                                    1, 0, 0, 7, 3, 0,  //
                                    1, 0, 0, 0, 0, 0});
    const Streamed<double> streamed = stream(memory, x, {1, 1, 1});
    const bool delta = rule == LinearAttentionRule::delta;
    CHECK(std::abs(streamed.reads[2](0, 3) - (delta ? 7 : 6)) < 1e-5);
    CHECK(std::abs(streamed.reads[2](0, 4) - (delta ? 3 : 2)) < 1e-5);
  }
}

TEST_CASE("a pair of tokens, key and value, is bound in one layer by the shift, also across segments", "[memory]") {
  auto config = small<double>();
  config.heads = 1, config.key_dim = config.value_dim = 6;
  config.forget = false;
  DeltaMemory<double> memory(config, Random(1));
  auto& p = memory.parameters();
  for (Linear<double>* layer : {&p.query, &p.key, &p.value, &p.output}) {
    layer->parameters().weight.fill(0);
    for (Index i = 0; i < 6; ++i) layer->parameters().weight(i, i) = 1;
  }
  p.beta.parameters().weight.fill(0);
  p.beta.parameters().bias.fill(40);
  p.read_gate.fill(40);
  const Matrix<double> x({3, 6}, {1, 0, 0, 0, 0, 0,  // a key
                                  0, 0, 0, 0, 5, 0,  // its value
                                  1, 0, 0, 0, 0, 0});
  for (const std::vector<Index>& lengths : {std::vector<Index>{2, 1}, {1, 1, 1}}) {
    const Matrix<double> read = stream(memory, x, lengths).reads.back();
    for (Index j = 0; j < 6; ++j) CHECK(std::abs(read(0, j) - (j == 4 ? 5 : 0)) < 1e-12);
  }
}

TEST_CASE("a delta memory starts with half-open gates, and one name finds those of its readings", "[memory]") {
  const DeltaMemory<double> memory(small<double>(), Random(1));
  for (Index h = 0; h < 2; ++h) {
    CHECK(memory.parameters().read_gate(h) == 0);
    CHECK(memory.parameters().beta.parameters().bias(h) == 0);
    CHECK(std::abs(Reference::sigmoid(memory.parameters().gamma->parameters().bias(h)) - 0.8) < 1e-12);
  }
  const ParameterGroups groups(memory.parameters(), DecayRule::all, [](std::string_view name, std::size_t) {
    ParameterGroup group;
    group.learning_rate = name == "read_gate" ? 100 : 1;
    return group;
  });
  CHECK(groups[groups.size() - 1].learning_rate == 100);
  CHECK(groups[0].learning_rate == 1);
}

TEST_CASE("a delta memory allocates nothing once it has seen a segment of its size", "[memory]") {
  for (const DeltaMemory<float>& memory : memories<float>()) {
    const auto x = random_tensor<float, 2>({9, 6}, 2);
    const Sequences sequences({4, 5});
    DeltaMemory<float>::State state, next, dstate;
    DeltaMemory<float>::ReadCache read;
    DeltaMemory<float>::WriteCache write;
    auto grads = zeros_like(memory.parameters());
    memory.initial(2, state);
    zero_state_like(state, dstate);
    const auto step = [&] {
      (void)memory.read(state, x, sequences, read);
      memory.write(state, x, sequences, next, write);
      (void)memory.write_backward(next, state, write, dstate, grads);
      (void)memory.read_backward(x, state, read, dstate, grads);
      std::swap(state, next);
    };
    step();
    step();
    const long before = mat::test::allocations();
    step();
    CHECK(mat::test::allocations() == before);
  }
}

TEST_CASE("a delta memory says what does not fit", "[memory]") {
  using Memory = DeltaMemory<float>;
  auto config = small<float>();
  const auto make = [&] { return Memory(config, Random(1)); };
  config.features = 0;
  CHECK_THROWS_WITH(make(), "DeltaMemory: features is 0, expected at least 1");
  config = small<float>();
  config.heads = 4, config.key_dim = 0;
  CHECK_THROWS_WITH(make(), "DeltaMemory: heads is 4, expected a divisor of features, 6");
  config = small<float>();
  config.initial_gamma = 1;
  CHECK_THROWS_WITH(make(), "DeltaMemory: initial_gamma is 1, expected in (0, 1)");
  config = small<float>();
  config.chunk = -1;
  CHECK_THROWS_WITH(make(), "DeltaMemory: chunk is -1, expected at least 1");

  const Memory memory(small<float>(), Random(1));
  Memory::State state, next;
  memory.initial(2, state);
  Memory::ReadCache read;
  Memory::WriteCache write;
  const Matrix<float> x({4, 6}), wide({4, 7});
  CHECK_THROWS_WITH(memory.read(state, wide, Sequences({2, 2}), read),
                    "DeltaMemory::read: x is [4, 7], expected [*, 6]");
  CHECK_THROWS_WITH(memory.write(state, x, Sequences({2}), next, write),
                    "DeltaMemory::write: h is 4 tokens, expected 2, the rows of its sequences");
  CHECK_THROWS_WITH(memory.write(state, x, Sequences({4}), next, write),
                    "DeltaMemory::write: the state's matrix is [12, 4], expected [6, 4]");
  state.last.resize({1, 6});
  CHECK_THROWS_WITH(memory.read(state, x, Sequences({2, 2}), read),
                    "DeltaMemory::read: the state's last is [1, 6], expected [2, 6]");
}

}  // namespace delta_memory_test
