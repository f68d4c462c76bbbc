#include "support/bits.hpp"
#include "support/catch.hpp"
#include "support/gradients.hpp"

#include <mat/ops/delta_rule.hpp>
#include <mat/ops/unit_length.hpp>

namespace delta_rule_test {

using namespace mat;
using mat::test::gradient_error;
using mat::test::inner_product;
using mat::test::largest_difference;
using mat::test::random_tensor;
using mat::test::same_bits;

namespace {

/// Inputs of one case. Keys have length 1, decay and beta lie in (0, 1).
template <class T>
struct Problem {
  Sequences sequences;
  Index dk, dv;
  DeltaRuleOptions options;
  Matrix<T> k, v, decay, beta, start;

  Problem(const Sequences& rows, Index heads, Index key_dim, Index value_dim)
      : sequences(rows), dk(key_dim), dv(value_dim) {
    options.heads = heads;
    options.chunk = 8;
    const Index n = sequences.rows();
    k = random_tensor<T, 2>({n, heads * dk}, 2);
    unit_length_forward<T>(k, heads, k);
    v = random_tensor<T, 2>({n, heads * dv}, 3);
    start = random_tensor<T, 2>({sequences.count() * heads * dk, dv}, 4);
  }
  [[nodiscard]] Matrix<T> gates(std::uint64_t seed) const {
    auto x = random_tensor<T, 2>({sequences.rows(), options.heads}, seed);
    for (Index i = 0; i < x.size(); ++i) x.data()[i] = 1 / (1 + std::exp(-x.data()[i]));
    return x;
  }
  [[nodiscard]] DeltaRuleInputs<T> inputs() const { return {k, v, decay, beta, sequences}; }
  [[nodiscard]] Matrix<T> written() const {
    DeltaRuleCache<T> cache;
    Matrix<T> next(start.shape());
    delta_rule_forward<T>(options, inputs(), start, next, cache);
    return next;
  }

