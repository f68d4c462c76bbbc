#pragma once

#include <mat/core/random.hpp>
#include <mat/layers/initialize.hpp>
#include <mat/layers/parameters.hpp>

#include <cmath>
#include <string>

namespace mat::test {

/// The derivative of loss() by `x`, extrapolated from central differences at three step sizes.
template <class Loss>
double derivative(double& x, const Loss& loss, double step) {
  const double x0 = x;
  double estimate[3];
  for (double& value : estimate) {
    x = x0 + step;
    const double above = loss();
    x = x0 - step;
    const double below = loss();
    value = (above - below) / (2 * step);
    step /= 2;
  }
  x = x0;
  const double first = (4 * estimate[1] - estimate[0]) / 3, second = (4 * estimate[2] - estimate[1]) / 3;
  return (16 * second - first) / 15;
}

/// The largest relative error of a gradient against central differences of loss(), over every element of `values`.
/// Relative to the larger of the two derivatives, but at least to `floor`: below it differences are rounding noise.
template <class Loss>
double gradient_error(const Loss& loss, double* values, const double* gradient, Index count, double step = 2e-3,
                      double floor = 1e-3) {
  double worst = 0;
  for (Index i = 0; i < count; ++i) {
    const double expected = derivative(values[i], loss, step);
    const double scale = std::max({std::abs(expected), std::abs(gradient[i]), floor});
    const double error = std::abs(expected - gradient[i]) / scale;
    if (!(error <= worst)) worst = error;  // a NaN counts
  }
  return worst;
}

template <class Loss, std::size_t Rank>
double gradient_error(const Loss& loss, Tensor<double, Rank>& values, const Tensor<double, Rank>& gradient) {
  return gradient_error(loss, values.data(), gradient.data(), values.size());
}

/// As above over every parameter of a layer; `name` receives that of the worst.
template <class Loss, class Parameters>
double parameter_gradient_error(const Loss& loss, Parameters& parameters, const Parameters& gradients,
                                std::string& name) {
  double worst = 0;
  for_each_parameter(
      [&](const ParameterName& at, auto& values, const auto& gradient) {
        const double error = gradient_error(loss, values.data(), gradient.data(), values.size());
        if (!(error <= worst)) {
          worst = error;
          name = at.str();
        }
      },
      parameters, gradients);
  return worst;
}

/// Standard normal numbers, a function of the seed.
template <class T, std::size_t Rank>
Tensor<T, Rank> random_tensor(const Shape<Rank>& shape, std::uint64_t seed, double scale = 1) {
  Tensor<T, Rank> tensor(shape);
  initialize_normal<T>(tensor, scale, Random(seed));
  return tensor;
}

/// sum_i a_i b_i: a loss whose gradient by a is b.
template <class T, std::size_t Rank>
double inner_product(TensorView<const T, Rank> a, const Tensor<T, Rank>& b) {
  double sum = 0;
  for (Index i = 0; i < a.rows(); ++i) {
    for (Index j = 0; j < a.cols(); ++j) sum += static_cast<double>(a.row(i)[j]) * b.view().row(i)[j];
  }
  return sum;
}

/// The largest |a - b|; infinity if the shapes differ or a NaN stands on one side only.
template <class T, std::size_t Rank>
double largest_difference(TensorView<const T, Rank> a, TensorView<const T, Rank> b) {
  if (a.shape() != b.shape()) return std::numeric_limits<double>::infinity();
  double worst = 0;
  for (Index i = 0; i < a.rows(); ++i) {
    for (Index j = 0; j < a.cols(); ++j) {
      const double x = a.row(i)[j], y = b.row(i)[j];
      if (std::isnan(x) && std::isnan(y)) continue;
      const double difference = x == y ? 0 : std::abs(x - y);
      if (!(difference <= worst)) worst = std::isnan(difference) ? std::numeric_limits<double>::infinity() : difference;
    }
  }
  return worst;
}
template <class T, std::size_t Rank>
double largest_difference(const Tensor<T, Rank>& a, const Tensor<T, Rank>& b) {
  return largest_difference(TensorView<const T, Rank>(a), TensorView<const T, Rank>(b));
}

}  // namespace mat::test
