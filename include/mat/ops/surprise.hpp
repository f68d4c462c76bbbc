#pragma once

#include <mat/ops/fast_weights.hpp>

#include <cmath>

namespace mat {
inline namespace MAT_ABI {

// The gradient of a memory's inner loss, which is what a chunk of tokens writes, and a bound on the loss's curvature,
// which says how far the write may step. Both with their exact backward: that of the gradient is second order.

/// What one chunk of one sequence writes: under each key its value, as strongly as its rate says.
template <class T>
struct SurpriseInputs {
  ConstMatrixView<T> keys, values;  // [rows, features]
  ConstMatrixView<T> rates;         // [rows, 1], one after the other
  T bias_rate = 1;                  ///< Of the biases' gradient: 1 as that of the weights, 0 leaves them alone.
};

/// The Gram matrix of rows with a rate each, where every row has sqrt(bias_rate) appended, which is what a bias sees.
template <class T>
struct WeightedGram {
  MatrixView<T> products;  // sum_t rate_t x_t^T x_t: [columns, columns]
  VectorView<T> sums;      // sum_t rate_t x_t, or 0 where bias_rate is: [columns]
};

/// A bound on the largest curvature of the inner loss, and the numbers it is made of. See surprise_forward.
template <class T>
struct CurvatureBound {
  T hidden = 0, keys = 0, fc2 = 0, loss = 0;

  [[nodiscard]] T value() const { return hidden + keys * fc2 + std::sqrt(loss * keys); }
};

/// What surprise_forward leaves for its backward, in memory that the caller owns.
template <class T>
struct SurpriseTape {
  MatrixView<T> hidden, dhidden;        // U and delta: [rows, hidden]
  MatrixView<T> error, weighted_error;  // E and rate E: [rows, features]
  FastWeights<T> gradient;              // g
  WeightedGram<T> hidden_gram;          // of U
  WeightedGram<T> key_gram;             // of K
  MatrixView<T> fc2_gram;               // W2 W2^T: [features, features]
  CurvatureBound<T>* bound = nullptr;   // without one no curvature is computed, and the three above stay as they are
};

/// Where surprise_backward adds to. An empty dweights is not computed: the weights are constants inside of g then.
template <class T>
struct SurpriseGradients {
  MatrixView<T> dkeys, dvalues;  // [rows, features]
  MatrixView<T> drates;          // [rows, 1]
  FastWeights<T> dweights;
};

/// Memory to work in.
template <class T>
struct SurpriseScratch {
  MatrixView<T> hidden, more_hidden;  // [rows, hidden]
  MatrixView<T> rows, more_rows;      // [rows, features]
  MatrixView<T> square;               // [features, hidden]
};

namespace detail {

/// y = rate_t x_t, row by row.
template <class T>
void scale_rows(ConstMatrixView<T> rates, ConstMatrixView<T> x, MatrixView<T> y) {
  for (Index t = 0; t < x.rows(); ++t) simd::set_scaled(x.cols(), y.row(t), *rates.row(t), x.row(t));
}

/// sums = factor sum_t x_t
template <class T>
void set_column_sums(T factor, ConstMatrixView<T> x, VectorView<T> sums) {
  std::fill_n(sums.data(), sums.size(), T(0));
  if (factor == T(0)) return;
  for (Index t = 0; t < x.rows(); ++t) simd::add_scaled(x.cols(), sums.data(), factor, x.row(t));
}
/// x_t += factor row, for all t
template <class T>
void add_to_rows(T factor, ConstVectorView<T> row, MatrixView<T> x) {
  if (factor == T(0)) return;
  for (Index t = 0; t < x.rows(); ++t) simd::add_scaled(x.cols(), x.row(t), factor, row.data());
}

template <class T>
[[nodiscard]] double sum_of_squares(ConstMatrixView<T> x) {
  double sum = 0;
  for (Index i = 0; i < x.rows(); ++i) sum += static_cast<double>(simd::dot(x.cols(), x.row(i), x.row(i)));
  return sum;
}

/// Fills the Gram matrix and returns its Frobenius norm: with c = bias_rate
///
///     sqrt(|products|^2 + 2 c |sums|^2 + c^2 (sum_t rate_t)^2)
template <class T>
[[nodiscard]] T weighted_gram_forward(ConstMatrixView<T> x, const SurpriseInputs<T>& in, MatrixView<T> scratch,
                                      const WeightedGram<T>& gram) {
  const ConstMatrixView<T> rates = in.rates;
  scale_rows<T>(rates, x, scratch);
  matmul<T>(transposed<T>(x), scratch, gram.products);
  set_column_sums<T>(T(in.bias_rate == T(0) ? 0 : 1), scratch, gram.sums);
  const double total = static_cast<double>(in.bias_rate * simd::sum_of(x.rows(), rates.data()));
  const double sums = static_cast<double>(simd::dot(gram.sums.size(), gram.sums.data(), gram.sums.data()));
  return static_cast<T>(
      std::sqrt(sum_of_squares<T>(gram.products) + 2 * static_cast<double>(in.bias_rate) * sums + total * total));
}

/// The backward of weighted_gram_forward, where factor = d norm / norm. With m_t = x_t products + c sums:
///
///     dx_t += 2 factor rate_t m_t,   drate_t += factor (<x_t, m_t> + c <x_t, sums> + c^2 sum_s rate_s)
template <class T>
void weighted_gram_backward(T factor, ConstMatrixView<T> x, const SurpriseInputs<T>& in, const WeightedGram<T>& gram,
                            MatrixView<T> scratch, MatrixView<T> dx, MatrixView<T> drates) {
  matmul<T>(x, gram.products, scratch);
  const T c = in.bias_rate, total = c * c * simd::sum_of(x.rows(), in.rates.data());
  const Index n = x.cols();
  for (Index t = 0; t < x.rows(); ++t) {
    T* const m = scratch.row(t);
    const T* const sums = gram.sums.data();
    T along_sums = 0;
    if (c != T(0)) {
      simd::add_scaled(n, m, c, sums);
      along_sums = c * simd::dot(n, x.row(t), sums);
    }
    *drates.row(t) += factor * (simd::dot<T>(n, x.row(t), m) + along_sums + total);
    simd::add_scaled(n, dx.row(t), T(2) * factor * *in.rates.row(t), static_cast<const T*>(m));
  }
}

/// a / b, and 0 where b is 0.
template <class T>
[[nodiscard]] T ratio(T a, T b) {
  return b == T(0) ? T(0) : a / b;
}

}  // namespace detail

/// The gradient g of the inner loss 1/2 sum_t rate_t |f(k_t) - v_t|^2 by the weights of f.
///
///     U = relu(K W1^T + b1),   E = U W2^T + b2 - V,   E^ = rate E,   delta = (E^ W2) [U > 0]
///     gW1 = delta^T K,   gb1 = c sum delta,   gW2 = E^^T U,   gb2 = c sum E^,   c = bias_rate
///
/// and a bound on the largest eigenvalue of the loss's second derivative, if tape.bound says where it goes:
///
///     |U~^T rate U~| + |K~^T rate K~| |W2 W2^T| + sqrt(sum_t rate_t |E_t|^2 |K~^T rate K~|)
///
/// with Frobenius norms, ~ for an appended sqrt(c). The three are for the second map, for the first, and for both
/// moving at once. For equal rows the first two norms are the eigenvalues themselves; for n orthogonal ones they are
/// sqrt(n) times larger, where the trace would be n times.
///
/// Source:  after Behrouz, Zhong & Mirrokni (2025), "Titans: learning to memorize at test time".
/// Shapes:  at the members of the structures.
/// Threads: one sequence's work, on the calling thread unless it is large.
template <class T>
void surprise_forward(FastWeights<const T> w, const SurpriseInputs<T>& in, const SurpriseTape<T>& tape,
                      const SurpriseScratch<T>& scratch) {
  fast_weights_forward<T>(w, in.keys, tape.hidden, tape.error);
  for (Index t = 0; t < in.keys.rows(); ++t) {
    simd::map(
        in.values.cols(), tape.error.row(t), [](simd::Pack<T> f, simd::Pack<T> v) { return f - v; },
        static_cast<const T*>(tape.error.row(t)), in.values.row(t));
  }
  detail::scale_rows<T>(in.rates, tape.error, tape.weighted_error);
  matmul<T>(tape.weighted_error, w.fc2_weight, tape.dhidden);
  activation_backward<T>(Activation::relu, tape.hidden, tape.hidden, tape.dhidden, tape.dhidden);

  const FastWeights<T>& g = tape.gradient;
  matmul<T>(transposed<T>(tape.dhidden), in.keys, g.fc1_weight);
  matmul<T>(transposed<T>(tape.weighted_error), tape.hidden, g.fc2_weight);
  detail::set_column_sums<T>(in.bias_rate, tape.dhidden, g.fc1_bias);
  detail::set_column_sums<T>(in.bias_rate, tape.weighted_error, g.fc2_bias);
  if (tape.bound == nullptr) return;

  tape.bound->hidden = detail::weighted_gram_forward<T>(tape.hidden, in, scratch.hidden, tape.hidden_gram);
  tape.bound->keys = detail::weighted_gram_forward<T>(in.keys, in, scratch.rows, tape.key_gram);
  matmul<T>(w.fc2_weight, transposed<T>(w.fc2_weight), tape.fc2_gram);
  tape.bound->fc2 = static_cast<T>(std::sqrt(detail::sum_of_squares<T>(tape.fc2_gram)));
  tape.bound->loss = 0;
  for (Index t = 0; t < in.keys.rows(); ++t) {
    tape.bound->loss += simd::dot(in.values.cols(), tape.error.row(t), tape.weighted_error.row(t));
  }
}

namespace detail {

/// Adds what the bound, whose gradient is dbound, asks of its inputs: to dkeys, drates, dW2, dU and dE.
template <class T>
void curvature_backward(T dbound, FastWeights<const T> w, const SurpriseInputs<T>& in, const SurpriseTape<T>& tape,
                        const SurpriseScratch<T>& scratch, const SurpriseGradients<T>& grads) {
  const CurvatureBound<T>& bound = *tape.bound;
  const T root = std::sqrt(bound.loss * bound.keys);
  weighted_gram_backward<T>(ratio(dbound, bound.hidden), tape.hidden, in, tape.hidden_gram, scratch.more_hidden,
                            scratch.hidden, grads.drates);
  const T dkeys = dbound * (bound.fc2 + ratio(bound.loss, root) / 2);
  weighted_gram_backward<T>(ratio(dkeys, bound.keys), in.keys, in, tape.key_gram, scratch.more_rows, grads.dkeys,
                            grads.drates);
  const T dloss = dbound * ratio(bound.keys, root) / 2;
  for (Index t = 0; t < in.keys.rows(); ++t) {
    const T* error = tape.error.row(t);
    *grads.drates.row(t) += dloss * simd::dot(in.values.cols(), error, error);
    simd::add_scaled(in.values.cols(), scratch.rows.row(t), T(2) * dloss, tape.weighted_error.row(t));
  }
  if (grads.dweights.fc2_weight.empty()) return;
  matmul<T>(tape.fc2_gram, w.fc2_weight, scratch.square);
  const T factor = 2 * dbound * ratio(bound.keys, bound.fc2);
  for (Index i = 0; i < scratch.square.rows(); ++i) {
    simd::add_scaled(scratch.square.cols(), grads.dweights.fc2_weight.row(i), factor, scratch.square.row(i));
  }
}

}  // namespace detail

/// Adds the gradients of surprise_forward to `grads`, for a gradient dg of g and dbound of the bound.
///
///     ddelta = K P1^T + c p1,   A = ddelta [U > 0],   dK += delta P1
///     dE^ = U P2^T + c p2 + A W2^T,   dU = E^ P2,   dW2 += E^^T A
///     drate_t += <dE^_t, E_t>,   dE = rate dE^,   dV -= dE,   and dE through f
///
/// with dg = (P1, p1, P2, p2). Source, shapes and threads as surprise_forward.
template <class T>
void surprise_backward(FastWeights<const T> dg, T dbound, FastWeights<const T> w, const SurpriseInputs<T>& in,
                       const SurpriseTape<T>& tape, const SurpriseScratch<T>& scratch,
                       const SurpriseGradients<T>& grads) {
  const MatrixView<T> a = scratch.more_hidden, dweighted = scratch.more_rows;
  matmul<T>(in.keys, transposed<T>(dg.fc1_weight), a);
  detail::add_to_rows<T>(in.bias_rate, dg.fc1_bias, a);
  activation_backward<T>(Activation::relu, tape.hidden, tape.hidden, a, a);
  matmul_add<T>(tape.dhidden, dg.fc1_weight, grads.dkeys);
  matmul<T>(tape.hidden, transposed<T>(dg.fc2_weight), dweighted);
  detail::add_to_rows<T>(in.bias_rate, dg.fc2_bias, dweighted);
  matmul_add<T>(a, transposed<T>(w.fc2_weight), dweighted);
  matmul<T>(tape.weighted_error, dg.fc2_weight, scratch.hidden);  // dU
  if (!grads.dweights.fc2_weight.empty()) {
    matmul_add<T>(transposed<T>(tape.weighted_error), a, grads.dweights.fc2_weight);
  }
  for (Index t = 0; t < in.keys.rows(); ++t) {
    *grads.drates.row(t) += simd::dot(in.values.cols(), dweighted.row(t), tape.error.row(t));
  }
  detail::scale_rows<T>(in.rates, dweighted, scratch.rows);  // dE
  if (tape.bound != nullptr) detail::curvature_backward<T>(dbound, w, in, tape, scratch, grads);
  for (Index t = 0; t < in.keys.rows(); ++t) {
    simd::add_scaled(in.values.cols(), grads.dvalues.row(t), T(-1), scratch.rows.row(t));
  }
  fast_weights_backward<T>(w, in.keys, tape.hidden, scratch.rows, scratch.hidden, grads.dweights, grads.dkeys);
}

}  // namespace MAT_ABI
}  // namespace mat
