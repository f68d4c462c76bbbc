#include "support/bits.hpp"
#include "support/catch.hpp"
#include "support/gradients.hpp"

#include <mat/ops/content_memory.hpp>

namespace content_memory_test {

using namespace mat;
using mat::test::gradient_error;
using mat::test::inner_product;
using mat::test::largest_difference;
using mat::test::random_tensor;
using mat::test::same_bits;

namespace {

template <class T>
struct Problem {
  static constexpr Index kSlots = 6;
  Sequences sequences;
  Index d;
  Matrix<T> key, strength, erase, add, start;

  explicit Problem(const Sequences& rows, Index features = 5) : sequences(rows), d(features) {
    const Index n = sequences.rows();
    key = random_tensor<T, 2>({n, d}, 1);
    strength = random_tensor<T, 2>({n, 1}, 2);
    erase = random_tensor<T, 2>({n, d}, 3);
    for (Index i = 0; i < n * d; ++i) erase.data()[i] = 1 / (1 + std::exp(-erase.data()[i]));
    for (Index i = 0; i < n; ++i) strength.data()[i] = 1 + std::abs(strength.data()[i]);
    add = random_tensor<T, 2>({n, d}, 4);
    start = random_tensor<T, 2>({sequences.count() * kSlots, d}, 5);
  }
  [[nodiscard]] ContentMemoryInputs<T> inputs() const { return {key, strength, erase, add, sequences}; }

