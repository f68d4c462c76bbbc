#include "support/catch.hpp"
#include "support/gradients.hpp"

#include <mat/memory/memory_tokens.hpp>
#include <mat/memory/recurrent_encoder.hpp>

#include <tuple>

namespace memory_tokens_test {

using namespace mat;
using mat::test::gradient_error;
using mat::test::inner_product;
using mat::test::parameter_gradient_error;
using mat::test::random_tensor;

namespace {

using Memory = MemoryTokens<double>;
using Model = RecurrentEncoder<double, Memory>;

[[nodiscard]] Model::Config config_of(bool causal, Memory::Write write) {
  Model::Config config;
  config.encoder.layer.d_model = 4;
  config.encoder.layer.nhead = 2;
  config.encoder.layer.dim_feedforward = 6;
  config.encoder.layer.activation = Activation::gelu;
  config.encoder.num_layers = 2;
  config.memory.count = 2;
  config.memory.write = write;
  config.memory.initial_scale = 0.7;
  config.causal = causal;
  return config;
}

}  // namespace

TEST_CASE("memory tokens stand before and after the tokens of each sequence that has some", "[memory]") {
  Memory::Config config;
  config.features = 2;
  config.count = 2;
  config.write_embedding = true;
  const Memory memory(config, Random(1));
  const auto x = random_tensor<double, 2>({4, 2}, 2);
  const Sequences sequences({3, 0, 1});
  Memory::State state;
  memory.initial(3, state);
  state.rows = random_tensor<double, 2>({6, 2}, 3);
  Memory::ReadCache cache;
  const auto rows = memory.read(state, x, sequences, cache);
  CHECK(cache.sequences == Sequences({7, 0, 5}));
  const auto& e = memory.parameters().write_embedding;
  for (Index j = 0; j < 2; ++j) {
    for (Index i = 0; i < 2; ++i) {
      CHECK(rows(i, j) == state.rows(i, j));
      CHECK(rows(5 + i, j) == state.rows(i, j) + e(j));
      CHECK(rows(7 + i, j) == state.rows(4 + i, j));
      CHECK(rows(10 + i, j) == state.rows(4 + i, j) + e(j));
    }
    for (Index t = 0; t < 3; ++t) CHECK(rows(2 + t, j) == x(t, j));
    CHECK(rows(9, j) == x(3, j));
  }
  const auto y = memory.tokens_of(rows, cache);
  CHECK(test::largest_difference<double, 2>(y, x) == 0);
}

TEST_CASE("a cache of memory tokens that others have used gives the gradients of a fresh one", "[memory]") {
  Memory::ReadCache read;
  Memory::WriteCache write;
  // As many rows in all, and the memory's among them in other places each time.
  struct Use {
    Sequences sequences;
    Index count;
    Memory::Write write;
  };
  const std::vector<Use> uses{{Sequences({3, 3}), 1, Memory::Write::end}, {Sequences({3, 3}), 1, Memory::Write::end},
                              {Sequences({5, 1}), 1, Memory::Write::end}, {Sequences({3, 3}), 2, Memory::Write::front},
                              {Sequences({3, 3}), 1, Memory::Write::end}, {Sequences({6, 0}), 2, Memory::Write::end}};
  for (std::size_t i = 0; i < uses.size(); ++i) {
    CAPTURE(i);
    Memory::Config config;
    config.features = 2;
    config.count = uses[i].count;
    config.write = uses[i].write;
    const Memory memory(config, Random(1));
    Memory::State state;
    memory.initial(2, state);
    const auto x = random_tensor<double, 2>({6, 2}, 2 * i), dy = random_tensor<double, 2>({6, 2}, 2 * i + 1);
    Memory::State dnext = state;
    const auto gradients = [&](Memory::ReadCache& r, Memory::WriteCache& w) {
      Memory::State next, dstate;
      zero_state_like(state, dstate);
      auto grads = zeros_like(memory.parameters());
      const auto rows = memory.read(state, x, uses[i].sequences, r);
      memory.write(state, rows, r.sequences, next, w);
      Matrix<double> dz(memory.tokens_of_backward(dy, r));
      const Matrix<double> dh(memory.write_backward(dnext, state, w, dstate, grads));
      add<double>(dz, dh, dz);
      const Matrix<double> dx(memory.read_backward(dz, state, r, dstate, grads));
      return std::tuple(dh, dz, dx, dstate.rows);
    };
    Memory::ReadCache fresh_read;
    Memory::WriteCache fresh_write;
    CHECK(gradients(read, write) == gradients(fresh_read, fresh_write));
  }
}

TEST_CASE("in a causal stack read rows see each other, tokens the past, and write rows everything", "[memory]") {
  Memory::Config config;
  config.features = 2;
  config.count = 2;
  config.causal = true;
  const Memory memory(config, Random(1));
  const Matrix<double> x({5, 2});
  Memory::State state;
  memory.initial(2, state);
  Memory::ReadCache cache;
  SECTION("sequences of different lengths") {
    (void)memory.read(state, x, Sequences({3, 2}), cache);
    CHECK(cache.allowed.shape() == Shape<4>{2, 1, 7, 7});
    for (Index b = 0; b < 2; ++b) {
      const Index length = b == 0 ? 3 : 2;
      for (Index i = 0; i < length + 4; ++i) {
        for (Index j = 0; j < length + 4; ++j) {
          const bool read = i < 2, write = i >= 2 + length;
          CHECK(cache.allowed(b, 0, i, j) == (read ? j < 2 : write ? true : j <= i));
        }
      }
    }
  }
  SECTION("one mask for sequences of the same length") {
    memory.initial(5, state);
    (void)memory.read(state, x, Sequences({1, 1, 1, 1, 1}), cache);
    CHECK(cache.allowed.shape() == Shape<4>{1, 1, 5, 5});
  }
}

TEST_CASE("P9: memory tokens in front of a causal stack see nothing of the segment", "[memory]") {
  const auto x = random_tensor<double, 2>({5, 4}, 2), other = random_tensor<double, 2>({5, 4}, 9);
  const Sequences sequences({3, 2});
  for (const auto write : {Memory::Write::front, Memory::Write::end}) {
    const Model model(config_of(true, write), Random(1));
    Model::State state, next, next_of_other, dstate;
    model.initial(2, state);
    Model::Cache cache;
    (void)model.forward({other, &sequences}, state, &next_of_other, {}, cache);
    (void)model.forward({x, &sequences}, state, &next, {}, cache);
    // ds'/dX: the gradient of the next state alone.
    zero_state_like(state, dstate);
    auto grads = zeros_like(model.parameters());
    Model::State dnext = next;
    dnext.memories[0].rows = random_tensor<double, 2>({4, 4}, 5);
    const Matrix<double> dy({5, 4});
    const auto dx = model.backward(dy, &dnext, state, cache, dstate, grads);
    double largest = 0;
    for (Index i = 0; i < dx.rows(); ++i) {
      for (Index j = 0; j < 4; ++j) largest = std::max(largest, std::abs(dx(i, j)));
    }
    if (write == Memory::Write::front) {
      CHECK(largest == 0);
      CHECK(same_state(next, next_of_other));
    } else {
      CHECK(largest > 1e-3);
      CHECK_FALSE(same_state(next, next_of_other));
    }
  }
}

TEST_CASE("the gradients of an encoder with memory tokens agree with central differences over four segments",
          "[memory]") {
  for (const bool causal : {false, true}) {
    for (const auto write : {Memory::Write::end, Memory::Write::front}) {
      auto config = config_of(causal, write);
      config.memory.gated = true;
      config.memory.write_embedding = write == Memory::Write::end;
      Model model(config, Random(1));
      const std::vector<Sequences> sequences{Sequences({2, 1}), Sequences({0, 3}), Sequences({2, 0}),
                                             Sequences({1, 2})};
      std::vector<Matrix<double>> x, dy;
      for (std::size_t i = 0; i < 4; ++i) {
        x.push_back(random_tensor<double, 2>({sequences[i].rows(), 4}, 10 + i));
        dy.push_back(random_tensor<double, 2>({sequences[i].rows(), 4}, 20 + i));
      }
      const auto dlast = random_tensor<double, 2>({4, 4}, 30);
      std::vector<Model::State> states(5);
      std::vector<Model::Cache> caches(4);
      const auto loss = [&] {
        model.initial(2, states[0]);
        double sum = 0;
        for (std::size_t i = 0; i < 4; ++i) {
          sum += inner_product(model.forward({x[i], &sequences[i]}, states[i], &states[i + 1], {}, caches[i]), dy[i]);
        }
        return sum + inner_product(ConstMatrixView<double>(states[4].memories[0].rows), dlast);
      };
      (void)loss();
      auto grads = zeros_like(model.parameters());
      Model::State dnext = states[4], dstate;
      dnext.memories[0].rows = dlast;
      std::vector<Matrix<double>> dx(4);
      for (std::size_t i = 4; i-- > 0;) {
        zero_state_like(states[i], dstate);
        dx[i] = Matrix<double>(model.backward(dy[i], &dnext, states[i], caches[i], dstate, grads));
        std::swap(dnext, dstate);
      }
      model.initial_backward(dnext, grads);
      std::string name;
      CHECK(parameter_gradient_error(loss, model.parameters(), grads, name) < 1e-6);
      for (std::size_t i = 0; i < 4; ++i) CHECK(gradient_error(loss, x[i], dx[i]) < 1e-6);
    }
  }
}

TEST_CASE("memory tokens say what does not fit", "[memory]") {
  Memory::Config config;
  CHECK_THROWS_WITH(Memory(config, Random(1)), "MemoryTokens: features is 0, expected at least 1");
  config.features = 2;
  config.count = 0;
  CHECK_THROWS_WITH(Memory(config, Random(1)), "MemoryTokens: count is 0, expected at least 1");
  config.count = 3;
  const Memory memory(config, Random(1));
  Memory::State state;
  memory.initial(1, state);
  Memory::ReadCache cache;
  const Matrix<double> x({4, 3}), y({4, 2});
  CHECK_THROWS_WITH(memory.read(state, x, Sequences({4}), cache), "MemoryTokens::read: x is [4, 3], expected [*, 2]");
  CHECK_THROWS_WITH(memory.read(state, y, Sequences({2, 2}), cache),
                    "MemoryTokens::read: state is [3, 2], expected [6, 2]");
  auto model_config = config_of(true, Memory::Write::end);
  model_config.memory_layer = 2;
  CHECK_THROWS_WITH(Model(model_config, Random(1)),
                    "RecurrentEncoder: memory_layer is 2, expected -1 or below num_layers, 2");
}

}  // namespace memory_tokens_test
