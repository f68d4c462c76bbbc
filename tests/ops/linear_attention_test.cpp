#include "support/bits.hpp"
#include "support/catch.hpp"
#include "support/gradients.hpp"

#include <mat/ops/linear_attention.hpp>
#include <mat/ops/unit_length.hpp>

namespace linear_attention_test {

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
  Index kv_heads, dk, dv;
  LinearAttentionOptions<T> options;
  Matrix<T> q, k, v, decay, beta, start;

  Problem(const std::vector<Index>& lengths, Index heads, Index kv, Index key_dim, Index value_dim)
      : sequences(lengths), kv_heads(kv), dk(key_dim), dv(value_dim) {
    options.heads = heads;
    options.kv_heads = kv;
    options.scale = T(0.7);
    const Index n = sequences.rows();
    q = random_tensor<T, 2>({n, heads * dk}, 1);
    k = random_tensor<T, 2>({n, kv * dk}, 2);
    unit_length_forward<T>(k, kv, k);
    v = random_tensor<T, 2>({n, kv * dv}, 3);
    start = random_tensor<T, 2>({sequences.count() * kv * dk, dv}, 4);
  }
  static void into_unit_interval(Matrix<T>& x) {
    for (Index i = 0; i < x.size(); ++i) x.data()[i] = 1 / (1 + std::exp(-x.data()[i]));
  }
  void gate(Index decay_cols) {
    decay = random_tensor<T, 2>({sequences.rows(), decay_cols}, 5);
    into_unit_interval(decay);
  }
  void strengths() {
    beta = random_tensor<T, 2>({sequences.rows(), kv_heads}, 6);
    into_unit_interval(beta);
  }
  [[nodiscard]] LinearAttentionInputs<T> inputs() const { return {q, k, v, decay, beta, sequences}; }

  /// The equations, number by number; `state` becomes the last one.
  [[nodiscard]] Matrix<T> reference(Matrix<T>& state) const {
    const Index group = options.heads / kv_heads;
    Matrix<T> y({sequences.rows(), options.heads * dv});
    for (Index b = 0; b < sequences.count(); ++b) {
      for (Index h = 0; h < kv_heads; ++h) {
        const auto at = [&](Index i, Index j) -> T& { return state((b * kv_heads + h) * dk + i, j); };
        for (Index t = sequences.begin(b); t < sequences.end(b); ++t) {
          for (Index i = 0; i < dk; ++i) {
            const T kept = decay.empty() ? 1 : decay(t, decay.cols() == kv_heads ? h : h * dk + i);
            for (Index j = 0; j < dv; ++j) at(i, j) *= kept;
          }
          for (Index j = 0; j < dv; ++j) {
            double error = v(t, h * dv + j);
            for (Index i = 0; i < dk && options.rule == LinearAttentionRule::delta; ++i) {
              error -= double(k(t, h * dk + i)) * at(i, j);
            }
            const double written = error * (beta.empty() ? 1 : beta(t, h));
            for (Index i = 0; i < dk; ++i) at(i, j) += static_cast<T>(k(t, h * dk + i) * written);
            for (Index g = h * group; g < (h + 1) * group; ++g) {
              double sum = 0;
              for (Index i = 0; i < dk; ++i) sum += double(q(t, g * dk + i)) * at(i, j);
              y(t, g * dv + j) = static_cast<T>(options.scale * sum);
            }
          }
        }
      }
    }
    return y;
  }
};

/// Problems of every rule, gate and sharing of heads.
template <class T>
std::vector<Problem<T>> problems(const std::vector<Index>& lengths) {
  std::vector<Problem<T>> all;
  for (const auto rule : {LinearAttentionRule::additive, LinearAttentionRule::delta}) {
    for (const int gates : {0, 1, 2}) {
      Problem<T> p(lengths, 4, gates == 1 ? 2 : 4, 3, 5);
      p.options.rule = rule;
      if (gates > 0) p.gate(gates == 1 ? p.kv_heads : p.kv_heads * p.dk);
      if (gates < 2) p.strengths();
      all.push_back(std::move(p));
    }
  }
  return all;
}

double worst_gradient(Problem<double> p) {
  LinearAttentionCache<double> cache, scratch;
  Matrix<double> end = p.start, dstate = random_tensor<double, 2>(p.start.shape(), 8);
  const Matrix<double> dend = dstate;
  const auto dy = random_tensor<double, 2>({p.q.rows(), p.options.heads * p.dv}, 7);
  (void)linear_attention_forward<double>(p.options, p.inputs(), end, cache);
  Matrix<double> dq(p.q.shape()), dk(p.k.shape()), dv(p.v.shape()), ddecay(p.decay.shape()), dbeta(p.beta.shape());
  linear_attention_backward<double>(dy, p.options, p.inputs(), cache, {dq, dk, dv, ddecay, dbeta}, dstate);
  const auto loss = [&] {
    Matrix<double> state = p.start;
    const double y = inner_product(linear_attention_forward<double>(p.options, p.inputs(), state, scratch), dy);
    return y + inner_product(ConstMatrixView<double>(state), dend);
  };
  double worst = std::max({gradient_error(loss, p.q, dq), gradient_error(loss, p.k, dk), gradient_error(loss, p.v, dv),
                           gradient_error(loss, p.start, dstate)});
  if (!p.decay.empty()) worst = std::max(worst, gradient_error(loss, p.decay, ddecay));
  if (!p.beta.empty()) worst = std::max(worst, gradient_error(loss, p.beta, dbeta));
  return worst;
}

}  // namespace