  /// The equations, number by number; `m` becomes the last slots.
  [[nodiscard]] Matrix<T> reference(Matrix<T>& m) const {
    Matrix<T> y({sequences.rows(), d});
    for (Index b = 0; b < sequences.count(); ++b) {
      for (Index t = sequences.begin(b); t < sequences.end(b); ++t) {
        double w[kSlots], sum = 0;
        for (Index i = 0; i < kSlots; ++i) {
          double product = 0, key_squares = 0, slot_squares = 0;
          for (Index j = 0; j < d; ++j) {
            const double a = key(t, j), s = m(b * kSlots + i, j);
            product += a * s, key_squares += a * a, slot_squares += s * s;
          }
          w[i] = std::exp(strength(t, 0) * product / std::sqrt(key_squares * slot_squares));
          sum += w[i];
        }
        for (Index i = 0; i < kSlots; ++i) {
          for (Index j = 0; j < d; ++j) {
            T& s = m(b * kSlots + i, j);
            y(t, j) += static_cast<T>(w[i] / sum * s);
            s = static_cast<T>(s * (1 - w[i] / sum * erase(t, j)) + w[i] / sum * add(t, j));
          }
        }
      }
    }
    return y;
  }
};

}  // namespace

TEMPLATE_TEST_CASE("content-addressed slots equal their equations, number by number", "[ops]", float, double) {
  using T = TestType;
  for (const Index features : {5, 16}) {
    const Problem<T> p(Sequences({5, 0, 1, 30}), features);
    ContentMemoryCache<T> cache;
    Matrix<T> slots = p.start, expected_slots = p.start;
    const Matrix<T> expected = p.reference(expected_slots);
    const double tolerance = sizeof(T) == 4 ? 1e-5 : 1e-13;
    CHECK(largest_difference(Matrix<T>(content_memory_forward<T>(p.inputs(), slots, cache)), expected) < tolerance);
    CHECK(largest_difference(slots, expected_slots) < tolerance);
  }
}

TEST_CASE("gradients of content-addressed slots agree with central differences", "[ops]") {
  Problem<double> p(Sequences({4, 0, 1, 6}));
  ContentMemoryCache<double> cache, scratch;
  Matrix<double> slots = p.start, dslots = random_tensor<double, 2>(p.start.shape(), 7);
  const Matrix<double> dend = dslots;
  const auto dy = random_tensor<double, 2>(p.key.shape(), 8);
  (void)content_memory_forward<double>(p.inputs(), slots, cache);
  Matrix<double> dkey(p.key.shape()), dstrength(p.strength.shape()), derase(p.key.shape()), dadd(p.key.shape());
  content_memory_backward<double>(dy, p.inputs(), cache, {dkey, dstrength, derase, dadd}, dslots);
  const auto loss = [&] {
    Matrix<double> end = p.start;
    const double y = inner_product(content_memory_forward<double>(p.inputs(), end, scratch), dy);
    return y + inner_product(ConstMatrixView<double>(end), dend);
  };
  CHECK(gradient_error(loss, p.key, dkey) < 1e-6);
  CHECK(gradient_error(loss, p.strength, dstrength) < 1e-6);
  CHECK(gradient_error(loss, p.erase, derase) < 1e-6);
  CHECK(gradient_error(loss, p.add, dadd) < 1e-6);
  CHECK(gradient_error(loss, p.start, dslots) < 1e-6);
}

TEMPLATE_TEST_CASE("P6: slots of a sequence have the same bits alone and in a batch", "[ops]", float, double) {
  using T = TestType;
  const Problem<T> p(Sequences({3, 0, 7}));
  Problem<T> alone(Sequences({7}));
  alone.key = Matrix<T>(p.key.view().middle_rows(3, 7)), alone.add = Matrix<T>(p.add.view().middle_rows(3, 7));
  alone.strength = Matrix<T>(p.strength.view().middle_rows(3, 7));
  alone.erase = Matrix<T>(p.erase.view().middle_rows(3, 7)), alone.start = Matrix<T>(p.start.view().middle_rows(12, 6));
  ContentMemoryCache<T> cache, alone_cache;
  Matrix<T> slots = p.start, alone_slots = alone.start;
  const auto y = content_memory_forward<T>(p.inputs(), slots, cache);
  const auto alone_y = content_memory_forward<T>(alone.inputs(), alone_slots, alone_cache);
  CHECK(same_bits<T>(y.middle_rows(3, 7), alone_y));
  CHECK(same_bits<T>(slots.view().middle_rows(12, 6), alone_slots));
  CHECK(same_bits<T>(slots.view().middle_rows(6, 6), p.start.view().middle_rows(6, 6)));
}

TEST_CASE("empty slots are found by no key more than by another, and can be written", "[ops]") {
  Problem<double> p(Sequences::with_capacity({1}, 2));
  p.start.fill(0);
  ContentMemoryCache<double> cache;
  Matrix<double> slots = p.start;
  const auto y = content_memory_forward<double>(p.inputs(), slots, cache);
  for (Index j = 0; j < 5; ++j) {
    CHECK(y(0, j) == 0);
    CHECK(std::abs(slots(2, j) - p.add(0, j) / 6) < 1e-15);
  }
  Matrix<double> dkey(p.key.shape()), dstrength(p.strength.shape()), derase(p.key.shape()), dadd(p.key.shape());
  dkey.fill(7);
  content_memory_backward<double>(p.add, p.inputs(), cache, {dkey, dstrength, derase, dadd}, slots);
  for (Index j = 0; j < 5; ++j) {
    CHECK(std::isfinite(dkey(0, j)));
    CHECK(dkey(1, j) == 0);  // of a row that belongs to no sequence
  }
}

TEST_CASE("slots of one number are found by its sign, which has gradient 0", "[ops]") {
  const Problem<float> p(Sequences::uniform(1, 7), 1);
  ContentMemoryCache<float> cache;
  Matrix<float> slots = p.start, dslots(p.start.shape());
  content_memory_forward<float>(p.inputs(), slots, cache);
  Matrix<float> dkey({7, 1}), dstrength({7, 1}), derase({7, 1}), dadd({7, 1});
  const auto dy = random_tensor<float, 2>({7, 1}, 6);
  content_memory_backward<float>(dy, p.inputs(), cache, {dkey, dstrength, derase, dadd}, dslots);
  CHECK(dkey == Matrix<float>({7, 1}));
  CHECK_FALSE(dadd == Matrix<float>({7, 1}));
}

TEST_CASE("content-addressed slots say what does not fit", "[ops]") {
  Problem<float> p(Sequences({2, 2}));
  ContentMemoryCache<float> cache;
  Matrix<float> slots({7, 5}), narrow({6, 4});
  CHECK_THROWS_WITH(content_memory_forward<float>(p.inputs(), slots, cache),
                    "content_memory_forward: slots' rows is 7, expected a multiple of the sequences, 2");
  CHECK_THROWS_WITH(content_memory_forward<float>(p.inputs(), narrow, cache),
                    "content_memory_forward: slots is [6, 4], expected [*, 5]");
  p.strength = Matrix<float>({4, 2});
  CHECK_THROWS_WITH(content_memory_forward<float>(p.inputs(), slots, cache),
                    "content_memory_forward: strength is [4, 2], expected [4, 1]");
}

}  // namespace content_memory_test
