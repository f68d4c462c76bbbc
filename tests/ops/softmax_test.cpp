#include "support/bits.hpp"
#include "support/catch.hpp"
#include "support/gradients.hpp"
#include "support/threads.hpp"

#include <mat/ops/softmax.hpp>

#include <cmath>
#include <limits>
#include <vector>

namespace softmax_test {

using namespace mat;
using namespace mat::test;

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// The softmax of n numbers that lie `stride` apart, in more digits than are under test.
template <class T>
class Reference {
 public:
  Reference(const T* x, Index n, Index stride) {
    for (Index i = 0; i < n; ++i) largest_ = std::max(largest_, static_cast<long double>(x[i * stride]));
    for (Index i = 0; i < n; ++i) sum_ += std::exp(static_cast<long double>(x[i * stride]) - largest_);
  }
  /// The larger error of the two functions at x; that of the logarithm relative to the larger of 1 and its value.
  [[nodiscard]] double error(T x, T softmax, T log_softmax) const {
    const long double log_p = static_cast<long double>(x) - largest_ - std::log(sum_);
    const long double error = std::abs(static_cast<long double>(softmax) - std::exp(log_p));
    const long double log_error = std::abs(static_cast<long double>(log_softmax) - log_p);
    return static_cast<double>(std::max(error, log_error / std::max(1.0L, std::abs(log_p))));
  }

 private:
  long double largest_ = -kInfinity, sum_ = 0;
};

template <class T>
double worst_row_error(Index rows, Index cols, double scale) {
  const auto x = random_tensor<T, 2>({rows, cols}, 3, scale);
  Matrix<T> y({rows, cols}), log_y({rows, cols});
  softmax_forward<T>(x, y);
  log_softmax_forward<T>(x, log_y);
  double worst = 0;
  for (Index i = 0; i < rows; ++i) {
    const Reference<T> reference(x.view().row(i), cols, 1);
    for (Index j = 0; j < cols; ++j) worst = std::max(worst, reference.error(x(i, j), y(i, j), log_y(i, j)));
  }
  return worst;
}

const Sequences& ragged() {
  static const Sequences sequences({3, 0, 1, 6});
  return sequences;
}

template <class T>
double worst_token_error(Index cols, double scale) {
  const auto x = random_tensor<T, 2>({ragged().rows(), cols}, 4, scale);
  Matrix<T> y(x.shape()), log_y(x.shape());
  softmax_over_tokens_forward<T>(x, ragged(), y);
  log_softmax_over_tokens_forward<T>(x, ragged(), log_y);
  double worst = 0;
  for (Index b = 0; b < ragged().count(); ++b) {
    for (Index j = 0; j < cols; ++j) {
      const Reference<T> reference(x.view().row(ragged().begin(b)) + j, ragged().length(b), cols);
      for (Index t = ragged().begin(b); t < ragged().end(b); ++t) {
        worst = std::max(worst, reference.error(x(t, j), y(t, j), log_y(t, j)));
      }
    }
  }
  return worst;
}

}  // namespace

TEST_CASE("softmax and log_softmax of rows equal plain loops, for scores of any size", "[ops]") {
  for (const double scale : {0.1, 1.0, 100.0, 1e4}) {
    for (const Index cols : {1, 2, 7, 33, 100}) {
      CAPTURE(scale, cols);
      CHECK(worst_row_error<double>(5, cols, scale) < 1e-15);
      CHECK(worst_row_error<float>(5, cols, scale) < 5e-7);
    }
  }
}

TEST_CASE("softmax and log_softmax over the tokens of each sequence equal plain loops", "[ops]") {
  for (const double scale : {0.1, 1.0, 100.0, 1e4}) {
    for (const Index cols : {1, 2, 7, 33, 100}) {
      CAPTURE(scale, cols);
      CHECK(worst_token_error<double>(cols, scale) < 1e-15);
      CHECK(worst_token_error<float>(cols, scale) < 5e-7);
    }
  }
}

TEST_CASE("the gradients of softmax agree with central differences", "[ops]") {
  const auto log = GENERATE(false, true);
  CAPTURE(log);
  SECTION("of rows") {
    for (const Shape<2> shape : {Shape<2>{1, 1}, Shape<2>{4, 1}, Shape<2>{1, 9}, Shape<2>{3, 21}, Shape<2>{0, 5}}) {
      auto x = random_tensor<double, 2>(shape, 1);
      const auto dy = random_tensor<double, 2>(shape, 2);
      Matrix<double> y(shape), dx(shape);
      const auto loss = [&] {
        log ? log_softmax_forward<double>(x, y) : softmax_forward<double>(x, y);
        return inner_product<double, 2>(y, dy);
      };
      loss();
      log ? log_softmax_backward<double>(y, dy, dx) : softmax_backward<double>(y, dy, dx);
      CHECK(gradient_error(loss, x, dx) < 1e-6);
    }
  }
  SECTION("over tokens") {
    for (const Index cols : {1, 7, 21}) {
      auto x = random_tensor<double, 2>({ragged().rows(), cols}, 1);
      const auto dy = random_tensor<double, 2>(x.shape(), 2);
      Matrix<double> y(x.shape()), dx(x.shape());
      const auto loss = [&] {
        log ? log_softmax_over_tokens_forward<double>(x, ragged(), y)
            : softmax_over_tokens_forward<double>(x, ragged(), y);
        return inner_product<double, 2>(y, dy);
      };
      loss();
      log ? log_softmax_over_tokens_backward<double>(y, ragged(), dy, dx)
          : softmax_over_tokens_backward<double>(y, ragged(), dy, dx);
      CHECK(gradient_error(loss, x, dx) < 1e-6);
    }
  }
}

