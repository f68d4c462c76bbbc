#include "support/bits.hpp"
#include "support/catch.hpp"
#include "support/gradients.hpp"

#include <mat/memory/delta_cache.hpp>
#include <mat/memory/segment_cache.hpp>

#include <cmath>

namespace delta_cache_test {

using namespace mat;
using mat::test::gradient_error;
using mat::test::inner_product;
using mat::test::largest_difference;
using mat::test::parameter_gradient_error;
using mat::test::random_tensor;
using mat::test::same_bits;

namespace {

const std::vector<std::vector<Index>> kSegments{{2, 3, 0}, {1, 0, 2}, {3, 7, 2}, {0, 2, 1}};

/// A delta cache written out: one token at a time, with loops over numbers.
class PlainCache {
 public:
  explicit PlainCache(const DeltaCache<double>& memory)
      : p_(memory.parameters()),
        length_(memory.config().length),
        keys_(memory.config().key_dim),
        features_(memory.config().features),
        s_(static_cast<std::size_t>(keys_ * features_)) {}

  void write(const double* x) {
    const Index slot = written_++ % length_;
    double logit = p_.beta.parameters().bias(0);
    for (Index j = 0; j < features_; ++j) logit += p_.beta.parameters().weight(0, j) * x[j];
    const double beta = 1 / (1 + std::exp(-logit));
    std::vector<double> error(x, x + features_);
    for (Index j = 0; j < features_; ++j) error[static_cast<std::size_t>(j)] -= read(slot, j);
    for (Index i = 0; i < keys_; ++i) {
      for (Index j = 0; j < features_; ++j) at(i, j) += key(slot, i) * beta * error[static_cast<std::size_t>(j)];
    }
  }
  [[nodiscard]] Index kept() const { return std::min(written_, length_); }
  /// Feature j of row `row`, the oldest first.
  [[nodiscard]] double row(Index row, Index j) const { return read((written_ - kept() + row) % length_, j); }

 private:
  [[nodiscard]] double& at(Index i, Index j) { return s_[static_cast<std::size_t>(i * features_ + j)]; }
  [[nodiscard]] double key(Index slot, Index i) const {
    double squares = 0;
    for (Index k = 0; k < keys_; ++k) squares += p_.slot_keys(slot, k) * p_.slot_keys(slot, k);
    return p_.slot_keys(slot, i) / std::sqrt(squares);
  }
  [[nodiscard]] double read(Index slot, Index j) const {
    double sum = 0;
    for (Index i = 0; i < keys_; ++i) sum += key(slot, i) * s_[static_cast<std::size_t>(i * features_ + j)];
    return sum;
  }

  const DeltaCache<double>::Parameters& p_;
  Index length_, keys_, features_, written_ = 0;
  std::vector<double> s_;  // [key_dim, features]
};

/// Reads and writes kSegments; fn(segment, rows, which rows are whose, x) sees what was read before each.
template <class Memory, class Function>
void read_segments(const Memory& memory, Index features, const Function& fn) {
  typename Memory::State state, next;
  typename Memory::ReadCache read;
  typename Memory::WriteCache write;
  memory.initial(3, state);
  for (std::size_t i = 0; i < kSegments.size(); ++i) {
    const Sequences sequences(kSegments[i]);
    const auto x = random_tensor<double, 2>({sequences.rows(), features}, 10 + i);
    const auto rows = memory.read(state, x, sequences, read);
    fn(i, rows, memory.rows_of(read), x);
    const auto before = state;
    memory.write(state, x, sequences, next, write);
    CHECK(same_state(state, before));
    std::swap(state, next);
  }
}

/// Segments that are read and written, of which everything that was read and the last state count.
struct Story {
  using Memory = DeltaCache<double>;
  std::vector<Matrix<double>> h, dr;

