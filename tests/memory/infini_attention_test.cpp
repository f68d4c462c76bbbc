#include "support/allocations.hpp"
#include "support/bits.hpp"
#include "support/catch.hpp"
#include "support/gradients.hpp"

#include <mat/memory/infini_attention.hpp>

namespace infini_attention_test {

using namespace mat;
using mat::test::gradient_error;
using mat::test::inner_product;
using mat::test::largest_difference;
using mat::test::parameter_gradient_error;
using mat::test::random_tensor;
using mat::test::same_bits;

namespace {

template <class T>
InfiniAttention<T> make(LinearAttentionRule rule) {
  typename InfiniAttention<T>::Config config;
  config.features = 6;
  config.heads = 2;
  config.rule = rule;
  InfiniAttention<T> layer(config, Random(1));
  layer.parameters().beta = Vector<T>({2}, {T(0.3), T(-0.7)});
  return layer;
}
constexpr LinearAttentionRule kRules[] = {LinearAttentionRule::additive, LinearAttentionRule::delta};

/// Outputs of segments of one batch, and the last state.
template <class T>
struct Streamed {
  std::vector<Matrix<T>> y;
  typename InfiniAttention<T>::State state;
};
template <class T>
Streamed<T> stream(const InfiniAttention<T>& layer, const std::vector<Matrix<T>>& x,
                   const std::vector<Sequences>& segments, const typename InfiniAttention<T>::State& from) {
  Streamed<T> result{{}, from};
  typename InfiniAttention<T>::Cache cache;
  typename InfiniAttention<T>::State next;
  for (std::size_t i = 0; i < x.size(); ++i) {
    result.y.emplace_back(layer.forward(result.state, x[i], segments[i], next, cache));
    std::swap(result.state, next);
  }
  return result;
}
template <class T>
typename InfiniAttention<T>::State empty_state(const InfiniAttention<T>& layer, Index batch) {
  typename InfiniAttention<T>::State state;
  layer.initial(batch, state);
  return state;
}

/// What the class comment says, number by number, for one sequence of one segment; S and z become the next ones.
Matrix<double> reference(const InfiniAttention<double>& layer, const Matrix<double>& x, Matrix<double>& s) {
  const auto& p = layer.parameters();
  const Index n = x.rows(), heads = layer.config().heads, d = 6 / heads;
  const auto times = [&](const Linear<double>& w, const Matrix<double>& rows) {
    Matrix<double> y({n, 6});
    for (Index t = 0; t < n; ++t) {
      for (Index i = 0; i < 6; ++i) {
        for (Index j = 0; j < 6; ++j) y(t, i) += rows(t, j) * w.parameters().weight(i, j);
      }
    }
    return y;
  };
  const auto f = [](double a) { return a > 0 ? a + 1 : std::exp(a); };
  const Matrix<double> q = times(p.wq, x), k = times(p.wk, x), v = times(p.wv, x), before = s;
  Matrix<double> mixed({n, 6});
  for (Index h = 0; h < heads; ++h) {
    const auto read = [&](const Matrix<double>& rows, Index t, Index j) {
      double sum = 0, ones = layer.config().epsilon;
      for (Index i = 0; i < d; ++i) {
        sum += f(rows(t, h * d + i)) * before(h * d + i, j);
        ones += f(rows(t, h * d + i)) * before(h * d + i, d);
      }
      return sum / ones;
    };
    const double gate = 1 / (1 + std::exp(-p.beta(h)));
    for (Index t = 0; t < n; ++t) {
      for (Index j = 0; j < d; ++j) {
        double local = 0, total = 0;
        for (Index u = 0; u <= t; ++u) {
          double score = 0;
          for (Index i = 0; i < d; ++i) score += q(t, h * d + i) * k(u, h * d + i);
          total += std::exp(score / std::sqrt(double(d)));
          local += std::exp(score / std::sqrt(double(d))) * v(u, h * d + j);
        }
        mixed(t, h * d + j) = gate * read(q, t, j) + (1 - gate) * local / total;
        const bool delta = layer.config().rule == LinearAttentionRule::delta;
        const double value = v(t, h * d + j) - (delta ? read(k, t, j) : 0);
        for (Index i = 0; i < d; ++i) s(h * d + i, j) += f(k(t, h * d + i)) * value;
      }
      for (Index i = 0; i < d; ++i) s(h * d + i, d) += f(k(t, h * d + i));
    }
  }
  return times(p.wo, mixed);
}

}  // namespace

TEST_CASE("Infini-attention equals its equations, number by number", "[memory]") {
  for (const auto rule : kRules) {
    const InfiniAttention<double> layer = make<double>(rule);
    const std::vector<Matrix<double>> x{random_tensor<double, 2>({4, 6}, 2), random_tensor<double, 2>({1, 6}, 3),
                                        random_tensor<double, 2>({7, 6}, 4)};
    const auto streamed =
        stream(layer, x, {Sequences::single(4), Sequences::single(1), Sequences::single(7)}, empty_state(layer, 1));
    Matrix<double> s({6, 4});
    for (std::size_t i = 0; i < 3; ++i) CHECK(largest_difference(streamed.y[i], reference(layer, x[i], s)) < 1e-12);
    CHECK(largest_difference(streamed.state.matrix, s) < 1e-12);
  }
}

TEST_CASE("Infini-attention's gradients through four segments agree with central differences", "[memory]") {
  for (const auto rule : kRules) {
    InfiniAttention<double> layer = make<double>(rule);
    const std::vector<Sequences> segments{Sequences({3, 0, 1}), Sequences({2, 2, 0}), Sequences({1, 3, 1}),
                                          Sequences({2, 1, 2})};
    std::vector<Matrix<double>> x, dy;
    for (std::size_t i = 0; i < 4; ++i) {
      x.push_back(random_tensor<double, 2>({segments[i].rows(), 6}, 10 + i));
      dy.push_back(random_tensor<double, 2>({segments[i].rows(), 6}, 20 + i));
    }
    InfiniAttention<double>::State first = empty_state(layer, 3), dlast = first;
    first.matrix = random_tensor<double, 2>(first.matrix.shape(), 30);
    for (Index i = 0; i < first.matrix.rows(); ++i) first.matrix(i, 3) = 1 + std::abs(first.matrix(i, 3));
    dlast.matrix = random_tensor<double, 2>(first.matrix.shape(), 31);
    const auto loss = [&] {
      const auto streamed = stream(layer, x, segments, first);
      double sum = inner_product(ConstMatrixView<double>(streamed.state.matrix), dlast.matrix);
      for (std::size_t i = 0; i < 4; ++i) sum += inner_product(ConstMatrixView<double>(streamed.y[i]), dy[i]);
      return sum;
    };

    std::vector<InfiniAttention<double>::State> states(5);
    std::vector<InfiniAttention<double>::Cache> caches(4);
    states[0] = first;
    for (std::size_t i = 0; i < 4; ++i) (void)layer.forward(states[i], x[i], segments[i], states[i + 1], caches[i]);
    auto grads = zeros_like(layer.parameters());
    std::vector<Matrix<double>> dx(4);
    for (std::size_t i = 4; i-- > 0;) {
      InfiniAttention<double>::State before;
      zero_state_like(first, before);
      dx[i] = Matrix<double>(layer.backward(dy[i], dlast, states[i], caches[i], before, grads));
      std::swap(dlast, before);
    }
    const auto dfirst = dlast.matrix;
    dlast.matrix = random_tensor<double, 2>(first.matrix.shape(), 31);
    std::string name;
    const double worst = parameter_gradient_error(loss, layer.parameters(), grads, name);
    INFO(name);
    CHECK(worst < 1e-6);
    for (std::size_t i = 0; i < 4; ++i) CHECK(gradient_error(loss, x[i], dx[i]) < 1e-6);
    CHECK(gradient_error(loss, first.matrix, dfirst) < 1e-6);
  }
}

TEMPLATE_TEST_CASE("P6: a sequence of Infini-attention has the same bits alone and in any batch", "[memory]", float,
                   double) {
  using T = TestType;
  for (const auto rule : kRules) {
    const InfiniAttention<T> layer = make<T>(rule);
    const std::vector<Matrix<T>> x{random_tensor<T, 2>({8, 6}, 2), random_tensor<T, 2>({9, 6}, 3)};
    const auto batch = stream(layer, x, {Sequences({3, 5}), Sequences({4, 5})}, empty_state(layer, 2));
    const std::vector<Matrix<T>> mine{Matrix<T>(x[0].view().middle_rows(3, 5)),
                                      Matrix<T>(x[1].view().middle_rows(4, 5))};
    const auto alone = stream(layer, mine, {Sequences({5}), Sequences({5})}, empty_state(layer, 1));
    CHECK(same_bits<T>(alone.y[0], batch.y[0].view().middle_rows(3, 5)));
    CHECK(same_bits<T>(alone.y[1], batch.y[1].view().middle_rows(4, 5)));
    CHECK(same_bits<T>(alone.state.matrix, batch.state.matrix.view().middle_rows(6, 6)));
  }
}

TEST_CASE("an empty Infini memory reads 0, so the first segment is attention scaled by its gate", "[memory]") {
  for (const auto rule : kRules) {
    InfiniAttention<double> layer = make<double>(rule);
    const std::vector<Matrix<double>> x{random_tensor<double, 2>({5, 6}, 2)};
    layer.parameters().beta.fill(-40);
    const auto local = stream(layer, x, {Sequences({5})}, empty_state(layer, 1)).y[0];
    layer.parameters().beta.fill(0);
    const auto half = stream(layer, x, {Sequences({5})}, empty_state(layer, 1)).y[0];
    for (Index i = 0; i < half.size(); ++i) CHECK(std::abs(half.data()[i] - local.data()[i] / 2) < 1e-14);
    layer.parameters().beta.fill(800);  // nothing but the memory
    const auto nothing = stream(layer, x, {Sequences({5})}, empty_state(layer, 1)).y[0];
    CHECK(largest_difference(nothing, Matrix<double>({5, 6})) == 0);
  }
}

TEST_CASE("Infini-attention starts with half-open gates and an empty sequence keeps its state", "[memory]") {
  InfiniAttention<float>::Config config;
  config.features = 6, config.heads = 3;
  const InfiniAttention<float> layer(config, Random(1));
  for (Index h = 0; h < 3; ++h) CHECK(layer.parameters().beta(h) == 0);
  CHECK(parameter_names(layer.parameters()) ==
        std::vector<std::string>{"beta", "wq.weight", "wk.weight", "wv.weight", "wo.weight"});
  auto state = empty_state(layer, 1);
  state.matrix = random_tensor<float, 2>(state.matrix.shape(), 2);
  CHECK(same_state(stream(layer, {Matrix<float>({0, 6})}, {Sequences({0})}, state).state, state));
}

TEST_CASE("Infini-attention allocates nothing once it has seen a segment of its size", "[memory]") {
  for (const auto rule : kRules) {
    const InfiniAttention<float> layer = make<float>(rule);
    const auto x = random_tensor<float, 2>({9, 6}, 2);
    const Sequences sequences({4, 5});
    InfiniAttention<float>::State state = empty_state(layer, 2), next = state, dstate = state;
    InfiniAttention<float>::Cache cache;
    auto grads = zeros_like(layer.parameters());
    const auto step = [&] {
      (void)layer.forward(state, x, sequences, next, cache);
      (void)layer.backward(x, next, state, cache, dstate, grads);
    };
    step();
    const long before = mat::test::allocations();
    step();
    CHECK(mat::test::allocations() == before);
  }
}

TEST_CASE("Infini-attention says what does not fit", "[memory]") {
  InfiniAttention<float>::Config config;
  config.features = 6, config.heads = 4;
  CHECK_THROWS_WITH(InfiniAttention<float>(config, Random(1)),
                    "InfiniAttention: heads is 4, expected a divisor of features, 6");
  config.heads = 2, config.epsilon = 0;
  CHECK_THROWS_WITH(InfiniAttention<float>(config, Random(1)), "InfiniAttention: epsilon is 0, expected above 0");
  const InfiniAttention<float> layer = make<float>(LinearAttentionRule::delta);
  InfiniAttention<float>::State state = empty_state(layer, 2), next;
  InfiniAttention<float>::Cache cache;
  const Matrix<float> x({4, 6}), wide({4, 7});
  CHECK_THROWS_WITH(layer.forward(state, wide, Sequences({2, 2}), next, cache),
                    "InfiniAttention::forward: x is [4, 7], expected [*, 6]");
  CHECK_THROWS_WITH(layer.forward(state, x, Sequences({4}), next, cache),
                    "InfiniAttention::forward: the state's matrix is [12, 4], expected [6, 4]");
}

}  // namespace infini_attention_test
