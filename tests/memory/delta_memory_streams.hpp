#pragma once

#include "support/bits.hpp"
#include "support/catch.hpp"
#include "support/gradients.hpp"

#include <mat/memory/delta_memory.hpp>

namespace delta_memory_test {

// Delta memories of every kind, their equations number by number, and streams that they read and write.

using namespace mat;
using mat::test::inner_product;
using mat::test::largest_difference;
using mat::test::parameter_gradient_error;
using mat::test::random_tensor;
using mat::test::same_bits;

template <class T>
typename DeltaMemory<T>::Config small(LinearAttentionRule rule = LinearAttentionRule::delta) {
  typename DeltaMemory<T>::Config config;
  config.features = 6;
  config.heads = 2;
  config.key_dim = 3;
  config.value_dim = 4;
  config.rule = rule;
  config.chunk = 4;
  config.initial_gamma = 0.8;
  return config;
}

/// Every rule and option, with parameters that are nowhere at their first values.
template <class T>
std::vector<DeltaMemory<T>> memories() {
  std::vector<DeltaMemory<T>> all;
  for (const auto rule : {LinearAttentionRule::delta, LinearAttentionRule::additive}) {
    for (const bool with : {true, false}) {
      auto config = small<T>(rule);
      config.token_shift = config.forget = with;
      DeltaMemory<T> memory(config, Random(1));
      std::uint64_t seed = 100;
      for_each_parameter(
          [&](const ParameterName&, auto& tensor) {
            const Random random(++seed);
            for (Index i = 0; i < tensor.size(); ++i) {
              tensor.data()[i] += static_cast<T>(0.3 * random.normal(static_cast<std::uint64_t>(i)));
            }
          },
          memory.parameters());
      all.push_back(std::move(memory));
    }
  }
  return all;
}

/// Reads and then writes segment after segment of a stream, cut after rows `cuts`; all that was read, and the last
/// state.
template <class T>
struct Streamed {
  std::vector<Matrix<T>> reads;
  typename DeltaMemory<T>::State state;
};
template <class T>
Streamed<T> stream(const DeltaMemory<T>& memory, const Matrix<T>& x, const std::vector<Index>& lengths,
                   const typename DeltaMemory<T>::State* from = nullptr) {
  Streamed<T> result;
  if (from == nullptr) {
    memory.initial(1, result.state);
  } else {
    result.state = *from;
  }
  typename DeltaMemory<T>::ReadCache read_cache;
  typename DeltaMemory<T>::WriteCache write_cache;
  typename DeltaMemory<T>::State next;
  Index row = 0;
  for (const Index length : lengths) {
    const auto rows = x.view().middle_rows(row, length);
    const Sequences sequences = Sequences::single(length);
    result.reads.emplace_back(memory.read(result.state, rows, sequences, read_cache));
    memory.write(result.state, rows, sequences, next, write_cache);
    std::swap(result.state, next);
    row += length;
  }
  return result;
}

/// What the class comment says, number by number: writes the rows of one sequence to S, and reads with them.
struct Reference {
  const DeltaMemory<double>& memory;
  const DeltaMemory<double>::Config& c = memory.config();
  const DeltaMemory<double>::Parameters& p = memory.parameters();
  bool additive = c.rule == LinearAttentionRule::additive;

  static std::vector<double> times(const std::vector<double>& row, const Linear<double>& layer) {
    std::vector<double> y;
    const auto& w = layer.parameters().weight;
    for (Index i = 0; i < w.rows(); ++i) {
      double sum = layer.config().bias ? layer.parameters().bias(i) : 0;
      for (Index j = 0; j < w.cols(); ++j) sum += row[static_cast<std::size_t>(j)] * w(i, j);
      y.push_back(sum);
    }
    return y;
  }
  static double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }
  static std::vector<double> row_of(ConstMatrixView<double> x, Index t) { return {x.row(t), x.row(t) + x.cols()}; }
  std::vector<double> features(std::vector<double> x) const {
    for (Index h = 0; h < c.heads; ++h) {
      double squares = 0;
      for (Index i = 0; i < c.key_dim; ++i) squares += std::pow(x[static_cast<std::size_t>(h * c.key_dim + i)], 2);
      for (Index i = 0; i < c.key_dim; ++i) {
        double& y = x[static_cast<std::size_t>(h * c.key_dim + i)];
        y = additive ? (y > 0 ? y + 1 : std::exp(y)) : squares > 0 ? y / std::sqrt(squares) : 0;
      }
    }
    return x;
  }