  Story() {
    for (std::size_t i = 0; i < kSegments.size(); ++i) {
      h.push_back(random_tensor<double, 2>({Sequences(kSegments[i]).rows(), 4}, 10 + i));
      dr.push_back(random_tensor<double, 2>({3 * 3, 4}, 20 + i));
    }
  }
  [[nodiscard]] double loss(const Memory& memory) const {
    double sum = 0;
    Memory::State state, next;
    Memory::ReadCache read;
    Memory::WriteCache write;
    memory.initial(3, state);
    for (std::size_t i = 0; i < h.size(); ++i) {
      sum += inner_product(memory.read(state, h[i], Sequences(kSegments[i]), read), dr[i]);
      memory.write(state, h[i], Sequences(kSegments[i]), next, write);
      std::swap(state, next);
    }
    return sum + inner_product(ConstMatrixView<double>(state.matrix), last_weights(memory));
  }
  /// Of h; adds those of the parameters.
  std::vector<Matrix<double>> gradient(const Memory& memory, Memory::Parameters& grads) const {
    std::vector<Memory::State> states(h.size() + 1);
    std::vector<Memory::ReadCache> reads(h.size());
    std::vector<Memory::WriteCache> writes(h.size());
    memory.initial(3, states[0]);
    for (std::size_t i = 0; i < h.size(); ++i) {
      static_cast<void>(memory.read(states[i], h[i], Sequences(kSegments[i]), reads[i]));
      memory.write(states[i], h[i], Sequences(kSegments[i]), states[i + 1], writes[i]);
    }
    Memory::State dnext, dstate;
    zero_state_like(states.back(), dnext);
    dnext.matrix = last_weights(memory);
    std::vector<Matrix<double>> dh(h.size());
    for (std::size_t i = h.size(); i-- > 0;) {
      zero_state_like(states[i], dstate);
      dh[i].assign(memory.write_backward(dnext, states[i], writes[i], dstate, grads));
      const auto dx = memory.read_backward(dr[i], states[i], reads[i], dstate, grads);
      const Matrix<double> zero(dx.shape());
      CHECK(largest_difference<double, 2>(dx, zero) == 0);
      std::swap(dnext, dstate);
    }
    return dh;
  }

