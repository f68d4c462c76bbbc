#pragma once

#include <mat/core/random.hpp>
#include <mat/core/tensor.hpp>

#include <cmath>

namespace mat {
inline namespace MAT_ABI {

// The first values of parameters, each a function of a seeded generator. The layers call those that PyTorch's layers
// use, so that a model of the same sizes starts from the same distribution. `values` may be a tensor of any rank.

/// Uniform in [-bound, bound).
template <class T, class Values>
void initialize_uniform(Values& values, double bound, const Random& random) {
  for (Index i = 0; i < values.size(); ++i) {
    values.data()[i] = static_cast<T>(bound * (2.0 * random.uniform(static_cast<std::uint64_t>(i)) - 1.0));
  }
}

/// Normal with the given standard deviation.
template <class T, class Values>
void initialize_normal(Values& values, double standard_deviation, const Random& random) {
  for (Index i = 0; i < values.size(); ++i) {
    values.data()[i] = static_cast<T>(standard_deviation * random.normal(static_cast<std::uint64_t>(i)));
  }
}

/// Uniform in +-1/sqrt(fan_in): PyTorch's default of nn.Linear, for its weight and its bias.
template <class T, class Values>
void initialize_uniform_fan_in(Values& values, Index fan_in, const Random& random) {
  initialize_uniform<T>(values, 1.0 / std::sqrt(static_cast<double>(fan_in)), random);
}

/// Xavier uniform: +-gain * sqrt(6 / (fan_in + fan_out)) for a weight [fan_out, fan_in].
/// Source: Glorot & Bengio (2010), "Understanding the difficulty of training deep feedforward neural networks", eq. 16.
template <class T>
void initialize_xavier_uniform(Matrix<T>& weight, const Random& random, double gain = 1.0) {
  initialize_uniform<T>(weight, gain * std::sqrt(6.0 / static_cast<double>(weight.rows() + weight.cols())), random);
}

/// Xavier normal: standard deviation gain * sqrt(2 / (fan_in + fan_out)).
template <class T>
void initialize_xavier_normal(Matrix<T>& weight, const Random& random, double gain = 1.0) {
  initialize_normal<T>(weight, gain * std::sqrt(2.0 / static_cast<double>(weight.rows() + weight.cols())), random);
}

/// Kaiming uniform for relu: +-sqrt(6 / fan_in).
/// Source: He et al. (2015), "Delving deep into rectifiers", eq. 10.
template <class T>
void initialize_kaiming_uniform(Matrix<T>& weight, const Random& random) {
  initialize_uniform<T>(weight, std::sqrt(6.0 / static_cast<double>(weight.cols())), random);
}

/// Kaiming normal for relu: standard deviation sqrt(2 / fan_in).
template <class T>
void initialize_kaiming_normal(Matrix<T>& weight, const Random& random) {
  initialize_normal<T>(weight, std::sqrt(2.0 / static_cast<double>(weight.cols())), random);
}

}  // namespace MAT_ABI
}  // namespace mat
