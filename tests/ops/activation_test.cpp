#include "support/bits.hpp"
#include "support/catch.hpp"
#include "support/gradients.hpp"

#include <mat/ops/activation.hpp>

#include <cmath>
#include <limits>
#include <vector>

namespace activation_test {

using namespace mat;
using namespace mat::test;

namespace {

const std::vector<Activation> kAll = {Activation::relu, Activation::gelu,     Activation::gelu_tanh,
                                      Activation::silu, Activation::tanh,     Activation::sigmoid,
                                      Activation::elu,  Activation::softplus, Activation::identity};

/// The definitions, as the documentation of PyTorch writes them.
double value(Activation kind, double x) {
  switch (kind) {
    case Activation::relu:
      return std::max(x, 0.0);
    case Activation::gelu:
      return x * 0.5 * std::erfc(-x / std::sqrt(2.0));
    case Activation::gelu_tanh: {
      const double u = std::sqrt(2 / 3.141592653589793) * (x + 0.044715 * x * x * x);
      return 0.5 * x * (1 + std::tanh(u));
    }
    case Activation::silu:
      return x / (1 + std::exp(-x));
    case Activation::tanh:
      return std::tanh(x);
    case Activation::sigmoid:
      return 1 / (1 + std::exp(-x));
    case Activation::softplus:
      return x > 20 ? x : std::log1p(std::exp(x));
    case Activation::elu:
      return x > 0 ? x : std::expm1(x);
    case Activation::identity:
      break;
  }
  return x;
}

/// Numbers of both signs, none within 0.05 of 0, where relu has a corner.
template <class T>
Matrix<T> inputs(Index rows, Index cols, double scale = 2) {
  Matrix<T> x = random_tensor<T, 2>({rows, cols}, 5, scale);
  for (Index i = 0; i < x.size(); ++i) x.data()[i] += x.data()[i] < 0 ? T(-0.05) : T(0.05);
  return x;
}

/// The largest error of forward, relative to the larger of 1 and the value.
template <class T>
double worst_error(Activation kind, Index rows, Index cols, double scale) {
  const Matrix<T> x = inputs<T>(rows, cols, scale);
  Matrix<T> y({rows, cols});
  activation_forward<T>(kind, x, y);
  double worst = 0;
  for (Index i = 0; i < x.size(); ++i) {
    const double expected = value(kind, static_cast<double>(x.data()[i]));
    const double error = std::abs(static_cast<double>(y.data()[i]) - expected) / std::max(1.0, std::abs(expected));
    if (!(error <= worst)) worst = error;
  }
  return worst;
}

template <class T>
T forward_one(Activation kind, double x) {
  const Matrix<T> in({1, 1}, {static_cast<T>(x)});
  Matrix<T> out({1, 1});
  activation_forward<T>(kind, in, out);
  return out(0, 0);
}

template <class T>
T slope_one(Activation kind, double x) {
  const Matrix<T> in({1, 1}, {static_cast<T>(x)}), one({1, 1}, {T(1)});
  Matrix<T> y({1, 1}), dx({1, 1});
  activation_forward<T>(kind, in, y);
  activation_backward<T>(kind, in, y, one, dx);
  return dx(0, 0);
}

}  // namespace

TEST_CASE("activations have the values of their definitions", "[ops]") {
  for (const Activation kind : kAll) {
    CAPTURE(name_of(kind));
    for (const double scale : {0.01, 1.0, 5.0, 30.0}) {
      CAPTURE(scale);
      CHECK(worst_error<double>(kind, 13, 37, scale) < 1e-15);
      CHECK(worst_error<float>(kind, 13, 37, scale) < 4e-7);
    }
    CHECK(worst_error<double>(kind, 1, 1, 1) < 1e-15);
    CHECK(worst_error<float>(kind, 7, 1, 1) < 4e-7);
  }
}

TEST_CASE("activation_backward agrees with central differences", "[ops]") {
  for (const Activation kind : kAll) {
    CAPTURE(name_of(kind));
    for (const Shape<2> shape : {Shape<2>{1, 1}, Shape<2>{4, 1}, Shape<2>{1, 19}, Shape<2>{5, 11}, Shape<2>{0, 3}}) {
      Matrix<double> x = inputs<double>(shape[0], shape[1]);
      const auto dy = random_tensor<double, 2>(shape, 6);
      Matrix<double> y(shape), dx(shape);
      const auto loss = [&] {
        activation_forward<double>(kind, x, y);
        return inner_product<double, 2>(y, dy);
      };
      loss();
      activation_backward<double>(kind, x, y, dy, dx);
      CHECK(gradient_error(loss, x, dx) < 1e-6);
    }
  }
}

TEST_CASE("activations are exact for inputs so large that an exponential overflows", "[ops]") {
  for (const double x : {1e4, 1e18, 1e30}) {
    for (const Activation kind : {Activation::relu, Activation::gelu, Activation::gelu_tanh, Activation::silu}) {
      CAPTURE(name_of(kind), x);
      CHECK(forward_one<float>(kind, x) == static_cast<float>(x));
      CHECK(forward_one<double>(kind, x) == x);
      CHECK(forward_one<float>(kind, -x) == 0.0F);
      CHECK(forward_one<double>(kind, -x) == 0.0);
      CHECK(slope_one<float>(kind, x) == 1.0F);
      CHECK(slope_one<double>(kind, x) == 1.0);
      CHECK(slope_one<float>(kind, -x) == 0.0F);
      CHECK(slope_one<double>(kind, -x) == 0.0);
    }
    CHECK(forward_one<float>(Activation::sigmoid, x) == 1.0F);
    CHECK(forward_one<float>(Activation::sigmoid, -x) == 0.0F);
    CHECK(forward_one<double>(Activation::tanh, -x) == -1.0);
    CHECK(forward_one<float>(Activation::tanh, x) == 1.0F);
    CHECK(forward_one<float>(Activation::elu, -x) == -1.0F);
    CHECK(slope_one<double>(Activation::elu, -x) == 0.0);
    CHECK(slope_one<double>(Activation::elu, x) == 1.0);
  }
}

TEST_CASE("far out on the left gelu keeps the digits that (1 + erf) / 2 cancels", "[ops]") {
  for (const double x : {-3.0, -5.0, -8.0}) {
    const double expected = value(Activation::gelu, x);
    CHECK(std::abs(forward_one<double>(Activation::gelu, x) / expected - 1) < 1e-14);
    CHECK(std::abs(static_cast<double>(forward_one<float>(Activation::gelu, x)) / expected - 1) < 1e-5);
  }
}

TEST_CASE("a NaN stays a NaN through every activation", "[ops]") {
  for (const Activation kind : kAll) {
    CAPTURE(name_of(kind));
    CHECK(std::isnan(forward_one<float>(kind, std::numeric_limits<double>::quiet_NaN())));
    CHECK(std::isnan(forward_one<double>(kind, std::numeric_limits<double>::quiet_NaN())));
  }
}

TEST_CASE("an activation gives a row the same bits alone and in any batch", "[ops]") {
  for (const Activation kind : kAll) {
    CAPTURE(name_of(kind));
    const auto forward = [kind](auto x, auto y) {
      using T = typename decltype(y)::Scalar;
      activation_forward<T>(kind, x, y);
    };
    const auto backward = [kind](auto x, auto dx) {
      using T = typename decltype(dx)::Scalar;
      Matrix<T> y(x.shape());
      activation_forward<T>(kind, x, y);
      activation_backward<T>(kind, x, y, x, dx);
    };
    CHECK(rows_are_independent<float>(forward));
    CHECK(rows_are_independent<double>(forward));
    CHECK(rows_are_independent<float>(backward));
    CHECK(rows_are_independent<double>(backward));
  }
}

TEST_CASE("activations work in place and on columns of a wider matrix", "[ops]") {
  const Matrix<float> x = inputs<float>(6, 21);
  const auto dy = random_tensor<float, 2>({6, 21}, 9);
  for (const Activation kind : kAll) {
    CAPTURE(name_of(kind));
    Matrix<float> y({6, 21}), dx({6, 21});
    activation_forward<float>(kind, x, y);
    activation_backward<float>(kind, x, y, dy, dx);

    Matrix<float> in_place = x, gradient = dy;
    activation_forward<float>(kind, in_place, in_place);
    CHECK(same_bits(in_place, y));
    activation_backward<float>(kind, x, y, gradient, gradient);
    CHECK(same_bits(gradient, dx));

    Matrix<float> wide({6, 30});
    activation_forward<float>(kind, x, wide.view().middle_cols(4, 21));
    CHECK(same_bits<float>(wide.view().middle_cols(4, 21), y.view()));
    CHECK(wide(5, 3) == 0.0F);
    CHECK(wide(0, 25) == 0.0F);
  }
}

TEST_CASE("a gate multiplies, and its gradients swap the factors", "[ops]") {
  const auto a = random_tensor<double, 2>({5, 7}, 1), b = random_tensor<double, 2>({5, 7}, 2),
             dy = random_tensor<double, 2>({5, 7}, 3);
  Matrix<double> y({5, 7}), da({5, 7}), db({5, 7});
  gate_forward<double>(a, b, y);
  gate_backward<double>(a, b, dy, da, db);
  for (Index i = 0; i < y.size(); ++i) {
    CHECK(y.data()[i] == a.data()[i] * b.data()[i]);
    CHECK(da.data()[i] == dy.data()[i] * b.data()[i]);
    CHECK(db.data()[i] == dy.data()[i] * a.data()[i]);
  }
  SECTION("either gradient may overwrite dy") {
    Matrix<double> over_a = dy, over_b = dy, other({5, 7});
    gate_backward<double>(a, b, over_a, over_a, other);
    CHECK(over_a == da);
    CHECK(other == db);
    gate_backward<double>(a, b, over_b, other, over_b);
    CHECK(over_b == db);
    CHECK(other == da);
  }
}

TEST_CASE("activations have names that read back", "[ops]") {
  for (const Activation kind : kAll) CHECK(activation_from_name(name_of(kind)) == kind);
  CHECK(name_of(Activation::gelu_tanh) == "gelu_tanh");
  CHECK_THROWS_WITH(
      activation_from_name("swish"),
      "activation_from_name: name is \"swish\", expected relu, gelu, gelu_tanh, silu, tanh, sigmoid, elu, "
      "softplus or identity");
  CHECK_THROWS_AS(activation_from_name(""), ValueError);
}

TEST_CASE("activations refuse tensors of different shapes", "[ops]") {
  const Matrix<double> x({4, 7});
  Matrix<double> y({4, 6}), dx({4, 7});
  CHECK_THROWS_WITH(activation_forward<double>(Activation::relu, x, y),
                    "activation_forward: y is [4, 6], expected [4, 7]");
  CHECK_THROWS_WITH(activation_backward<double>(Activation::relu, x, x, y, dx),
                    "activation_backward: dy is [4, 6], expected [4, 7]");
  CHECK_THROWS_WITH(activation_backward<double>(Activation::relu, x, y, x, dx),
                    "activation_backward: y is [4, 6], expected [4, 7]");
  CHECK_THROWS_WITH(gate_forward<double>(x, y, dx), "gate_forward: b is [4, 6], expected [4, 7]");
  CHECK_THROWS_WITH(gate_backward<double>(x, x, y, dx, dx), "gate_backward: dy is [4, 6], expected [4, 7]");
}

}  // namespace activation_test