TEMPLATE_TEST_CASE("linear attention equals its equations, number by number", "[ops]", float, double) {
  using T = TestType;
  const double tolerance = sizeof(T) == 4 ? 2e-5 : 1e-13;
  for (const Problem<T>& p : problems<T>({5, 0, 1, 70})) {
    LinearAttentionCache<T> cache;
    Matrix<T> state = p.start, expected_state = p.start;
    const Matrix<T> expected = p.reference(expected_state);
    CHECK(largest_difference(Matrix<T>(linear_attention_forward<T>(p.options, p.inputs(), state, cache)), expected) <
          tolerance);
    CHECK(largest_difference(state, expected_state) < tolerance);
  }
}

TEST_CASE("gradients of linear attention agree with central differences", "[ops]") {
  for (const Problem<double>& p : problems<double>({3, 0, 1, 35})) CHECK(worst_gradient(p) < 1e-6);
}

TEMPLATE_TEST_CASE("a sequence read in pieces has the bits of one read at once", "[ops]", float, double) {
  using T = TestType;
  for (const Problem<T>& p : problems<T>({50})) {
    LinearAttentionCache<T> cache, piece_cache;
    Matrix<T> state = p.start, whole_state = p.start;
    const Matrix<T> whole(linear_attention_forward<T>(p.options, p.inputs(), whole_state, cache));
    Index done = 0;
    for (const Index count : {1, 20, 0, 29}) {
      const auto rows = [&](const Matrix<T>& m) {
        return m.empty() ? ConstMatrixView<T>(m) : ConstMatrixView<T>(m.view().middle_rows(done, count));
      };
      const Sequences piece = Sequences::single(count);
      const auto y = linear_attention_forward<T>(
          p.options, {rows(p.q), rows(p.k), rows(p.v), rows(p.decay), rows(p.beta), piece}, state, piece_cache);
      CHECK(same_bits<T>(y, whole.view().middle_rows(done, count)));
      done += count;
    }
    CHECK(done == 50);
    CHECK(same_bits(state, whole_state));
  }
}

TEST_CASE("under the delta rule a key that comes again overwrites, additively both stay", "[ops]") {
  // The same key twice, with other values; then a query with that key.
  Problem<double> p({3}, 1, 1, 4, 2);
  p.options.scale = 1;
  p.start.fill(0);
  for (Index i = 0; i < 4; ++i) p.k(1, i) = p.k(2, i) = p.q(2, i) = p.k(0, i);
  p.v(2, 0) = p.v(1, 0);
  p.v(2, 1) = p.v(1, 1);
  LinearAttentionCache<double> cache;
  Matrix<double> state = p.start;
  const Matrix<double> newest(linear_attention_forward<double>(p.options, p.inputs(), state, cache));
  CHECK(std::abs(newest(2, 0) - p.v(1, 0)) < 1e-14);
  p.options.rule = LinearAttentionRule::additive;
  state = p.start;
  const Matrix<double> sum(linear_attention_forward<double>(p.options, p.inputs(), state, cache));
  CHECK(std::abs(sum(2, 0) - (p.v(0, 0) + p.v(1, 0) + p.v(2, 0))) < 1e-14);
}

TEST_CASE("linear attention says what does not fit", "[ops]") {
  Problem<float> p({4}, 2, 2, 3, 5);
  LinearAttentionCache<float> cache;
  Matrix<float> state = p.start, small({5, 5});
  const auto forward = [&](Matrix<float>& s) {
    (void)linear_attention_forward<float>(p.options, p.inputs(), s, cache);
  };
  CHECK_THROWS_WITH(forward(small), "linear_attention_forward: state is [5, 5], expected [6, 5]");
  p.beta = Matrix<float>({4, 3});
  CHECK_THROWS_WITH(forward(state), "linear_attention_forward: beta is [4, 3], expected [4, 2]");
  p.beta = Matrix<float>();
  p.decay = Matrix<float>({4, 5});
  CHECK_THROWS_WITH(forward(state), "linear_attention_forward: decay is [4, 5], expected [4, 6]");
  p.decay = Matrix<float>({1, 2});
  CHECK_THROWS_WITH(forward(state), "linear_attention_forward: decay is [1, 2], expected [4, 2]");
  p.decay = Matrix<float>();
  p.options.kv_heads = 3;
  CHECK_THROWS_WITH(forward(state), "linear_attention_forward: kv_heads is 3, expected a divisor of heads, 2");
}

}  // namespace linear_attention_test