TEST_CASE("where nothing may be chosen softmax gives zeros and no gradient", "[ops]") {
  const double none = -kInfinity;
  const Matrix<double> x({3, 2}, {none, none, 1, none, none, none}), dy({3, 2}, {1, 2, 3, 4, 5, 6});
  Matrix<double> y({3, 2}), dx({3, 2});
  SECTION("along a row") {
    softmax_forward<double>(x, y);
    CHECK(y == Matrix<double>({3, 2}, {0, 0, 1, 0, 0, 0}));
    softmax_backward<double>(y, dy, dx);
    CHECK(dx == Matrix<double>({3, 2}));
    log_softmax_forward<double>(x, y);
    CHECK(y == Matrix<double>({3, 2}, {none, none, 0, none, none, none}));
  }
  SECTION("along the tokens") {
    const Sequences sequences({1, 2});
    softmax_over_tokens_forward<double>(x, sequences, y);
    CHECK(y == Matrix<double>({3, 2}, {0, 0, 1, 0, 0, 0}));
    softmax_over_tokens_backward<double>(y, sequences, dy, dx);
    CHECK(dx == Matrix<double>({3, 2}));
    log_softmax_over_tokens_forward<double>(x, sequences, y);
    CHECK(y == Matrix<double>({3, 2}, {none, none, 0, none, none, none}));
  }
}

TEST_CASE("a NaN among the scores makes its own row NaN and no other", "[ops]") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const Matrix<double> x({3, 2}, {1, 2, nan, -kInfinity, 0, 0});
  Matrix<double> y({3, 2});
  SECTION("along a row") {
    softmax_forward<double>(x, y);
    CHECK(std::isnan(y(1, 0)));
    CHECK(std::isnan(y(1, 1)));
    CHECK(std::abs(y(0, 0) + y(0, 1) - 1) < 1e-15);
    CHECK(y(2, 0) == 0.5);
  }
  SECTION("along the tokens") {
    softmax_over_tokens_forward<double>(x, Sequences({2, 1}), y);
    CHECK(std::isnan(y(0, 0)));
    CHECK(std::isnan(y(1, 0)));
    CHECK(y(0, 1) == 1.0);
    CHECK(y(2, 0) == 1.0);
  }
}

TEST_CASE("softmax gives a row the same bits alone and in any batch", "[ops]") {
  const auto check = [](auto zero) {
    using T = decltype(zero);
    CHECK(rows_are_independent<T>([](auto x, auto y) { softmax_forward<T>(x, y); }));
    CHECK(rows_are_independent<T>([](auto x, auto y) { log_softmax_forward<T>(x, y); }));
    CHECK(rows_are_independent<T>([](auto x, auto dx) {
      Matrix<T> y(x.shape());
      softmax_forward<T>(x, y);
      softmax_backward<T>(y, x, dx);
    }));
    CHECK(rows_are_independent<T>([](auto x, auto dx) {
      Matrix<T> y(x.shape());
      log_softmax_forward<T>(x, y);
      log_softmax_backward<T>(y, x, dx);
    }));
  };
  check(0.0F);
  check(0.0);
}

