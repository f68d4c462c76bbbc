#include "support/bits.hpp"
#include "support/catch.hpp"
#include "support/gradients.hpp"

#include <mat/ops/normalize.hpp>

#include <cmath>

namespace normalize_test {

using namespace mat;
using namespace mat::test;

namespace {

enum class Norm { layer, rms };

/// The largest error against a plain loop in long double.
template <class T>
double worst_error(Norm norm, Index rows, Index features, double shift) {
  Matrix<T> x = random_tensor<T, 2>({rows, features}, 1, 3);
  for (Index i = 0; i < x.size(); ++i) x.data()[i] += static_cast<T>(shift);
  const auto weight = random_tensor<T, 1>({features}, 2), bias = random_tensor<T, 1>({features}, 3);
  const double epsilon = 1e-5;
  Matrix<T> y(x.shape());
  NormStatistics<T> statistics;
  if (norm == Norm::layer) {
    layer_norm_forward<T>(x, {weight, bias}, epsilon, y, statistics);
  } else {
    rms_norm_forward<T>(x, weight, epsilon, y, statistics);
  }
  const auto d = static_cast<long double>(features);
  long double worst = 0;
  for (Index t = 0; t < rows; ++t) {
    long double mean = 0, variance = 0;
    for (Index j = 0; j < features; ++j) mean += static_cast<long double>(x(t, j)) / d;
    if (norm == Norm::rms) mean = 0;
    for (Index j = 0; j < features; ++j) {
      variance += (static_cast<long double>(x(t, j)) - mean) * (static_cast<long double>(x(t, j)) - mean) / d;
    }
    for (Index j = 0; j < features; ++j) {
      const long double n = (static_cast<long double>(x(t, j)) - mean) / std::sqrt(variance + epsilon);
      long double expected = n * static_cast<long double>(weight(j));
      if (norm == Norm::layer) expected += static_cast<long double>(bias(j));
      worst = std::max(worst, std::abs(static_cast<long double>(y(t, j)) - expected));
    }
  }
  return static_cast<double>(worst);
}

struct Gradients {
  Matrix<double> dx;
  Vector<double> dweight, dbias;
};

/// One norm with everything that it reads, and the loss sum dy y.
struct Problem {
  Norm norm;
  Matrix<double> x, dy;
  Vector<double> weight, bias;
  double epsilon = 1e-2;

  Problem(Norm kind, Index rows, Index features)
      : norm(kind),
        x(random_tensor<double, 2>({rows, features}, 1)),
        dy(random_tensor<double, 2>({rows, features}, 2)),
        weight(random_tensor<double, 1>({features}, 3)),
        bias(random_tensor<double, 1>({features}, 4)) {}

