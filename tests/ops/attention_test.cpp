#include "support/catch.hpp"
#include "support/gradients.hpp"

#include <mat/ops/attention.hpp>

#include <vector>

namespace attention_test {

using namespace mat;
using mat::test::gradient_error;
using mat::test::inner_product;
using mat::test::largest_difference;
using mat::test::random_tensor;

namespace {

/// Everything one attention needs, as owned values.
template <class T>
struct Problem {
  Sequences queries, keys;
  Matrix<T> q, k, v, dy;
  AttentionOptions<T> options;

  Problem(const std::vector<Index>& query_lengths, const std::vector<Index>& key_lengths, Index heads, Index kv_heads,
          Index head_dim, Index value_dim)
      : queries(query_lengths), keys(key_lengths) {
    options.heads = heads;
    options.kv_heads = kv_heads;
    q = random_tensor<T, 2>({queries.rows(), heads * head_dim}, 1);
    k = random_tensor<T, 2>({keys.rows(), kv_heads * head_dim}, 2);
    v = random_tensor<T, 2>({keys.rows(), kv_heads * value_dim}, 3);
    dy = random_tensor<T, 2>({queries.rows(), heads * value_dim}, 4);
  }
  [[nodiscard]] AttentionInputs<T> inputs() const { return {q, k, v, queries, keys}; }
};

/// softmax(scale q k^T + ...) v by plain loops over a whole row of scores, as the equation reads.
template <class T>
Matrix<T> reference(const Problem<T>& p) {
  const auto& o = p.options;
  const auto& mask = o.mask;
  const Index kv = o.kv_heads, hd = p.q.cols() / o.heads, vd = p.v.cols() / kv;
  const double scale = o.scale ? static_cast<double>(*o.scale) : 1 / std::sqrt(static_cast<double>(hd));
  Matrix<T> y({p.q.rows(), o.heads * vd});
  for (Index b = 0; b < p.queries.count(); ++b) {
    for (Index h = 0; h < o.heads; ++h) {
      for (Index i = 0; i < p.queries.length(b); ++i) {
        const Index n = p.keys.length(b), g = h / (o.heads / kv), row = p.queries.begin(b) + i;
        const Index position = i + mask.offset(p.queries.length(b), n - o.sink_keys);
        std::vector<double> s(static_cast<std::size_t>(n));
        double highest = -INFINITY, sum = 0;
        for (Index j = 0; j < n; ++j) {
          double x = 0;
          for (Index c = 0; c < hd; ++c)
            x += double(p.q(row, h * hd + c)) * double(p.k(p.keys.begin(b) + j, g * hd + c));
          x *= scale;
          if (o.softcap > 0) x = o.softcap * std::tanh(x / o.softcap);
          if (!mask.key_bias().empty()) x += mask.key_bias()(p.keys.begin(b) + j);
          const Index at = j - o.sink_keys;
          if (at >= 0) {
            if (!mask.bias_plane().empty()) x += mask.bias_plane().row(b, h, i)[at];
            if (!o.alibi_slopes.empty()) x -= o.alibi_slopes(h) * static_cast<T>(std::abs(position - at));
            if (mask.left() >= 0 && at < position - mask.left()) x = -INFINITY;
            if (mask.right() >= 0 && at > position + mask.right()) x = -INFINITY;
            if (!mask.allowed_plane().empty() && !mask.allowed_plane().row(b, h, i)[at]) x = -INFINITY;
            if (!mask.blocked_plane().empty() && mask.blocked_plane().row(b, h, i)[at]) x = -INFINITY;
          }
          s[static_cast<std::size_t>(j)] = x;
          highest = std::max(highest, x);
        }
        for (double& x : s) sum += x = highest == -INFINITY ? 0 : std::exp(x - highest);
        for (Index j = 0; j < n; ++j) {
          const Index weights_row = p.queries.begin(b) * o.heads + h * p.queries.length(b) + i;
          const auto index = static_cast<std::uint64_t>(weights_row * dropout_stride(p.keys.longest()) + j);
          const double weight = sum == 0 ? 0 : s[static_cast<std::size_t>(j)] / sum * dropout_scale(o.dropout, index);
          for (Index c = 0; c < vd; ++c)
            y(row, h * vd + c) += static_cast<T>(weight * p.v(p.keys.begin(b) + j, g * vd + c));
        }
      }
    }
  }
  return y;
}

template <class T>
double forward_error(const Problem<T>& p) {
  AttentionCache<T> cache;
  const Matrix<T> expected = reference(p);
  return largest_difference<T, 2>(attention_forward(p.options, p.inputs(), cache), expected);
}

/// The worst relative error of dq, dk, dv and, if a bias is given, its gradient.
double worst_gradient(Problem<double>& p, Tensor<double, 4>* bias = nullptr, Vector<double>* key_bias = nullptr) {
  AttentionCache<double> cache;
  (void)attention_forward(p.options, p.inputs(), cache);
  Matrix<double> dq(p.q.shape()), dk(p.k.shape()), dv(p.v.shape());
  Tensor<double, 4> dbias;
  if (bias != nullptr) dbias = Tensor<double, 4>(bias->shape());
  Vector<double> dkey_bias;
  if (key_bias != nullptr) dkey_bias = Vector<double>(key_bias->shape());
  attention_backward<double>(p.dy, p.options, p.inputs(), cache, {dq, dk, dv, dbias, dkey_bias});
  AttentionCache<double> scratch;
  const auto loss = [&] { return inner_product(attention_forward(p.options, p.inputs(), scratch), p.dy); };
  double worst =
      std::max({gradient_error(loss, p.q, dq), gradient_error(loss, p.k, dk), gradient_error(loss, p.v, dv)});
  if (bias != nullptr) worst = std::max(worst, gradient_error(loss, *bias, dbias));
  if (key_bias != nullptr) worst = std::max(worst, gradient_error(loss, *key_bias, dkey_bias));
  return worst;
}

Tensor<bool, 2> random_bools(Index rows, Index cols, std::uint64_t seed) {
  Tensor<bool, 2> bools({rows, cols});
  for (Index i = 0; i < bools.size(); ++i) bools.data()[i] = Random(seed).uniform(static_cast<std::uint64_t>(i)) < 0.6;
  return bools;
}

}  // namespace

TEMPLATE_TEST_CASE("attention equals plain loops over whole rows of scores", "[ops][attention]", float, double) {
  using T = TestType;
  const double tolerance = sizeof(T) == 4 ? 2e-6 : 1e-14;
  SECTION("for one token, empty sequences and ragged batches") {
    for (const auto& lengths : std::vector<std::vector<Index>>{{1}, {0}, {5}, {3, 0, 7, 1}, {25, 24}, {300, 20}}) {
      Problem<T> p(lengths, lengths, 2, 2, 5, 3);
      CHECK(forward_error(p) < tolerance);
      p.options.mask = AttentionMask<T>::causal();
      CHECK(forward_error(p) < tolerance);
    }
  }
  SECTION("for more keys than queries, more queries than keys, and more than one block of either") {
    for (const Index n : {7, 300, 900}) {
      Problem<T> p({4, n}, {n, 9}, 2, 1, 8, 8);
      CHECK(forward_error(p) < tolerance);
      p.options.mask = AttentionMask<T>::causal();
      CHECK(forward_error(p) < tolerance);
      p.options.mask = AttentionMask<T>::causal_from(0);
      CHECK(forward_error(p) < tolerance);
      p.options.mask = AttentionMask<T>::causal_window(3);
      CHECK(forward_error(p) < tolerance);
      p.options.mask = AttentionMask<T>::window(2, 5);
      CHECK(forward_error(p) < tolerance);
    }
  }
  SECTION("for masks, biases, ALiBi, softcap, sinks, scale and dropout, alone and together") {
    Problem<T> p({6, 4}, {9, 7}, 4, 2, 6, 5);
    const auto bools = random_bools(6, 9, 5);
    const auto bias = random_tensor<T, 3>({4, 6, 9}, 6);
    const Vector<T> slopes({4}, {T(0.5), T(0.25), T(0.125), T(0.0625)});
    p.options.mask = AttentionMask<T>::allowed(TensorView<const bool, 2>(bools));
    CHECK(forward_error(p) < tolerance);
    p.options.mask = AttentionMask<T>::blocked(TensorView<const bool, 2>(bools));
    CHECK(forward_error(p) < tolerance);
    p.options.mask = AttentionMask<T>::bias(TensorView<const T, 3>(bias));
    CHECK(forward_error(p) < tolerance);
    p.options.alibi_slopes = slopes;
    p.options.softcap = T(1.5);
    CHECK(forward_error(p) < tolerance);
    const auto key_bias = random_tensor<T, 1>({16}, 7);
    p.options.mask = p.options.mask.and_key_bias(key_bias);
    CHECK(forward_error(p) < tolerance);
    p.options.sink_keys = 2;
    p.options.scale = T(0.7);
    p.options.dropout = {0.3, Random(8)};
    p.options.mask = AttentionMask<T>::window(3, 1)
                         .and_bias(TensorView<const T, 3>(bias))
                         .and_key_bias(key_bias)
                         .and_blocked(TensorView<const bool, 2>(bools));
    CHECK(forward_error(p) < tolerance);
  }
}

TEST_CASE("attention's gradients agree with central differences", "[ops][attention]") {
  SECTION("for ragged batches with one head, shared heads and different key and value widths") {
    for (const Index kv_heads : {1, 2}) {
      Problem<double> p({3, 0, 1, 5}, {3, 4, 1, 6}, 2, kv_heads, 4, 3);
      CHECK(worst_gradient(p) < 1e-6);
      p.options.mask = AttentionMask<double>::causal();
      CHECK(worst_gradient(p) < 1e-6);
    }
  }
  SECTION("over several tiles and blocks") {
    Problem<double> p({30}, {270}, 1, 1, 2, 2);
    p.options.mask = AttentionMask<double>::window(100, 30);
    CHECK(worst_gradient(p) < 1e-6);
  }
  SECTION("with a bias for all, for each head, and for each sequence") {
    for (const Shape<4>& shape :
         {Shape<4>{1, 1, 4, 5}, Shape<4>{1, 2, 4, 5}, Shape<4>{2, 1, 4, 5}, Shape<4>{2, 2, 4, 5}}) {
      Problem<double> p({4, 2}, {5, 5}, 2, 1, 3, 3);
      auto bias = random_tensor<double, 4>(shape, 9);
      p.options.mask = AttentionMask<double>::causal().and_bias(TensorView<const double, 4>(bias));
      CHECK(worst_gradient(p, &bias) < 1e-6);
    }
  }
  SECTION("with a bias of each key") {
    Problem<double> p({4, 0, 2}, {5, 3, 150}, 4, 2, 3, 3);
    auto key_bias = random_tensor<double, 1>({158}, 9);
    p.options.mask = AttentionMask<double>::causal().and_key_bias(key_bias);
    CHECK(worst_gradient(p, nullptr, &key_bias) < 1e-6);
    p.options.mask = AttentionMask<double>::none().and_key_bias(key_bias);
    p.options.softcap = 0.8;
    p.options.dropout = {0.4, Random(3)};
    CHECK(worst_gradient(p, nullptr, &key_bias) < 1e-6);
  }
  SECTION("with softcap, ALiBi, sinks and dropout") {
    Problem<double> p({4, 3}, {6, 5}, 2, 2, 3, 4);
    const Vector<double> slopes({2}, {0.5, 0.25});
    p.options.softcap = 0.8;
    CHECK(worst_gradient(p) < 1e-6);
    p.options.alibi_slopes = slopes;
    p.options.sink_keys = 1;
    p.options.mask = AttentionMask<double>::causal_window(2);
    CHECK(worst_gradient(p) < 1e-6);
    p.options.dropout = {0.4, Random(3)};
    CHECK(worst_gradient(p) < 1e-6);
  }
}

TEST_CASE("the gradient of a bias of each key is the sum of a bias's over queries and heads", "[ops][attention]") {
  Problem<double> p({4, 3}, {5, 2}, 2, 1, 3, 3);
  const auto key_bias = random_tensor<double, 1>({7}, 9);
  const Tensor<double, 4> no_bias({2, 2, 4, 5});
  p.options.mask = AttentionMask<double>::bias(TensorView<const double, 4>(no_bias)).and_key_bias(key_bias);
  AttentionCache<double> cache;
  (void)attention_forward(p.options, p.inputs(), cache);
  Matrix<double> dq(p.q.shape()), dk(p.k.shape()), dv(p.v.shape());
  Tensor<double, 4> dbias({2, 2, 4, 5});
  Vector<double> dkey_bias({7});
  attention_backward<double>(p.dy, p.options, p.inputs(), cache, {dq, dk, dv, dbias, dkey_bias});
  for (Index b = 0; b < 2; ++b) {
    for (Index j = 0; j < p.keys.length(b); ++j) {
      double sum = 0;
      for (Index h = 0; h < 2; ++h) {
        for (Index i = 0; i < p.queries.length(b); ++i) sum += dbias(b, h, i, j);
      }
      CHECK(std::abs(dkey_bias(p.keys.begin(b) + j) - sum) < 1e-14);
    }
  }
}

TEST_CASE("a query that may attend to nothing gets 0 and gives no gradient", "[ops][attention]") {
  Problem<double> p({3}, {2}, 1, 1, 4, 4);
  Tensor<bool, 2> allowed({3, 2}, {true, true, false, false, true, false});
  p.options.mask = AttentionMask<double>::allowed(TensorView<const bool, 2>(allowed));
  AttentionCache<double> cache;
  const auto y = attention_forward(p.options, p.inputs(), cache);
  Matrix<double> dq(p.q.shape()), dk(p.k.shape()), dv(p.v.shape());
  attention_backward<double>(p.dy, p.options, p.inputs(), cache, {dq, dk, dv, {}});
  for (Index c = 0; c < 4; ++c) {
    CHECK(y(1, c) == 0.0);
    CHECK(dq(1, c) == 0.0);
  }
  CHECK(worst_gradient(p) < 1e-6);
}

TEMPLATE_TEST_CASE("a key that is alone gives no gradient by its score", "[ops][attention]", float, double) {
  using T = TestType;
  Problem<T> p({1, 9}, {1, 9}, 3, 3, 21, 21);
  p.options.mask = AttentionMask<T>::causal();
  AttentionCache<T> cache;
  (void)attention_forward(p.options, p.inputs(), cache);
  Matrix<T> dq(p.q.shape()), dk(p.k.shape()), dv(p.v.shape());
  attention_backward<T>(p.dy, p.options, p.inputs(), cache, {dq, dk, dv, {}});
  for (Index c = 0; c < p.q.cols(); ++c) {
    CHECK(dq(0, c) == 0);
    CHECK(dk(0, c) == 0);
    CHECK(dq(1, c) == 0);
    CHECK(dk(1, c) != 0);
  }
}

TEST_CASE("gradients keep their digits where one key has nearly all of the weight", "[ops][attention]") {
  for (const double size : {30.0, 100.0}) {
    Problem<double> p({7}, {7}, 2, 2, 8, 8);
    for (Index i = 0; i < p.k.size(); ++i) p.k.data()[i] = static_cast<float>(size * p.k.data()[i]);
    Problem<float> single({7}, {7}, 2, 2, 8, 8);  // random numbers are those of the doubles, rounded
    single.k = Matrix<float>(p.k.shape());
    std::copy_n(p.k.data(), p.k.size(), single.k.data());
    std::copy_n(single.q.data(), p.q.size(), p.q.data());
    std::copy_n(single.v.data(), p.v.size(), p.v.data());
    std::copy_n(single.dy.data(), p.dy.size(), p.dy.data());
    AttentionCache<double> cache;
    AttentionCache<float> single_cache;
    (void)attention_forward(p.options, p.inputs(), cache);
    (void)attention_forward(single.options, single.inputs(), single_cache);
    Matrix<double> dq(p.q.shape()), dk(p.k.shape()), dv(p.v.shape());
    Matrix<float> dq1(p.q.shape()), dk1(p.k.shape()), dv1(p.v.shape());
    attention_backward<double>(p.dy, p.options, p.inputs(), cache, {dq, dk, dv, {}});
    attention_backward<float>(single.dy, single.options, single.inputs(), single_cache, {dq1, dk1, dv1, {}});
    for (Index i = 0; i < dq.rows(); ++i) {
      double largest = 0, error = 0;
      for (Index c = 0; c < 8; ++c) {
        largest = std::max(largest, std::abs(dq(i, c)));
        error = std::max(error, std::abs(dq(i, c) - static_cast<double>(dq1(i, c))));
      }
      INFO("size " << size << ", query " << i << ", gradient " << largest << ", error " << error);
      CHECK(error <= 1e-3 * largest + 1e-12);
    }
  }
}

TEST_CASE("a NaN among the scores is not taken for a masked key", "[ops][attention]") {
  Problem<float> p({1}, {1}, 1, 1, 1, 1);
  p.q(0, 0) = NAN;
  AttentionCache<float> cache;
  CHECK(std::isnan(attention_forward(p.options, p.inputs(), cache)(0, 0)));
}

TEST_CASE("a NaN in one sequence stays there", "[ops][attention]") {
  Problem<float> p({3, 3}, {3, 3}, 1, 1, 4, 4);
  AttentionCache<float> clean, soiled;
  const Matrix<float> expected(attention_forward(p.options, p.inputs(), clean));
  p.k(4, 1) = NAN;
  p.v(5, 2) = INFINITY;
  const auto y = attention_forward(p.options, p.inputs(), soiled);
  CHECK(largest_difference<float, 2>(y.middle_rows(0, 3), expected.view().middle_rows(0, 3)) == 0);
  CHECK(std::isnan(y(3, 0)));
}

TEST_CASE("a sequence has the same bits alone and in a batch", "[ops][attention]") {
  Problem<float> batch({5, 40, 3}, {5, 40, 3}, 3, 3, 7, 5);
  batch.options.mask = AttentionMask<float>::causal();
  AttentionCache<float> cache, alone_cache;
  const auto y = attention_forward(batch.options, batch.inputs(), cache);
  for (Index b = 0; b < 3; ++b) {
    const Sequences one = Sequences::single(batch.queries.length(b));
    const auto rows = [&](const Matrix<float>& m) {
      return Matrix<float>(m.view().middle_rows(batch.queries.begin(b), one.rows()));
    };
    const Matrix<float> q = rows(batch.q), k = rows(batch.k), v = rows(batch.v);
    const auto alone = attention_forward<float>(batch.options, {q, k, v, one, one}, alone_cache);
    CHECK(largest_difference<float, 2>(alone, y.middle_rows(batch.queries.begin(b), one.rows())) == 0);
  }
}

TEST_CASE("keys of a cache with spare room are read where they lie", "[ops][attention]") {
  Problem<double> packed({2, 1}, {3, 5}, 1, 1, 4, 4);
  packed.options.mask = AttentionMask<double>::causal();
  const Sequences roomy = Sequences::with_capacity({3, 5}, 6);
  Matrix<double> k({12, 4}), v({12, 4});
  k.fill(NAN);
  v.fill(NAN);
  for (Index b = 0; b < 2; ++b) {
    k.matrix().middleRows(roomy.begin(b), roomy.length(b)) =
        packed.k.matrix().middleRows(packed.keys.begin(b), roomy.length(b));
    v.matrix().middleRows(roomy.begin(b), roomy.length(b)) =
        packed.v.matrix().middleRows(packed.keys.begin(b), roomy.length(b));
  }
  AttentionCache<double> a, b;
  CHECK(largest_difference<double, 2>(
            attention_forward(packed.options, packed.inputs(), a),
            attention_forward<double>(packed.options, {packed.q, k, v, packed.queries, roomy}, b)) == 0);
}

TEST_CASE("attention says what does not fit", "[ops][attention]") {
  AttentionCache<float> cache;
  const auto run = [&](const Problem<float>& p) { return attention_forward(p.options, p.inputs(), cache); };
  Problem<float> p({4}, {5}, 2, 2, 3, 3);
  p.options.kv_heads = 3;
  CHECK_THROWS_WITH(run(p), "attention_forward: kv_heads is 3, expected a divisor of heads, 2");
  p.options.kv_heads = 2;
  p.options.heads = 4;
  CHECK_THROWS_WITH(run(p), "attention_forward: q's columns is 6, expected a multiple of 4");
  p.options.heads = 2;
  p.k = Matrix<float>({5, 4});
  CHECK_THROWS_WITH(run(p), "attention_forward: k is [5, 4], expected [5, 6]");
  p.k = Matrix<float>({5, 6});
  p.queries = Sequences({3});
  CHECK_THROWS_WITH(run(p), "attention_forward: q is 4 tokens, expected 3, the rows of its sequences");
  p.queries = Sequences({4});
  const Tensor<bool, 2> small({4, 4});
  p.options.mask = AttentionMask<float>::allowed(TensorView<const bool, 2>(small));
  CHECK_THROWS_WITH(run(p),
                    "attention_forward: the allowed mask is [1, 1, 4, 4], expected 1 or 1 sequences, 1 or 2 heads, "
                    "at least 4 queries and 5 keys");
  const Vector<float> short_bias({4});
  p.options.mask = AttentionMask<float>::none().and_key_bias(short_bias);
  CHECK_THROWS_WITH(run(p), "attention_forward: key_bias is [4], expected [5]");
  CHECK_THROWS_WITH(AttentionMask<float>::causal_window(0),
                    "AttentionMask::causal_window: size is 0, expected at least 1");
}

TEST_CASE("attention to many tokens takes the memory of its results and a little more", "[ops]") {
  // A window keeps the test fast; it does not change what is allocated.
  const Sequences sequences = Sequences::single(16384);
  const auto x = random_tensor<float, 2>({16384, 8 * 16}, 1);
  AttentionOptions<float> options;
  options.heads = 8;
  options.mask = AttentionMask<float>::causal_window(16);
  AttentionCache<float> cache;
  const AttentionInputs<float> inputs{x, x, x, sequences, sequences};
  const auto beside_y = [&] {
    return cache.highest.size() + cache.log_sum.size() + cache.row_dot.size() + cache.workspace.size();
  };
  (void)attention_forward<float>(options, inputs, cache);
  const Index limit = 4 * 1024 * 1024 * max_threads() / 4;  // 4 MB a thread
  CHECK(beside_y() < limit);
  Matrix<float> dq(x.shape()), dk(x.shape()), dv(x.shape());
  attention_backward<float>(x, options, inputs, cache, {dq, dk, dv, {}});
  CHECK(beside_y() < limit);
}

TEMPLATE_TEST_CASE("the highest score weighs 1 however large scores are", "[ops]", float, double) {
  using T = TestType;
  // Scores of 4e10 and less, far apart: each query attends to one key, whose value is 3.
  const Index n = 8, d = 16;
  Matrix<T> x({n, d}), v({n, d});
  for (Index i = 0; i < n; ++i) {
    for (Index j = 0; j < d; ++j)
      x(i, j) = T(1e5) * (T(1) + T(0.013) * static_cast<T>(i) + T(0.001) * static_cast<T>(j));
  }
  v.fill(T(3));
  const Sequences one = Sequences::single(n);
  AttentionCache<T> cache;
  const auto y = attention_forward<T>(AttentionOptions<T>(), {x, x, v, one, one}, cache);
  for (Index i = 0; i < n; ++i) {
    for (Index j = 0; j < d; ++j) CHECK(std::abs(y(i, j) - 3) < 1e-5);
  }
}

TEST_CASE("a window of any size is no window", "[ops]") {
  const auto x = random_tensor<float, 2>({5, 4}, 1);
  const Sequences one = Sequences::single(5);
  AttentionOptions<float> options;
  AttentionCache<float> cache, all_cache;
  const Matrix<float> all(attention_forward<float>(options, {x, x, x, one, one}, all_cache));
  constexpr Index kHuge = std::numeric_limits<Index>::max();
  options.mask = AttentionMask<float>::window(kHuge, kHuge);
  CHECK(largest_difference(Matrix<float>(attention_forward<float>(options, {x, x, x, one, one}, cache)), all) == 0);
}

}  // namespace attention_test