TEST_CASE("softmax over tokens gives a sequence the same bits alone and in any batch", "[ops]") {
  for (const Index cols : {1, 5, 7, 33}) {
    const auto x = random_tensor<float, 2>({ragged().rows(), cols}, 8), dy = random_tensor<float, 2>(x.shape(), 9);
    Matrix<float> y(x.shape()), log_y(x.shape()), dx(x.shape()), log_dx(x.shape());
    softmax_over_tokens_forward<float>(x, ragged(), y);
    softmax_over_tokens_backward<float>(y, ragged(), dy, dx);
    log_softmax_over_tokens_forward<float>(x, ragged(), log_y);
    log_softmax_over_tokens_backward<float>(log_y, ragged(), dy, log_dx);
    for (Index b = 0; b < ragged().count(); ++b) {
      const Index begin = ragged().begin(b), length = ragged().length(b);
      const Sequences single = Sequences::single(length);
      const Matrix<float> x1(x.view().middle_rows(begin, length)), dy1(dy.view().middle_rows(begin, length));
      Matrix<float> y1(x1.shape()), dx1(x1.shape());
      softmax_over_tokens_forward<float>(x1, single, y1);
      softmax_over_tokens_backward<float>(y1, single, dy1, dx1);
      CHECK(same_bits<float>(y1.view(), y.view().middle_rows(begin, length)));
      CHECK(same_bits<float>(dx1.view(), dx.view().middle_rows(begin, length)));
      log_softmax_over_tokens_forward<float>(x1, single, y1);
      log_softmax_over_tokens_backward<float>(y1, single, dy1, dx1);
      CHECK(same_bits<float>(y1.view(), log_y.view().middle_rows(begin, length)));
      CHECK(same_bits<float>(dx1.view(), log_dx.view().middle_rows(begin, length)));
    }
  }
}

TEST_CASE("softmax over tokens leaves rows between the sequences alone", "[ops]") {
  const Sequences sequences = Sequences::with_capacity({1, 2}, 3);
  const auto x = random_tensor<double, 2>({6, 4}, 1);
  Matrix<double> y({6, 4});
  y.fill(7);
  softmax_over_tokens_forward<double>(x, sequences, y);
  CHECK(y(0, 0) == 1.0);
  for (const Index gap : {1, 2, 5}) CHECK(y(gap, 3) == 7.0);
  CHECK(std::abs(y(3, 1) + y(4, 1) - 1) < 1e-15);
}

TEST_CASE("softmax works in place", "[ops]") {
  const auto x = random_tensor<float, 2>({10, 19}, 1);
  Matrix<float> y(x.shape()), in_place = x;
  softmax_forward<float>(x, y);
  softmax_forward<float>(in_place, in_place);
  CHECK(same_bits(in_place, y));
  in_place = x;
  log_softmax_forward<float>(x, y);
  log_softmax_forward<float>(in_place, in_place);
  CHECK(same_bits(in_place, y));
  in_place = x;
  softmax_over_tokens_forward<float>(x, ragged(), y);
  softmax_over_tokens_forward<float>(in_place, ragged(), in_place);
  CHECK(same_bits(in_place, y));
  Matrix<float> dx(x.shape()), gradient = x;
  softmax_over_tokens_backward<float>(y, ragged(), x, dx);
  softmax_over_tokens_backward<float>(y, ragged(), gradient, gradient);
  CHECK(same_bits(gradient, dx));
}

TEST_CASE("softmax has the same bits for any number of threads", "[ops]") {
  const auto x = random_tensor<float, 2>({600, 301}, 2);
  const Sequences sequences({270, 1, 0, 329});
  const auto run = [&](const auto& softmax) {
    return test::same_for_threads(
        [&] {
          Matrix<float> y(x.shape());
          softmax(y);
          return y;
        },
        [](const Matrix<float>& a, const Matrix<float>& b) { return same_bits(a, b); });
  };
  CHECK(run([&](Matrix<float>& y) { softmax_forward<float>(x, y); }));
  CHECK(run([&](Matrix<float>& y) { softmax_over_tokens_forward<float>(x, sequences, y); }));
}

TEST_CASE("softmax refuses tensors that do not fit", "[ops]") {
  const Matrix<double> x({10, 7});
  Matrix<double> y({10, 6}), dx({10, 7});
  CHECK_THROWS_WITH(softmax_forward<double>(x, y), "softmax_forward: y is [10, 6], expected [10, 7]");
  CHECK_THROWS_WITH(softmax_backward<double>(x, y, dx), "softmax_backward: dy is [10, 6], expected [10, 7]");
  CHECK_THROWS_WITH(log_softmax_forward<double>(x, y), "log_softmax_forward: y is [10, 6], expected [10, 7]");
  CHECK_THROWS_WITH(log_softmax_backward<double>(x, x, y), "log_softmax_backward: dx is [10, 6], expected [10, 7]");
  CHECK_THROWS_WITH(softmax_over_tokens_forward<double>(x, Sequences({4, 5}), dx),
                    "softmax_over_tokens_forward: x is 10 tokens, expected 9, the rows of its sequences");
  CHECK_THROWS_WITH(softmax_over_tokens_backward<double>(x, ragged(), y, dx),
                    "softmax_over_tokens_backward: dy is [10, 6], expected [10, 7]");
  CHECK_THROWS_WITH(log_softmax_over_tokens_forward<double>(x, ragged(), y),
                    "log_softmax_over_tokens_forward: y is [10, 6], expected [10, 7]");
  CHECK_THROWS_WITH(log_softmax_over_tokens_backward<double>(x, Sequences({2}), x, dx),
                    "log_softmax_over_tokens_backward: y is 10 tokens, expected 2, the rows of its sequences");
}

}  // namespace softmax_test