 private:
  [[nodiscard]] static Matrix<double> last_weights(const Memory& memory) {
    return random_tensor<double, 2>({3 * memory.config().key_dim, 4}, 30);
  }
};

}  // namespace

TEST_CASE("a delta cache keeps the memory contract; its keys and the rate of writing are learned", "[memory]") {
  check_is_memory<float, DeltaCache<float>>();
  check_is_memory<double, DeltaCache<double>>();
  const DeltaCache<double> memory({6, 4, 3}, Random(1));
  CHECK(parameter_count(memory.parameters()) == 4 * 3 + 6 + 1);
  DeltaCache<double>::State state;
  memory.initial(2, state);
  CHECK(state_bytes(state) == 2 * 3 * 6 * 8 + 2 * 8);
}

TEST_CASE("a delta cache reads what plain loops that write token by token read", "[memory]") {
  for (const Index key_dim : {2, 3, 5}) {
    DeltaCache<double> memory({4, 3, key_dim}, Random(2));
    memory.parameters().slot_keys = random_tensor<double, 2>({3, key_dim}, 3);
    memory.parameters().beta.parameters().weight = random_tensor<double, 2>({1, 4}, 4);
    std::vector<PlainCache> plain(3, PlainCache(memory));
    read_segments(memory, 4,
                  [&](std::size_t i, ConstMatrixView<double> rows, const Sequences& whose, const Matrix<double>& x) {
                    const Sequences sequences(kSegments[i]);
                    for (Index b = 0; b < 3; ++b) {
                      PlainCache& expected = plain[static_cast<std::size_t>(b)];
                      REQUIRE(whose.length(b) == expected.kept());
                      for (Index r = 0; r < whose.length(b); ++r) {
                        for (Index j = 0; j < 4; ++j) {
                          CHECK(std::abs(rows(whose.begin(b) + r, j) - expected.row(r, j)) < 1e-12);
                        }
                      }
                      for (Index t = sequences.begin(b); t < sequences.end(b); ++t) expected.write(x.view().row(t));
                    }
                  });
  }
}

TEST_CASE("with keys at right angles and beta of 1 a delta cache reads what a segment cache keeps", "[memory]") {
  DeltaCache<double> memory({4, 3, 3}, Random(1));
  memory.parameters().beta.parameters().bias.fill(1000);
  std::vector<Matrix<double>> rows_kept;
  read_segments(SegmentCache<double>({4, 3}, Random(1)), 4,
                [&](std::size_t, ConstMatrixView<double> rows, const Sequences&, const Matrix<double>&) {
                  rows_kept.emplace_back(rows);
                });
  read_segments(memory, 4, [&](std::size_t i, ConstMatrixView<double> rows, const Sequences&, const Matrix<double>&) {
    CHECK(largest_difference<double, 2>(rows, rows_kept[i]) < 1e-12);
  });
}

TEST_CASE("P6: what a delta cache keeps of a sequence has the same bits alone; without tokens it stays", "[memory]") {
  const DeltaCache<float> memory({16, 5, 3}, Random(1));
  DeltaCache<float>::State state, next, alone, alone_next;
  DeltaCache<float>::WriteCache write;
  memory.initial(3, state);
  memory.initial(1, alone);
  std::uint64_t seed = 1;
  for (const auto& lengths : kSegments) {
    const Sequences sequences(lengths);
    const auto x = random_tensor<float, 2>({sequences.rows(), 16}, ++seed);
    memory.write(state, x, sequences, next, write);
    const auto own = x.view().middle_rows(sequences.begin(1), sequences.length(1));
    memory.write(alone, own, Sequences({lengths[1]}), alone_next, write);
    CHECK(same_bits<float>(alone_next.matrix, next.matrix.view().middle_rows(3, 3)));
    for (Index b = 0; b < 3; ++b) {
      if (lengths[static_cast<std::size_t>(b)] > 0) continue;
      CHECK(same_bits<float>(next.matrix.view().middle_rows(3 * b, 3), state.matrix.view().middle_rows(3 * b, 3)));
      CHECK(next.written(b) == state.written(b));
    }
    std::swap(state, next);
    std::swap(alone, alone_next);
  }
}

TEST_CASE("the count of a delta cache stays small for ever, and any split of what is written leaves the same rows",
          "[memory]") {
  const DeltaCache<double> memory({4, 3, 2}, Random(1));
  const auto x = random_tensor<double, 2>({100, 4}, 2);
  const auto rows_after = [&](Index push) {
    DeltaCache<double>::State state, next;
    DeltaCache<double>::ReadCache read;
    DeltaCache<double>::WriteCache write;
    memory.initial(1, state);
    for (Index first = 0; first < 100; first += push) {
      const Index count = std::min<Index>(push, 100 - first);
      memory.write(state, x.view().middle_rows(first, count), Sequences({count}), next, write);
      std::swap(state, next);
      CHECK(state.written(0) < 6);
    }
    return Matrix<double>(memory.read(state, x, Sequences({100}), read));
  };
  const Matrix<double> at_once = rows_after(100);
  for (const Index push : {1, 2, 3, 7, 40}) CHECK(largest_difference<double, 2>(rows_after(push), at_once) < 1e-12);
}

TEST_CASE("gradients through 4 segments of a delta cache agree with central differences, and add up", "[memory]") {
  for (const Index key_dim : {2, 3, 5}) {
    CAPTURE(key_dim);
    DeltaCache<double> memory({4, 3, key_dim, 0.7}, Random(2));
    memory.parameters().slot_keys = random_tensor<double, 2>({3, key_dim}, 3);
    memory.parameters().beta.parameters().weight = random_tensor<double, 2>({1, 4}, 4);
    Story story;
    auto grads = zeros_like(memory.parameters());
    const auto dh = story.gradient(memory, grads);
    const auto loss = [&] { return story.loss(memory); };
    std::string name;
    const double error = parameter_gradient_error(loss, memory.parameters(), grads, name);
    CAPTURE(name);
    CHECK(error < 1e-6);
    for (std::size_t i = 0; i < kSegments.size(); ++i) CHECK(gradient_error(loss, story.h[i], dh[i]) < 1e-6);
    const auto once = grads;
    static_cast<void>(story.gradient(memory, grads));
    for_each_parameter(
        [](const ParameterName&, const auto& twice, const auto& first) {
          for (Index i = 0; i < first.size(); ++i) CHECK(twice.data()[i] == Approx(2 * first.data()[i]).margin(1e-12));
        },
        grads, once);
  }
}

TEST_CASE("a key of 0 writes and reads nothing, and has no gradient", "[memory]") {
  DeltaCache<double> memory({4, 3, 2}, Random(2));
  for (Index i = 0; i < 2; ++i) memory.parameters().slot_keys(1, i) = 0;
  Story story;
  auto grads = zeros_like(memory.parameters());
  static_cast<void>(story.gradient(memory, grads));
  CHECK(std::isfinite(story.loss(memory)));
  CHECK(grads.slot_keys(1, 0) == 0);
  CHECK(grads.slot_keys(1, 1) == 0);
}

TEST_CASE("rows between the sequences of a segment are not written, and no sequences are no rows", "[memory]") {
  const DeltaCache<double> memory({4, 3, 2}, Random(2));
  DeltaCache<double>::State state, next, expected;
  DeltaCache<double>::ReadCache read;
  DeltaCache<double>::WriteCache write;
  const Sequences gaps = Sequences::with_capacity({2, 1}, 3), tight({2, 1});
  const auto h = random_tensor<double, 2>({6, 4}, 3);
  Matrix<double> packed({3, 4});
  for (const Index t : {0, 1, 2}) std::copy_n(h.view().row(t < 2 ? t : 3), 4, packed.view().row(t));
  memory.initial(2, state);
  memory.write(state, packed, tight, expected, write);
  memory.write(state, h, gaps, next, write);
  CHECK(same_state(next, expected));
  memory.initial(0, state);
  const Matrix<double> none({0, 4});
  memory.write(state, none, Sequences(std::vector<Index>()), next, write);
  CHECK(memory.read(next, none, Sequences(std::vector<Index>()), read).rows() == 0);
}

TEST_CASE("a delta cache says what does not fit", "[memory]") {
  using Memory = DeltaCache<float>;
  CHECK_THROWS_WITH(Memory({0, 4}, Random(1)), "DeltaCache: features is 0, expected at least 1");
  CHECK_THROWS_WITH(Memory({2, 0}, Random(1)), "DeltaCache: length is 0, expected at least 1");
  CHECK_THROWS_WITH(Memory({2, 3, -1}, Random(1)), "DeltaCache: key_dim is -1, expected at least 1");
  CHECK_THROWS_WITH(Memory({2, 3, 0, 1}, Random(1)), "DeltaCache: initial_beta is 1, expected in (0, 1)");
  const Memory memory({2, 3}, Random(1));
  Memory::State state, next;
  Memory::ReadCache read;
  Memory::WriteCache write;
  memory.initial(2, state);
  const Matrix<float> x({4, 2}), wide({4, 3});
  CHECK_THROWS_WITH(memory.read(state, x, Sequences({4}), read),
                    "DeltaCache::read: the state's matrix is [4, 2], expected [2, 2]");
  CHECK_THROWS_WITH(memory.write(state, wide, Sequences({4, 0}), next, write),
                    "DeltaCache::write: h is [4, 3], expected [*, 2]");
  CHECK_THROWS_WITH(memory.read(state, x, Sequences({2, 3}), read),
                    "DeltaCache::read: x is 4 tokens, expected 5, the rows of its sequences");
  memory.write(state, x, Sequences({2, 2}), next, write);
  static_cast<void>(memory.read(state, x, Sequences({2, 2}), read));
  auto grads = zeros_like(memory.parameters());
  Memory::State dstate = state, other;
  memory.initial(1, other);
  CHECK_THROWS_WITH(memory.read_backward(x, state, read, dstate, grads),
                    "DeltaCache::read_backward: dr is [4, 2], expected [6, 2]");
  const Matrix<float> dr({6, 2});
  CHECK_THROWS_WITH(memory.read_backward(dr, state, read, other, grads),
                    "DeltaCache::read_backward: dstate is [2, 2], expected [4, 2]");
  CHECK_THROWS_WITH(memory.write_backward(other, state, write, dstate, grads),
                    "DeltaCache::write_backward: dnext is [2, 2], expected [4, 2]");
  CHECK_THROWS_WITH(memory.write_backward(next, state, write, other, grads),
                    "DeltaCache::write_backward: dstate is [2, 2], expected [4, 2]");
  state.written.resize({3});
  CHECK_THROWS_WITH(memory.read(state, x, Sequences({2, 2}), read),
                    "DeltaCache::read: the state's written is [3], expected [2]");
  state.written.resize({2});
  state.written(0) = -1;
  CHECK_THROWS_WITH(memory.read(state, x, Sequences({2, 2}), read),
                    "DeltaCache::read: a number of the state's written is -1, expected at least 0 and below 6");
  state.written(0) = 0;
  state.written(1) = 6;
  CHECK_THROWS_WITH(memory.read(state, x, Sequences({2, 2}), read),
                    "DeltaCache::read: a number of the state's written is 6, expected at least 0 and below 6");
}

}  // namespace delta_cache_test
