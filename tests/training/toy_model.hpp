#pragma once

#include <mat/layers/parameters.hpp>
#include <mat/training/cross_entropy.hpp>

namespace mat::test {

/// A matrix and a vector: the smallest thing that an optimiser can be tried on.
template <class T>
struct Pair {
  Matrix<T> weight;
  Vector<T> bias;

  template <class Visitor, class... P>
  static void visit(Visitor&& visitor, P&... p) {
    visit_tensor("weight", visitor, p.weight...);
    visit_tensor("bias", visitor, p.bias...);
  }
};

template <class T>
bool operator==(const Pair<T>& a, const Pair<T>& b) {
  return a.weight == b.weight && a.bias == b.bias;
}

/// weight, then bias, one after the other.
template <class T>
std::vector<double> numbers(const Pair<T>& p) {
  std::vector<double> all;
  for_each_parameter(
      [&](const ParameterName&, const auto& tensor) {
        for (Index i = 0; i < tensor.size(); ++i) all.push_back(static_cast<double>(tensor.data()[i]));
      },
      p);
  return all;
}

/// The largest |a - b|, infinity if one has more numbers.
inline double difference(const std::vector<double>& a, const std::vector<double>& b) {
  if (a.size() != b.size()) return std::numeric_limits<double>::infinity();
  double worst = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (!(std::abs(a[i] - b[i]) <= worst)) worst = std::abs(a[i] - b[i]);
  }
  return worst;
}

/// The start and the three gradients with which the expected numbers of the optimiser tests were made.
inline Pair<double> start() {
  return {Matrix<double>({2, 2}, {1.0, -2.0, 0.5, 3.0}), Vector<double>({2}, {0.25, -1.0})};
}
inline std::vector<Pair<double>> three_gradients() {
  return {{Matrix<double>({2, 2}, {0.1, -0.2, 0.3, 0.4}), Vector<double>({2}, {-1.0, 2.0})},
          {Matrix<double>({2, 2}, {-0.5, 0.25, 0.125, 1.0}), Vector<double>({2}, {0.5, 0.5})},
          {Matrix<double>({2, 2}, {2.0, 0.0, -0.3, -0.6}), Vector<double>({2}, {-0.75, 0.1})}};
}

/// The parameters after three steps.
template <class Optimizer>
std::vector<double> three_steps(Optimizer& optimizer) {
  Pair<double> p = start();
  for (const Pair<double>& g : three_gradients()) optimizer.step(p, g);
  return numbers(p);
}

}  // namespace mat::test
