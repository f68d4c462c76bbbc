#pragma once

#include <mat/ops/linear_attention.hpp>
#include <mat/ops/rows.hpp>

namespace mat {
inline namespace MAT_ABI {

// A matrix memory whose readings are means of what was written, weighted by positive products of queries and keys. The
// sum of the weights is kept as one more column of the matrix: each value gets a 1 beside it, and what is read of that
// column divides the rest.

/// Features that make products of queries and keys positive: y = elu(x) + 1.
///
///     y = x + 1 for x > 0, else e^x
///
/// Source:  Katharopoulos et al. (2020), "Transformers are RNNs", eq. 7.
/// Shapes:  x, y of one shape; y may be x.
/// Errors:  ShapeError if they differ.
template <class T>
void positive_features_forward(ConstMatrixView<T> x, MatrixView<T> y) {
  check_shape("positive_features_forward: y", y, x.shape());
  detail::for_each_row(x.rows(), 8 * x.cols(), [&](Index t) {
    simd::map(
        x.cols(), y.row(t),
        [](simd::Pack<T> a) {
          return simd::select_less(simd::broadcast(T(0)), a, a + simd::broadcast(T(1)), simd::exp(a));
        },
        x.row(t));
  });
}

/// dx = dy for x > 0, else dy e^x, where y is what positive_features_forward made of x; dx may be dy.
template <class T>
void positive_features_backward(ConstMatrixView<T> y, ConstMatrixView<T> dy, MatrixView<T> dx) {
  check_shape("positive_features_backward: dy", dy, y.shape());
  check_shape("positive_features_backward: dx", dx, y.shape());
  detail::for_each_row(y.rows(), y.cols(), [&](Index t) {
    simd::map(
        y.cols(), dx.row(t),
        [](simd::Pack<T> f, simd::Pack<T> g) {
          return simd::select_less(simd::broadcast(T(1)), f, g, g * f);  // e^x is at most 1, x + 1 is more
        },
        y.row(t), dy.row(t));
  });
}

/// Each head's values with a 1 behind them.
///
/// Shapes:  v [tokens, heads * value_dim]; y [tokens, heads * (value_dim + 1)].
/// Errors:  ShapeError or ValueError if they do not fit.
template <class T>
void append_ones(ConstMatrixView<T> v, Index heads, MatrixView<T> y) {
  check_value(heads >= 1 && v.cols() % heads == 0, "append_ones: heads", heads, "a divisor of v's columns, ", v.cols());
  check_shape("append_ones: y", y, {v.rows(), v.cols() + heads});
  const Index d = v.cols() / heads;
  for (Index t = 0; t < v.rows(); ++t) {
    for (Index h = 0; h < heads; ++h) {
      T* to = y.row(t) + h * (d + 1);
      std::copy_n(v.row(t) + h * d, d, to);
      to[d] = T(1);
    }
  }
}
/// dv is dy without the columns of ones.
template <class T>
void append_ones_backward(ConstMatrixView<T> dy, Index heads, MatrixView<T> dv) {
  check_value(heads >= 1 && dv.cols() % heads == 0, "append_ones_backward: heads", heads, "a divisor of dv's columns, ",
              dv.cols());
  check_shape("append_ones_backward: dy", dy, {dv.rows(), dv.cols() + heads});
  const Index d = dv.cols() / heads;
  for (Index t = 0; t < dv.rows(); ++t) {
    for (Index h = 0; h < heads; ++h) std::copy_n(dy.row(t) + h * (d + 1), d, dv.row(t) + h * d);
  }
}

/// What a normalised memory returns: each head's values divided by what was read of the ones.
///
///     y_j = x_j / (x_d + epsilon),   j < d = value_dim;   0 where x is 0: an empty memory reads 0
///
/// Source:  Munkhdalai, Faruqui & Gopal (2024), "Leave no context behind", eq. 3.
/// Shapes:  x [tokens, heads * (value_dim + 1)]; y [tokens, heads * value_dim].
/// Errors:  ShapeError or ValueError if they do not fit; ValueError if epsilon is below 0.
template <class T>
void divide_by_ones_forward(ConstMatrixView<T> x, Index heads, T epsilon, MatrixView<T> y) {
  check_value(epsilon >= 0, "divide_by_ones_forward: epsilon", static_cast<double>(epsilon), "at least 0");
  check_value(heads >= 1 && y.cols() % heads == 0, "divide_by_ones_forward: heads", heads, "a divisor of y's columns, ",
              y.cols());
  check_shape("divide_by_ones_forward: x", x, {y.rows(), y.cols() + heads});
  const Index d = y.cols() / heads;
  detail::for_each_row(y.rows(), y.cols(), [&](Index t) {
    for (Index h = 0; h < heads; ++h) {
      const T* from = x.row(t) + h * (d + 1);
      simd::set_scaled(d, y.row(t) + h * d, simd::inverse_or_zero(from[d] + epsilon), from);
    }
  });
}

/// dx_j = dy_j / (x_d + epsilon),  dx_d = -<dy, y> / (x_d + epsilon). Shapes, errors as divide_by_ones_forward.
template <class T>
void divide_by_ones_backward(ConstMatrixView<T> x, ConstMatrixView<T> y, ConstMatrixView<T> dy, Index heads, T epsilon,
                             MatrixView<T> dx) {
  check_value(heads >= 1 && y.cols() % heads == 0, "divide_by_ones_backward: heads", heads,
              "a divisor of y's columns, ", y.cols());
  check_shape("divide_by_ones_backward: x", x, {y.rows(), y.cols() + heads});
  check_shape("divide_by_ones_backward: dy", dy, y.shape());
  check_shape("divide_by_ones_backward: dx", dx, x.shape());
  const Index d = y.cols() / heads;
  detail::for_each_row(y.rows(), 2 * y.cols(), [&](Index t) {
    for (Index h = 0; h < heads; ++h) {
      T* to = dx.row(t) + h * (d + 1);
      const T* g = dy.row(t) + h * d;
      const T factor = simd::inverse_or_zero(x.row(t)[h * (d + 1) + d] + epsilon);
      const T ones = -factor * simd::dot(d, g, y.row(t) + h * d);
      simd::set_scaled(d, to, factor, g);
      to[d] = ones;
    }
  });
}

/// What linear_memory_forward reads.
template <class T>
struct LinearMemoryInputs {
  ConstMatrixView<T> q, k, v;
  Index heads = 1;
  T epsilon = T(1e-6);
  const Sequences& sequences;
};

/// What one linear_memory_forward leaves for its backward.
template <class T>
struct LinearMemoryCache {
  Matrix<T> q, k, dq, dk;    // positive features and their gradients: [tokens, heads * key_dim]
  Matrix<T> v, sums, dsums;  // with ones: [tokens, heads * (value_dim + 1)]
  Matrix<T> y;               // [tokens, heads * value_dim]
  LinearAttentionCache<T> attention;
};

namespace detail {

template <class T>
[[nodiscard]] LinearAttentionOptions<T> linear_memory_options(const LinearMemoryInputs<T>& inputs) {
  LinearAttentionOptions<T> options;
  options.heads = inputs.heads;
  options.rule = LinearAttentionRule::additive;
  return options;
}

}  // namespace detail

/// Linear attention whose readings are weighted means, token after token.
///
///     f(x) = elu(x) + 1,   [S z] += f(k_t)^T [v_t 1],   y_t = f(q_t) S / (f(q_t) z + epsilon)
///
/// `state` holds S with z as its last column before the first token of each sequence, and then after its last.
///
/// Source:  Katharopoulos et al. (2020), "Transformers are RNNs", eq. 18-20.
/// Shapes:  q, k [tokens, heads * key_dim]; v, y [tokens, heads * value_dim]; state [sequences * heads * key_dim,
///          value_dim + 1].
/// Returns: y, living in the cache until the next forward with it.
/// Errors:  ShapeError or ValueError if sizes, heads or sequences do not fit.
/// Threads: uses parallel_for; the bits of a sequence's results depend on the sequence alone.
template <class T>
ConstMatrixView<T> linear_memory_forward(const LinearMemoryInputs<T>& in, MatrixView<T> state,
                                         LinearMemoryCache<T>& cache) {
  check_value(in.heads >= 1 && in.v.cols() % in.heads == 0, "linear_memory_forward: heads", in.heads,
              "a divisor of v's columns, ", in.v.cols());
  cache.q.resize(in.q.shape());
  cache.k.resize(in.k.shape());
  cache.v.resize({in.v.rows(), in.v.cols() + in.heads});
  cache.y.resize(in.v.shape());
  positive_features_forward<T>(in.q, cache.q);
  positive_features_forward<T>(in.k, cache.k);
  append_ones<T>(in.v, in.heads, cache.v);
  cache.sums.assign(linear_attention_forward<T>(
      detail::linear_memory_options(in), {cache.q, cache.k, cache.v, {}, {}, in.sequences}, state, cache.attention));
  divide_by_ones_forward<T>(cache.sums, in.heads, in.epsilon, cache.y);
  return cache.y;
}

/// Sets the gradients of the inputs of linear_memory_forward; `dstate`, the gradient of the last state, becomes that of
/// the first. Shapes, source, errors and threads as there.
template <class T>
void linear_memory_backward(ConstMatrixView<T> dy, const LinearMemoryInputs<T>& in, LinearMemoryCache<T>& cache,
                            MatrixView<T> dq, MatrixView<T> dk, MatrixView<T> dv, MatrixView<T> dstate) {
  check_shape("linear_memory_backward: dy", dy, cache.y.shape());
  check_shape("linear_memory_backward: dq", dq, in.q.shape());
  check_shape("linear_memory_backward: dk", dk, in.k.shape());
  check_shape("linear_memory_backward: dv", dv, in.v.shape());
  cache.dsums.resize(cache.sums.shape());
  divide_by_ones_backward<T>(cache.sums, cache.y, dy, in.heads, in.epsilon, cache.dsums);
  cache.dq.resize(in.q.shape());
  cache.dk.resize(in.k.shape());
  cache.dq.fill(T(0));
  cache.dk.fill(T(0));
  // The gradient of v with its ones takes the place of the sums, which are not needed any more.
  cache.sums.fill(T(0));
  linear_attention_backward<T>(cache.dsums, detail::linear_memory_options(in),
                               {cache.q, cache.k, cache.v, {}, {}, in.sequences}, cache.attention,
                               {cache.dq, cache.dk, cache.sums, {}, {}}, dstate);
  positive_features_backward<T>(cache.q, cache.dq, dq);
  positive_features_backward<T>(cache.k, cache.dk, dk);
  append_ones_backward<T>(cache.sums, in.heads, dv);
}

}  // namespace MAT_ABI
}  // namespace mat
