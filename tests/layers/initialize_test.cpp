#include "support/catch.hpp"

#include <mat/layers/initialize.hpp>

namespace initialize_test {

using namespace mat;

namespace {

struct Moments {
  double mean, variance, largest;
};

Moments moments(const Matrix<double>& m) {
  Moments result{0, 0, 0};
  for (Index i = 0; i < m.size(); ++i) {
    result.mean += m.data()[i] / static_cast<double>(m.size());
    result.variance += m.data()[i] * m.data()[i] / static_cast<double>(m.size());
    result.largest = std::max(result.largest, std::abs(m.data()[i]));
  }
  return result;
}

}  // namespace

TEST_CASE("initialisers have the bounds and variances of their definitions", "[layers]") {
  Matrix<double> w({200, 300});
  const auto check_uniform = [&](double bound) {
    const Moments m = moments(w);
    CHECK(std::abs(m.mean) < 0.02 * bound);
    CHECK(std::abs(m.variance / (bound * bound / 3) - 1) < 0.03);
    CHECK(m.largest < bound);
    CHECK(m.largest > 0.99 * bound);
  };
  const auto check_normal = [&](double deviation) {
    const Moments m = moments(w);
    CHECK(std::abs(m.mean) < 0.02 * deviation);
    CHECK(std::abs(m.variance / (deviation * deviation) - 1) < 0.03);
  };
  initialize_uniform_fan_in<double>(w, 300, Random(1));
  check_uniform(1 / std::sqrt(300.0));
  initialize_xavier_uniform<double>(w, Random(2));
  check_uniform(std::sqrt(6.0 / 500));
  initialize_kaiming_uniform<double>(w, Random(3));
  check_uniform(std::sqrt(6.0 / 300));
  initialize_normal<double>(w, 0.5, Random(4));
  check_normal(0.5);
  initialize_xavier_normal<double>(w, Random(5), 2);
  check_normal(2 * std::sqrt(2.0 / 500));
  initialize_kaiming_normal<double>(w, Random(6));
  check_normal(std::sqrt(2.0 / 300));
}

TEST_CASE("the same generator gives the same values", "[layers]") {
  Matrix<float> a({3, 4}), b({3, 4}), c({3, 4});
  initialize_xavier_uniform<float>(a, Random(1));
  initialize_xavier_uniform<float>(b, Random(1));
  initialize_xavier_uniform<float>(c, Random(2));
  CHECK(a == b);
  CHECK(a != c);
}

}  // namespace initialize_test
