#include "support/bits.hpp"
#include "support/catch.hpp"
#include "support/gradients.hpp"

#include <mat/memory/memory.hpp>
#include <mat/memory/self_attention.hpp>
#include <mat/memory/stream_pool.hpp>

namespace stream_pool_test {

using namespace mat;
using mat::test::gradient_error;
using mat::test::inner_product;
using mat::test::largest_difference;
using mat::test::random_tensor;

namespace {

using Pool = StreamPool<double>;
constexpr double kInfinity = std::numeric_limits<double>::infinity();

[[nodiscard]] Pool::Config three_features(double decay = 1) {
  Pool::Config config;
  config.features = 3;
  config.decay = decay;
  return config;
}

/// The pool of one sequence that is written in pieces of these lengths.
[[nodiscard]] Matrix<double> pooled_in_pieces(const Pool& pool, const Matrix<double>& scores,
                                              const Matrix<double>& memory, const std::vector<Index>& lengths) {
  Pool::State state, next;
  pool.initial(1, state);
  Pool::WriteCache cache;
  Index first = 0;
  for (const Index length : lengths) {
    pool.write(state, scores.view().middle_rows(first, length), memory.view().middle_rows(first, length),
               Sequences::single(length), next, cache);
    std::swap(state, next);
    first += length;
  }
  Pool::ReadCache read;
  return Matrix<double>(pool.read(state, read));
}

}  // namespace

TEST_CASE("P4: a document pooled segment by segment is the document pooled whole", "[memory]") {
  const SelfAttention<double> attention({3, 5}, Random(1));
  const auto x = random_tensor<double, 2>({40, 3}, 2, 3), memory = random_tensor<double, 2>({40, 3}, 3);
  SelfAttention<double>::Cache cache;
  (void)attention.forward(x, memory, Sequences::single(40), cache);
  const Matrix<double> whole(attention.pool_forward(cache));
  const Matrix<double> scores(SelfAttention<double>::scores_of(cache));
  const Pool pool(three_features());
  for (const auto& lengths : std::vector<std::vector<Index>>{
           {40}, {20, 20}, {1, 39}, {39, 1}, {0, 13, 0, 27}, {7, 7, 7, 7, 7, 5}, std::vector<Index>(40, 1)}) {
    CHECK(largest_difference(pooled_in_pieces(pool, scores, memory, lengths), whole) < 1e-15);
  }
}

TEST_CASE("scores of any size are pooled as their differences say", "[memory]") {
  const Pool pool(three_features());
  const auto memory = random_tensor<double, 2>({4, 3}, 3);
  const Matrix<double> scores({4, 1}, {1, -2, 0.5, 3}), far({4, 1}, {1e6 + 1, 1e6 - 2, 1e6 + 0.5, 1e6 + 3});
  const auto expected = pooled_in_pieces(pool, scores, memory, {2, 2});
  CHECK(largest_difference(pooled_in_pieces(pool, far, memory, {1, 3}), expected) < 1e-14);

  SECTION("minus infinity weighs nothing, wherever it stands") {
    const Matrix<double> masked({4, 1}, {-kInfinity, -kInfinity, 0.5, -kInfinity});
    for (const auto& lengths : std::vector<std::vector<Index>>{{4}, {2, 2}, {1, 2, 1}}) {
      const auto y = pooled_in_pieces(pool, masked, memory, lengths);
      for (Index j = 0; j < 3; ++j) CHECK(y(0, j) == memory(2, j));
    }
    const Matrix<double> none({4, 1}, {-kInfinity, -kInfinity, -kInfinity, -kInfinity});
    CHECK(pooled_in_pieces(pool, none, memory, {3, 1}) == Matrix<double>({1, 3}));
  }
}

TEST_CASE("a stream that has read nothing pools to 0, and a segment without tokens changes nothing", "[memory]") {
  const Pool pool(three_features(0.5));
  const auto scores = random_tensor<double, 2>({3, 1}, 2), memory = random_tensor<double, 2>({3, 3}, 3);
  Pool::State state, next, last;
  pool.initial(2, state);
  Pool::ReadCache read;
  CHECK(Matrix<double>(pool.read(state, read)) == Matrix<double>({2, 3}));
  CHECK(state.largest(1, 0) == -kInfinity);
  Pool::WriteCache cache;
  pool.write(state, scores, memory, Sequences({3, 0}), next, cache);
  CHECK(next.largest(1, 0) == -kInfinity);
  CHECK(next.weight(1, 0) == 0);
  pool.write(next, Matrix<double>({0, 1}).view(), Matrix<double>({0, 3}).view(), Sequences({0, 0}), last, cache);
  CHECK(same_state(last, next));
}

TEST_CASE("with a decay a token weighs less with every segment that follows", "[memory]") {
  const Pool pool(three_features(0.25));
  const auto memory = random_tensor<double, 2>({3, 3}, 3);
  const auto y = pooled_in_pieces(pool, Matrix<double>({3, 1}), memory, {1, 1, 1});
  const double first = 0.0625, second = 0.25, all = first + second + 1;
  for (Index j = 0; j < 3; ++j) {
    CHECK(std::abs(y(0, j) - (first * memory(0, j) + second * memory(1, j) + memory(2, j)) / all) < 1e-15);
  }
}

TEST_CASE("the stream pool's gradients agree with central differences over four segments", "[memory]") {
  const Pool pool(three_features(0.8));
  const std::vector<Sequences> sequences{Sequences({3, 1}), Sequences({0, 2}), Sequences({2, 0}), Sequences({1, 3})};
  std::vector<Matrix<double>> scores, memory, dy;
  for (std::size_t i = 0; i < 4; ++i) {
    scores.push_back(random_tensor<double, 2>({sequences[i].rows(), 1}, 10 + i));
    memory.push_back(random_tensor<double, 2>({sequences[i].rows(), 3}, 20 + i));
    dy.push_back(random_tensor<double, 2>({2, 3}, 30 + i));
  }
  std::vector<Pool::State> states(5);
  std::vector<Pool::WriteCache> caches(4);
  Pool::ReadCache read;
  const auto loss = [&] {
    pool.initial(2, states[0]);
    double sum = 0;
    for (std::size_t i = 0; i < 4; ++i) {
      pool.write(states[i], scores[i], memory[i], sequences[i], states[i + 1], caches[i]);
      sum += inner_product(pool.read(states[i + 1], read), dy[i]);
    }
    return sum;
  };
  (void)loss();
  std::vector<Matrix<double>> dscores(4), dmemory(4);
  Pool::State dnext, dstate;
  zero_state_like(states[4], dnext);
  for (std::size_t i = 4; i-- > 0;) {
    pool.read_backward(dy[i], states[i + 1], dnext);
    zero_state_like(states[i], dstate);
    const auto d = pool.write_backward(dnext, caches[i], dstate);
    dscores[i].assign(d.dscores);
    dmemory[i].assign(d.dmemory);
    std::swap(dnext, dstate);
  }
  for (std::size_t i = 0; i < 4; ++i) {
    CHECK(gradient_error(loss, scores[i], dscores[i]) < 1e-6);
    CHECK(gradient_error(loss, memory[i], dmemory[i]) < 1e-6);
  }
}

TEMPLATE_TEST_CASE("P6: a sequence is pooled with the same bits alone and in any batch", "[memory]", float, double) {
  using T = TestType;
  const StreamPool<T> pool({19});
  const Sequences batch({5, 0, 17, 2});
  const auto scores = random_tensor<T, 2>({batch.rows(), 1}, 2), memory = random_tensor<T, 2>({batch.rows(), 19}, 3);
  typename StreamPool<T>::State state, next, alone;
  typename StreamPool<T>::WriteCache cache;
  pool.initial(4, state);
  pool.write(state, scores, memory, batch, next, cache);
  for (Index b = 0; b < 4; ++b) {
    pool.initial(1, state);
    pool.write(state, scores.view().middle_rows(batch.begin(b), batch.length(b)),
               memory.view().middle_rows(batch.begin(b), batch.length(b)), Sequences::single(batch.length(b)), alone,
               cache);
    CHECK(test::same_bits<T>(alone.sum.view(), next.sum.view().middle_rows(b, 1)));
    CHECK(alone.weight(0, 0) == next.weight(b, 0));
  }
}

TEST_CASE("the stream pool says what does not fit", "[memory]") {
  CHECK_THROWS_WITH(Pool(Pool::Config{}), "StreamPool: features is 0, expected at least 1");
  CHECK_THROWS_WITH(Pool(three_features(0)), "StreamPool: decay is 0, expected in (0, 1]");
  CHECK_THROWS_WITH(Pool(three_features(1.5)), "StreamPool: decay is 1.5, expected in (0, 1]");
  const Pool pool(three_features());
  Pool::State state, next;
  pool.initial(2, state);
  Pool::WriteCache cache;
  const Matrix<double> scores({4, 1}), memory({4, 3}), wide({4, 2});
  CHECK_THROWS_WITH(pool.write(state, wide, memory, Sequences({2, 2}), next, cache),
                    "StreamPool::write: scores is [4, 2], expected [*, 1]");
  CHECK_THROWS_WITH(pool.write(state, scores, wide, Sequences({2, 2}), next, cache),
                    "StreamPool::write: memory is [4, 2], expected [4, 3]");
  CHECK_THROWS_WITH(pool.write(state, scores, memory, Sequences({2, 1}), next, cache),
                    "StreamPool::write: scores is 4 tokens, expected 3, the rows of its sequences");
  CHECK_THROWS_WITH(pool.write(state, scores, memory, Sequences({2, 1, 1}), next, cache),
                    "StreamPool::write: the state's largest is [2, 1], expected [3, 1]");
}

}  // namespace stream_pool_test
