#pragma once

#include <mat/core/sequences.hpp>
#include <mat/layers/initialize.hpp>
#include <mat/layers/parameters.hpp>

#include <bench/peer.hpp>

namespace bench {

[[nodiscard]] inline mat::Matrix<float> random_matrix(mat::Index rows, mat::Index cols, std::uint64_t seed) {
  mat::Matrix<float> m({rows, cols});
  mat::initialize_normal<float>(m, 1, mat::Random(seed));
  return m;
}

/// `count` whole numbers, uniform in [least, most].
[[nodiscard]] inline std::vector<std::int64_t> random_integers(std::int64_t count, std::int64_t least,
                                                               std::int64_t most, std::uint64_t seed) {
  const mat::Random random(seed);
  std::vector<std::int64_t> values;
  for (std::int64_t i = 0; i < count; ++i) {
    const double range = static_cast<double>(most - least + 1);
    values.push_back(least + static_cast<std::int64_t>(range * random.uniform(static_cast<std::uint64_t>(i))));
  }
  return values;
}

[[nodiscard]] inline mat::Sequences sequences_of(const std::vector<std::int64_t>& lengths) {
  return mat::Sequences(std::vector<mat::Index>(lengths.begin(), lengths.end()));
}

/// What a peer copies of a model.
template <class Parameters>
[[nodiscard]] std::vector<Array> arrays_of(const Parameters& parameters) {
  std::vector<Array> arrays;
  mat::for_each_parameter(
      [&](const mat::ParameterName& name, const auto& tensor) {
        arrays.push_back({name.str(), {tensor.shape().begin(), tensor.shape().end()}, tensor.data()});
      },
      parameters);
  return arrays;
}

[[nodiscard]] inline Result result_of(std::string name, mat::ConstMatrixView<float> m) {
  Result result{std::move(name), {}};
  for (mat::Index i = 0; i < m.rows(); ++i) result.values.insert(result.values.end(), m.row(i), m.row(i) + m.cols());
  return result;
}

/// All gradients of a model, under the names of the parameters.
template <class Parameters>
void append_results(const Parameters& gradients, std::vector<Result>& results) {
  mat::for_each_parameter(
      [&](const mat::ParameterName& name, const auto& tensor) {
        results.push_back({name.str(), {tensor.data(), tensor.data() + tensor.size()}});
      },
      gradients);
}

/// The multiplications and additions of one encoder layer's matrix products, forward, for sequences of these lengths.
[[nodiscard]] inline double encoder_layer_flops(const std::vector<std::int64_t>& lengths, double d_model,
                                                double dim_feedforward, bool causal) {
  double flops = 0;
  for (const std::int64_t length : lengths) {
    const double t = static_cast<double>(length);
    flops += t * (8 * d_model * d_model + 4 * d_model * dim_feedforward) + 4 * t * t * d_model / (causal ? 2 : 1);
  }
  return flops;
}

}  // namespace bench