  void write(Matrix<double>& s, std::vector<double>& last, ConstMatrixView<double> rows) const {
    for (Index t = 0; t < rows.rows(); ++t) {
      const auto row = row_of(rows, t);
      const auto k = features(times(c.token_shift ? last : row, p.key)), v = times(row, p.value),
                 beta = times(row, p.beta), gamma = c.forget ? times(row, *p.gamma) : std::vector<double>();
      for (Index h = 0; h < c.heads; ++h) {
        const auto at = [&](Index i, Index j) -> double& { return s(h * c.key_dim + i, j); };
        const auto head = static_cast<std::size_t>(h);
        for (Index j = 0; j < s.cols(); ++j) {
          double error = j == c.value_dim ? 1 : v[static_cast<std::size_t>(h * c.value_dim + j)];
          for (Index i = 0; i < c.key_dim; ++i) {
            if (c.forget) at(i, j) *= sigmoid(gamma[head]);
            if (!additive) error -= k[static_cast<std::size_t>(h * c.key_dim + i)] * at(i, j);
          }
          for (Index i = 0; i < c.key_dim; ++i) {
            at(i, j) += k[static_cast<std::size_t>(h * c.key_dim + i)] * sigmoid(beta[head]) * error;
          }
        }
      }
      last = row;
    }
  }
  std::vector<double> read(const Matrix<double>& s, std::vector<double> row) const {
    const auto q = features(times(row, p.query));
    std::vector<double> read;
    for (Index h = 0; h < c.heads; ++h) {
      std::vector<double> sums(static_cast<std::size_t>(s.cols()));
      for (Index i = 0; i < c.key_dim; ++i) {
        for (Index j = 0; j < s.cols(); ++j) {
          sums[static_cast<std::size_t>(j)] += q[static_cast<std::size_t>(h * c.key_dim + i)] * s(h * c.key_dim + i, j);
        }
      }
      for (Index j = 0; j < c.value_dim; ++j) {
        const double value = sums[static_cast<std::size_t>(j)] / (additive ? sums.back() + c.epsilon : 1);
        read.push_back(sigmoid(p.read_gate(h)) * value);
      }
    }
    return times(read, p.output);
  }
};

/// A stream of several segments with losses of every reading and of the last state.
struct Unrolled {
  DeltaMemory<double>& memory;
  std::vector<Sequences> segments;
  std::vector<Matrix<double>> x, h, dr;
  DeltaMemory<double>::State first, dlast;

  Unrolled(DeltaMemory<double>& m, const std::vector<std::vector<Index>>& lengths) : memory(m) {
    std::uint64_t seed = 10;
    for (const auto& segment : lengths) {
      segments.emplace_back(segment);
      for (auto* rows : {&x, &h, &dr}) rows->push_back(random_tensor<double, 2>({segments.back().rows(), 6}, ++seed));
    }
    memory.initial(segments[0].count(), first);
    dlast = first;
    for (auto* state : {&first, &dlast}) {
      state->matrix = random_tensor<double, 2>(state->matrix.shape(), ++seed);
      state->last = random_tensor<double, 2>(state->last.shape(), ++seed);
    }
    // The column of an additive memory that divides is a sum of positive numbers.
    for (Index i = 0; i < first.matrix.rows() && first.matrix.cols() == 5; ++i) {
      first.matrix(i, 4) = 1 + std::abs(first.matrix(i, 4));
    }
  }

  [[nodiscard]] double loss() const {
    DeltaMemory<double>::State state = first, next;
    DeltaMemory<double>::ReadCache read_cache;
    DeltaMemory<double>::WriteCache write_cache;
    double sum = 0;
    for (std::size_t i = 0; i < segments.size(); ++i) {
      sum += inner_product(memory.read(state, x[i], segments[i], read_cache), dr[i]);
      memory.write(state, h[i], segments[i], next, write_cache);
      std::swap(state, next);
    }
    sum += inner_product(ConstMatrixView<double>(state.matrix), dlast.matrix);
    return sum + inner_product(ConstMatrixView<double>(state.last), dlast.last);
  }

  struct Gradients {
    std::vector<Matrix<double>> dx, dh;
    DeltaMemory<double>::State dfirst;
    DeltaMemory<double>::Parameters parameters;
  };
  [[nodiscard]] Gradients gradients(bool only_the_last_reading = false) const {
    const std::size_t n = segments.size();
    std::vector<DeltaMemory<double>::State> states(n + 1);
    std::vector<DeltaMemory<double>::ReadCache> reads(n);
    std::vector<DeltaMemory<double>::WriteCache> writes(n);
    states[0] = first;
    for (std::size_t i = 0; i < n; ++i) {
      (void)memory.read(states[i], x[i], segments[i], reads[i]);
      memory.write(states[i], h[i], segments[i], states[i + 1], writes[i]);
    }
    Gradients g{std::vector<Matrix<double>>(n), std::vector<Matrix<double>>(n), dlast, zeros_like(memory.parameters())};
    if (only_the_last_reading) zero_state_like(dlast, g.dfirst);
    for (std::size_t i = n; i-- > 0;) {
      DeltaMemory<double>::State before;
      zero_state_like(states[i], before);
      g.dh[i] = Matrix<double>(memory.write_backward(g.dfirst, states[i], writes[i], before, g.parameters));
      if (i + 1 == n || !only_the_last_reading) {
        g.dx[i] = Matrix<double>(memory.read_backward(dr[i], states[i], reads[i], before, g.parameters));
      }
      g.dfirst = before;
    }
    return g;
  }
};

}  // namespace delta_memory_test