  /// The equations, number by number.
  [[nodiscard]] Matrix<T> reference() const {
    Matrix<T> state = start;
    for (Index b = 0; b < sequences.count(); ++b) {
      for (Index h = 0; h < options.heads; ++h) {
        const auto at = [&](Index i, Index j) -> T& { return state((b * options.heads + h) * dk + i, j); };
        for (Index t = sequences.begin(b); t < sequences.end(b); ++t) {
          for (Index j = 0; j < dv; ++j) {
            double error = v(t, h * dv + j);
            for (Index i = 0; i < dk; ++i) {
              at(i, j) *= decay.empty() ? T(1) : decay(t, h);
              if (options.rule == LinearAttentionRule::delta) error -= double(k(t, h * dk + i)) * at(i, j);
            }
            if (!beta.empty()) error *= beta(t, h);
            for (Index i = 0; i < dk; ++i) at(i, j) += static_cast<T>(k(t, h * dk + i) * error);
          }
        }
      }
    }
    return state;
  }
};

/// Problems of every rule and gate.
template <class T>
std::vector<Problem<T>> problems(const Sequences& sequences, Index dk = 3, Index dv = 5) {
  std::vector<Problem<T>> all;
  for (const auto rule : {LinearAttentionRule::additive, LinearAttentionRule::delta}) {
    for (const int gates : {0, 1, 2, 3}) {
      Problem<T> p(sequences, 2, dk, dv);
      p.options.rule = rule;
      if (gates % 2 == 1) p.decay = p.gates(5);
      if (gates >= 2) p.beta = p.gates(6);
      all.push_back(std::move(p));
    }
  }
  return all;
}

template <class T>
struct Gradients {
  Matrix<T> dk, dv, ddecay, dbeta, dstate;
};

template <class T>
Gradients<T> gradients_of(const Problem<T>& p, const Matrix<T>& dnext) {
  DeltaRuleCache<T> cache;
  Matrix<T> next(p.start.shape());
  delta_rule_forward<T>(p.options, p.inputs(), p.start, next, cache);
  Gradients<T> g{Matrix<T>(p.k.shape()), Matrix<T>(p.v.shape()), Matrix<T>(p.decay.shape()), Matrix<T>(p.beta.shape()),
                 Matrix<T>(p.start.shape())};
  delta_rule_backward<T>(dnext, p.options, p.inputs(), p.start, cache, {g.dk, g.dv, g.ddecay, g.dbeta}, g.dstate);
  return g;
}

double worst_gradient(Problem<double> p) {
  const auto dnext = random_tensor<double, 2>(p.start.shape(), 7);
  const Gradients<double> g = gradients_of(p, dnext);
  const auto loss = [&] {
    const Matrix<double> next = p.written();
    return inner_product(ConstMatrixView<double>(next), dnext);
  };
  double worst = std::max(
      {gradient_error(loss, p.k, g.dk), gradient_error(loss, p.v, g.dv), gradient_error(loss, p.start, g.dstate)});
  if (!p.decay.empty()) worst = std::max(worst, gradient_error(loss, p.decay, g.ddecay));
  if (!p.beta.empty()) worst = std::max(worst, gradient_error(loss, p.beta, g.dbeta));
  return worst;
}

}  // namespace

TEMPLATE_TEST_CASE("P5: chunks write what the tokens write one by one, whatever their size", "[ops]", float, double) {
  using T = TestType;
  const double tolerance = sizeof(T) == 4 ? 2e-5 : 1e-13;
  for (const Index width : {3, 16}) {
    for (Problem<T>& p : problems<T>(Sequences({5, 0, 1, 70}), width, width)) {
      const Matrix<T> expected = p.reference();
      for (const Index chunk : {1, 7, 8, 32, 100}) {
        p.options.chunk = chunk;
        CHECK(largest_difference(p.written(), expected) < tolerance);
      }
    }
  }
}

TEST_CASE("P13: a chunk that is not full is written", "[ops]") {
  Problem<double> p(Sequences({3}), 1, 4, 2);
  p.options.chunk = 64;
  CHECK(largest_difference(p.written(), p.reference()) < 1e-14);
  CHECK(largest_difference(p.written(), p.start) > 0.1);
}

TEST_CASE("gradients of the delta rule agree with central differences", "[ops]") {
  for (Problem<double>& p : problems<double>(Sequences({3, 0, 1, 19}))) {
    CHECK(worst_gradient(p) < 1e-6);
    p.options.chunk = 32;
    CHECK(worst_gradient(p) < 1e-6);
  }
}

TEST_CASE("tokens that forget everything before them have gradients like any others", "[ops]") {
  for (Problem<double>& p : problems<double>(Sequences({9, 2}))) {
    if (p.decay.empty()) continue;
    for (Index h = 0; h < p.options.heads; ++h) p.decay(4, h) = p.decay(10, h) = 0;
    CHECK(largest_difference(p.written(), p.reference()) < 1e-13);
    CHECK(worst_gradient(p) < 1e-6);
  }
}

TEST_CASE("the gradient of the state adds up, the others are set", "[ops]") {
  Problem<double> p = problems<double>(Sequences({11}))[7];
  const auto dnext = random_tensor<double, 2>(p.start.shape(), 7);
  const Gradients<double> once = gradients_of(p, dnext);
  DeltaRuleCache<double> cache;
  Matrix<double> next(p.start.shape());
  delta_rule_forward<double>(p.options, p.inputs(), p.start, next, cache);
  Gradients<double> twice = once;
  delta_rule_backward<double>(dnext, p.options, p.inputs(), p.start, cache,
                              {twice.dk, twice.dv, twice.ddecay, twice.dbeta}, twice.dstate);
  CHECK(same_bits(twice.dk, once.dk));
  CHECK(same_bits(twice.dv, once.dv));
  CHECK(same_bits(twice.ddecay, once.ddecay));
  CHECK(same_bits(twice.dbeta, once.dbeta));
  for (Index i = 0; i < once.dstate.size(); ++i) CHECK(twice.dstate.data()[i] == 2 * once.dstate.data()[i]);
}

TEMPLATE_TEST_CASE("P6: a sequence writes the same bits alone and in a batch", "[ops]", float, double) {
  using T = TestType;
  for (const Index chunk : {Index{8}, kDeltaRuleChunk}) {
    for (Problem<T>& p : problems<T>(Sequences({5, 0, 33}))) {
      p.options.chunk = chunk;
      const auto dnext = random_tensor<T, 2>(p.start.shape(), 7);
      const Matrix<T> next = p.written();
      const Gradients<T> g = gradients_of(p, dnext);
      const Index rows = p.options.heads * p.dk;
      Problem<T> alone(Sequences({33}), p.options.heads, p.dk, p.dv);
      alone.options = p.options;
      const auto part = [](const Matrix<T>& all, Index first, Index count) {
        return all.empty() ? Matrix<T>() : Matrix<T>(all.view().middle_rows(first, count));
      };
      alone.k = part(p.k, 5, 33), alone.v = part(p.v, 5, 33);
      alone.decay = part(p.decay, 5, 33), alone.beta = part(p.beta, 5, 33);
      alone.start = part(p.start, 2 * rows, rows);
      const Gradients<T> ga = gradients_of(alone, part(dnext, 2 * rows, rows));
      CHECK(same_bits(alone.written(), part(next, 2 * rows, rows)));
      CHECK(same_bits(part(next, rows, rows), part(p.start, rows, rows)));  // without tokens nothing changes
      CHECK(same_bits(ga.dk, part(g.dk, 5, 33)));
      CHECK(same_bits(ga.dv, part(g.dv, 5, 33)));
      CHECK(same_bits(ga.ddecay, part(g.ddecay, 5, 33)));
      CHECK(same_bits(ga.dbeta, part(g.dbeta, 5, 33)));
      CHECK(same_bits(ga.dstate, part(g.dstate, 2 * rows, rows)));
    }
  }
}

TEST_CASE("rows between sequences are neither read nor written", "[ops]") {
  for (Problem<double>& p : problems<double>(Sequences::with_capacity({3, 5}, 6))) {
    const auto dnext = random_tensor<double, 2>(p.start.shape(), 7);
    const Matrix<double> before = p.written();
    for (Index j = 0; j < p.k.cols(); ++j) p.k(4, j) = std::numeric_limits<double>::quiet_NaN();
    CHECK(same_bits(p.written(), before));
    const Gradients<double> g = gradients_of(p, dnext);
    for (Index j = 0; j < p.k.cols(); ++j) CHECK(g.dk(4, j) == 0);
    for (Index j = 0; j < p.v.cols(); ++j) CHECK(g.dv(11, j) == 0);
  }
}

TEST_CASE("the next state may be columns of a wider matrix, of which the others stay", "[ops]") {
  for (const auto& problem : problems<double>(Sequences({11, 3}))) {
    DeltaRuleCache<double> cache;
    const auto filler = random_tensor<double, 2>({problem.start.shape()[0], problem.dv + 4}, 5);
    auto wide = filler;
    const auto next = wide.view().middle_cols(2, problem.dv);
    delta_rule_forward<double>(problem.options, problem.inputs(), problem.start, next, cache);
    CHECK(same_bits<double>(next, problem.written().view()));
    for (const Index others : {Index{0}, problem.dv + 2}) {
      CHECK(same_bits<double>(wide.view().middle_cols(others, 2), filler.view().middle_cols(others, 2)));
    }
  }
}

TEST_CASE("the delta rule says what does not fit", "[ops]") {
  Problem<float> p(Sequences({4}), 2, 3, 5);
  DeltaRuleCache<float> cache;
  Matrix<float> next = p.start, small({5, 5});
  const auto forward = [&](const Matrix<float>& state) {
    delta_rule_forward<float>(p.options, p.inputs(), state, next, cache);
  };
  CHECK_THROWS_WITH(forward(small), "delta_rule_forward: state is [5, 5], expected [6, 5]");
  p.beta = Matrix<float>({4, 3});
  CHECK_THROWS_WITH(forward(p.start), "delta_rule_forward: beta is [4, 3], expected [4, 2]");
  p.beta = Matrix<float>();
  p.decay = Matrix<float>({4, 1});
  CHECK_THROWS_WITH(forward(p.start), "delta_rule_forward: decay is [4, 1], expected [4, 2]");
  p.decay = Matrix<float>();
  p.options.chunk = 0;
  CHECK_THROWS_WITH(forward(p.start), "delta_rule_forward: chunk is 0, expected at least 1");
  p.options.chunk = 8, p.options.heads = 4;
  CHECK_THROWS_WITH(forward(p.start), "delta_rule_forward: k's columns is 6, expected a multiple of 4");
  p.options.heads = 2;
  Matrix<float> dk({4, 6}), dv({4, 10}), none;
  CHECK_THROWS_WITH(
      delta_rule_backward<float>(small, p.options, p.inputs(), p.start, cache, {dk, dv, none, none}, next),
      "delta_rule_backward: dnext is [5, 5], expected [6, 5]");
  CHECK_THROWS_WITH(
      delta_rule_backward<float>(p.start, p.options, p.inputs(), p.start, cache, {dv, dv, none, none}, next),
      "delta_rule_backward: dk is [4, 10], expected [4, 6]");
}

}  // namespace delta_rule_test