  double loss(NormStatistics<double>& statistics) const {
    Matrix<double> y(x.shape());
    if (norm == Norm::layer) {
      layer_norm_forward<double>(x, {weight, bias}, epsilon, y, statistics);
    } else {
      rms_norm_forward<double>(x, weight, epsilon, y, statistics);
    }
    return inner_product<double, 2>(y, dy);
  }
  void add_gradients(Gradients& g) const {
    NormStatistics<double> statistics;
    loss(statistics);
    g.dx.resize(x.shape());
    if (norm == Norm::layer) {
      layer_norm_backward<double>(x, weight, statistics, dy, {g.dweight, g.dbias}, g.dx);
    } else {
      rms_norm_backward<double>(x, weight, statistics, dy, g.dweight, g.dx);
    }
  }
  [[nodiscard]] Gradients gradients() const {
    Gradients g;
    g.dweight = Vector<double>(weight.shape());
    g.dbias = Vector<double>(bias.shape());
    add_gradients(g);
    return g;
  }
};

}  // namespace

TEST_CASE("norms equal plain loops", "[ops]") {
  const auto norm = GENERATE(Norm::layer, Norm::rms);
  for (const Index features : {1, 2, 7, 33, 256}) {
    CAPTURE(features);
    CHECK(worst_error<double>(norm, 5, features, 0) < 1e-14);
    CHECK(worst_error<float>(norm, 5, features, 0) < 3e-6);
  }
  CHECK(worst_error<double>(norm, 0, 4, 0) == 0.0);
  CHECK(worst_error<double>(norm, 1, 16, 50) < 1e-13);
  CHECK(worst_error<float>(norm, 1, 16, 50) < 2e-5);
}

TEST_CASE("a layer-normalised row has mean 0 and variance 1, also far away from 0", "[ops]") {
  Matrix<float> x = random_tensor<float, 2>({1, 64}, 1);
  for (Index j = 0; j < 64; ++j) x(0, j) += 1000;
  Matrix<float> y({1, 64});
  NormStatistics<float> statistics;
  layer_norm_forward<float>(x, {}, 0, y, statistics);
  double mean = 0, variance = 0;
  for (Index j = 0; j < 64; ++j) mean += static_cast<double>(y(0, j)) / 64;
  for (Index j = 0; j < 64; ++j) variance += static_cast<double>(y(0, j)) * static_cast<double>(y(0, j)) / 64;
  CHECK(std::abs(mean) < 1e-4);
  CHECK(std::abs(variance - 1) < 1e-5);
}

TEST_CASE("the gradients of norms agree with central differences", "[ops]") {
  const auto norm = GENERATE(Norm::layer, Norm::rms);
  const auto with_weight = GENERATE(true, false);
  for (const Shape<2> shape : {Shape<2>{1, 1}, Shape<2>{3, 1}, Shape<2>{1, 5}, Shape<2>{4, 19}, Shape<2>{0, 3}}) {
    CAPTURE(shape[0], shape[1], with_weight);
    Problem problem(norm, shape[0], shape[1]);
    if (!with_weight) problem.weight = Vector<double>();
    const Gradients g = problem.gradients();
    NormStatistics<double> scratch;
    const auto loss = [&] { return problem.loss(scratch); };
    CHECK(gradient_error(loss, problem.x, g.dx) < 1e-6);
    CHECK(gradient_error(loss, problem.weight, g.dweight) < 1e-6);
    if (norm == Norm::layer) CHECK(gradient_error(loss, problem.bias, g.dbias) < 1e-6);
  }
}

TEST_CASE("gradients of norm weights add", "[ops]") {
  const auto norm = GENERATE(Norm::layer, Norm::rms);
  const Problem problem(norm, 3, 8);
  Gradients twice = problem.gradients();
  const Gradients once = twice;
  problem.add_gradients(twice);
  for (Index j = 0; j < 8; ++j) {
    CHECK(std::abs(twice.dweight(j) - 2 * once.dweight(j)) < 1e-14);
    CHECK(std::abs(twice.dbias(j) - 2 * once.dbias(j)) < 1e-14);
  }
  CHECK(twice.dx == once.dx);
}

TEST_CASE("dx may overwrite dy", "[ops]") {
  const auto norm = GENERATE(Norm::layer, Norm::rms);
  const Problem problem(norm, 3, 21);
  const Gradients expected = problem.gradients();
  NormStatistics<double> statistics;
  problem.loss(statistics);
  Matrix<double> gradient = problem.dy;
  Vector<double> dweight({21}), dbias({21});
  if (norm == Norm::layer) {
    layer_norm_backward<double>(problem.x, problem.weight, statistics, gradient, {dweight, dbias}, gradient);
  } else {
    rms_norm_backward<double>(problem.x, problem.weight, statistics, gradient, dweight, gradient);
  }
  CHECK(same_bits(gradient, expected.dx));
  CHECK(same_bits(dweight, expected.dweight));
}

TEST_CASE("norms give a row the same bits alone and in any batch", "[ops]") {
  const auto check = [](auto zero) {
    using T = decltype(zero);
    NormStatistics<T> statistics;
    CHECK(rows_are_independent<T>([&](auto x, auto y) {
      const auto weight = random_tensor<T, 1>({x.cols()}, 2), bias = random_tensor<T, 1>({x.cols()}, 3);
      layer_norm_forward<T>(x, {weight, bias}, 1e-5, y, statistics);
    }));
    CHECK(rows_are_independent<T>([&](auto x, auto dx) {
      const auto weight = random_tensor<T, 1>({x.cols()}, 2);
      layer_norm_forward<T>(x, {weight, {}}, 1e-5, dx, statistics);
      layer_norm_backward<T>(x, weight, statistics, dx, {}, dx);
    }));
    CHECK(rows_are_independent<T>([&](auto x, auto y) { rms_norm_forward<T>(x, {}, 1e-5, y, statistics); }));
    CHECK(rows_are_independent<T>([&](auto x, auto dx) {
      rms_norm_forward<T>(x, {}, 1e-5, dx, statistics);
      rms_norm_backward<T>(x, {}, statistics, dx, {}, dx);
    }));
  };
  check(0.0F);
  check(0.0);
}

TEST_CASE("the gradients of norms have the same bits for any number of threads", "[ops]") {
  const int before = max_threads();
  const auto x = random_tensor<float, 2>({300, 515}, 1), dy = random_tensor<float, 2>(x.shape(), 2);
  const auto weight = random_tensor<float, 1>({515}, 3);
  const auto run = [&](int threads, Matrix<float>& dx, Vector<float>& dweight, Vector<float>& dbias) {
    set_threads(threads);
    NormStatistics<float> statistics;
    Matrix<float> y(x.shape());
    layer_norm_forward<float>(x, {weight, {}}, 1e-5, y, statistics);
    layer_norm_backward<float>(x, weight, statistics, dy, {dweight, dbias}, dx);
  };
  Matrix<float> dx(x.shape());
  Vector<float> dweight({515}), dbias({515});
  run(1, dx, dweight, dbias);
  for (const int threads : {2, 3}) {
    Matrix<float> other_dx(x.shape());
    Vector<float> other_dweight({515}), other_dbias({515});
    run(threads, other_dx, other_dweight, other_dbias);
    CHECK(same_bits(other_dx, dx));
    CHECK(same_bits(other_dweight, dweight));
    CHECK(same_bits(other_dbias, dbias));
  }
  set_threads(before);
}

TEST_CASE("norms refuse tensors that do not fit", "[ops]") {
  const Matrix<double> x({4, 7}), narrow({4, 6});
  Matrix<double> y({4, 7}), wrong({3, 7});
  const Vector<double> seven({7}), six({6});
  Vector<double> gradient({6});
  NormStatistics<double> statistics;
  CHECK_THROWS_WITH(layer_norm_forward<double>(x, {seven, seven}, 1e-5, wrong, statistics),
                    "layer_norm_forward: y is [3, 7], expected [4, 7]");
  CHECK_THROWS_WITH(layer_norm_forward<double>(x, {six, seven}, 1e-5, y, statistics),
                    "layer_norm_forward: weight is [6], expected [7]");
  CHECK_THROWS_WITH(layer_norm_forward<double>(x, {seven, six}, 1e-5, y, statistics),
                    "layer_norm_forward: bias is [6], expected [7]");
  CHECK_THROWS_WITH(rms_norm_forward<double>(x, six, 1e-5, y, statistics),
                    "rms_norm_forward: weight is [6], expected [7]");
  CHECK_THROWS_WITH(layer_norm_backward<double>(x, seven, statistics, x, {}, y),
                    "layer_norm_backward: inv_std is [0], expected [4]");
  layer_norm_forward<double>(x, {seven, seven}, 1e-5, y, statistics);
  CHECK_THROWS_WITH(layer_norm_backward<double>(x, seven, statistics, narrow, {}, y),
                    "layer_norm_backward: dy is [4, 6], expected [4, 7]");
  CHECK_THROWS_WITH(layer_norm_backward<double>(x, seven, statistics, x, {gradient, {}}, y),
                    "layer_norm_backward: weight is [6], expected [7]");
  CHECK_THROWS_WITH(rms_norm_backward<double>(x, seven, statistics, x, {}, wrong),
                    "rms_norm_backward: dx is [3, 7], expected [4, 7]");
}

}  // namespace normalize_test
