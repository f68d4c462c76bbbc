#include "memory/delta_memory_streams.hpp"
#include "support/allocations.hpp"

#include <mat/training/parameter_groups.hpp>

namespace delta_memory_test {

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
