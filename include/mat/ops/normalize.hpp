#pragma once

#include <mat/core/simd.hpp>
#include <mat/core/tensor.hpp>
#include <mat/ops/rows.hpp>

namespace mat {
inline namespace MAT_ABI {

// Layer norm and RMS norm of each row. In both, n is the normalised row and y = weight n + bias.

/// What scales and shifts the normalised rows, or the gradients of both; an empty one is absent.
template <class View>
struct NormAffine {
  View weight;  // [features], or empty
  View bias;    // [features], or empty
};
template <class T>
using NormWeights = NormAffine<ConstVectorView<T>>;
template <class T>
using NormGradients = NormAffine<VectorView<T>>;

/// What the forward of a norm leaves for its backward.
template <class T>
struct NormStatistics {
  Vector<T> mean;     // [rows]; empty for RMS norm
  Vector<T> inv_std;  // [rows]: 1 / sqrt(variance + epsilon), or 1 / sqrt(mean square + epsilon)
};

namespace detail {

template <class T, class View>
void check_norm_affine(const char* what, const NormAffine<View>& affine, Index features) {
  if (!affine.weight.empty()) check_shape({what, "weight"}, affine.weight, {features});
  if (!affine.bias.empty()) check_shape({what, "bias"}, affine.bias, {features});
}

/// y = weight ((x - mean) inv_std) + bias, for one row.
template <class T>
void normalize_row(Index features, const T* x, T mean, T inv_std, const NormWeights<T>& affine, T* y) {
  using simd::Pack;
  const Pack<T> m = simd::broadcast(mean), s = simd::broadcast(inv_std);
  const T* weight = affine.weight.data();
  const T* bias = affine.bias.data();
  if (!affine.weight.empty() && !affine.bias.empty()) {
    simd::map(
        features, y, [m, s](Pack<T> a, Pack<T> w, Pack<T> b) { return simd::fma((a - m) * s, w, b); }, x, weight, bias);
    return;
  }
  simd::map(
      features, y, [m, s](Pack<T> a) { return (a - m) * s; }, x);
  if (!affine.weight.empty())
    simd::map(
        features, y, [](Pack<T> a, Pack<T> w) { return a * w; }, y, weight);
  if (!affine.bias.empty())
    simd::map(
        features, y, [](Pack<T> a, Pack<T> b) { return a + b; }, y, bias);
}

/// Adds sum_t dy_t n_t to the gradient of the weight and sum_t dy_t to that of the bias, rows in order.
template <class T>
void add_norm_gradients(ConstMatrixView<T> x, const NormStatistics<T>& statistics, ConstMatrixView<T> dy,
                        const NormGradients<T>& gradients) {
  using simd::Pack;
  if (gradients.weight.empty() && gradients.bias.empty()) return;
  for_each_column_block(x.cols(), x.rows() * 2, [&](Index first, Index count) {
    for (Index t = 0; t < x.rows(); ++t) {
      const T* g = dy.row(t) + first;
      if (!gradients.weight.empty()) {
        const Pack<T> m = simd::broadcast(statistics.mean.empty() ? T(0) : statistics.mean.data()[t]);
        const Pack<T> s = simd::broadcast(statistics.inv_std.data()[t]);
        T* dw = gradients.weight.data() + first;
        simd::map(
            count, dw, [m, s](Pack<T> sum, Pack<T> d, Pack<T> a) { return simd::fma(d, (a - m) * s, sum); }, dw, g,
            x.row(t) + first);
      }
      if (!gradients.bias.empty()) {
        T* db = gradients.bias.data() + first;
        simd::map(
            count, db, [](Pack<T> sum, Pack<T> d) { return sum + d; }, db, g);
      }
    }
  });
}

/// The row dy weight: dy itself if there is no weight, else written to `scratch`.
template <class T>
[[nodiscard]] const T* weighted_row(Index features, const T* dy, ConstVectorView<T> weight, T* scratch) {
  if (weight.empty()) return dy;
  simd::map(
      features, scratch, [](simd::Pack<T> d, simd::Pack<T> w) { return d * w; }, dy, weight.data());
  return scratch;
}

template <class T>
void check_norm_backward(const char* what, ConstMatrixView<T> x, ConstVectorView<T> weight,
                         const NormStatistics<T>& statistics, ConstMatrixView<T> dy, const NormGradients<T>& gradients,
                         MatrixView<T> dx) {
  check_shape({what, "inv_std"}, statistics.inv_std, {x.rows()});
  check_shape({what, "dy"}, dy, x.shape());
  check_shape({what, "dx"}, dx, x.shape());
  if (!weight.empty()) check_shape({what, "weight"}, weight, {x.cols()});
  check_norm_affine<T>(what, gradients, x.cols());
}

}  // namespace detail

/// Each row to mean 0 and variance 1, then scaled and shifted.
///
///     n = (x - mean(x)) / sqrt(var(x) + epsilon),   y = weight n + bias
///
/// Source:  Ba, Kiros & Hinton (2016), "Layer normalization", eq. 4; biased variance, as in PyTorch.
/// Shapes:  x, y [rows, features]; weight, bias [features] or empty.
/// Errors:  ShapeError if they do not fit.
/// Threads: uses parallel_for; rows are independent.
template <class T>
void layer_norm_forward(ConstMatrixView<T> x, const NormWeights<T>& affine, double epsilon, MatrixView<T> y,
                        NormStatistics<T>& statistics) {
  using simd::Pack;
  const Index d = x.cols();
  check_shape("layer_norm_forward: y", y, x.shape());
  detail::check_norm_affine<T>("layer_norm_forward", affine, d);
  statistics.mean.resize({x.rows()});
  statistics.inv_std.resize({x.rows()});
  detail::for_each_row(x.rows(), d * 4, [&](Index t) {
    const T mean = simd::sum_of(d, x.row(t)) / static_cast<T>(d);
    const Pack<T> m = simd::broadcast(mean);
    const T squares = simd::sum_of(
        d, [m](Pack<T> a) { return (a - m) * (a - m); }, x.row(t));
    const T inv_std = T(1) / std::sqrt(squares / static_cast<T>(d) + static_cast<T>(epsilon));
    detail::normalize_row(d, x.row(t), mean, inv_std, affine, y.row(t));
    statistics.mean.data()[t] = mean;
    statistics.inv_std.data()[t] = inv_std;
  });
}

/// The gradients of layer_norm_forward; those of weight and bias are added. dx may be dy.
///
///     g = weight dy,   dx = (g - mean(g) - n mean(g n)) / std,   dweight += sum_t dy_t n_t,   dbias += sum_t dy_t
///
/// Shapes:  x, dy, dx [rows, features]; weight [features] or empty.
/// Errors:  ShapeError if they do not fit.
/// Threads: uses parallel_for; the sums over rows are in order, so their bits do not depend on the number of threads.
template <class T>
void layer_norm_backward(ConstMatrixView<T> x, ConstVectorView<T> weight, const NormStatistics<T>& statistics,
                         ConstMatrixView<T> dy, const NormGradients<T>& gradients, MatrixView<T> dx) {
  using simd::Pack;
  const Index d = x.cols();
  detail::check_norm_backward("layer_norm_backward", x, weight, statistics, dy, gradients, dx);
  detail::add_norm_gradients(x, statistics, dy, gradients);
  detail::for_each_row(x.rows(), d * 6, [&](Index t) {
    const T* g = detail::weighted_row(d, dy.row(t), weight, dx.row(t));
    const T inv_std = statistics.inv_std.data()[t];
    const Pack<T> m = simd::broadcast(statistics.mean.data()[t]), s = simd::broadcast(inv_std);
    const T mean_g = simd::sum_of(d, g) / static_cast<T>(d);
    const T sum_gn = simd::sum_of(
        d, [m, s](Pack<T> a, Pack<T> b) { return a * ((b - m) * s); }, g, x.row(t));
    const Pack<T> c = simd::broadcast(mean_g), k = simd::broadcast(sum_gn / static_cast<T>(d));
    simd::map(
        d, dx.row(t), [=](Pack<T> a, Pack<T> b) { return ((a - c) - (b - m) * s * k) * s; }, g, x.row(t));
  });
}

/// Each row divided by its root mean square, then scaled.
///
///     n = x / sqrt(mean(x^2) + epsilon),   y = weight n
///
/// Source:  Zhang & Sennrich (2019), "Root mean square layer normalization", eq. 4.
/// Shapes:  x, y [rows, features]; weight [features] or empty.
/// Errors:  ShapeError if they do not fit.
/// Threads: uses parallel_for; rows are independent.
template <class T>
void rms_norm_forward(ConstMatrixView<T> x, ConstVectorView<T> weight, double epsilon, MatrixView<T> y,
                      NormStatistics<T>& statistics) {
  const Index d = x.cols();
  check_shape("rms_norm_forward: y", y, x.shape());
  detail::check_norm_affine<T>("rms_norm_forward", NormWeights<T>{weight, {}}, d);
  statistics.mean.resize({0});
  statistics.inv_std.resize({x.rows()});
  detail::for_each_row(x.rows(), d * 3, [&](Index t) {
    const T squares = simd::dot(d, x.row(t), x.row(t));
    const T inv_rms = T(1) / std::sqrt(squares / static_cast<T>(d) + static_cast<T>(epsilon));
    detail::normalize_row<T>(d, x.row(t), T(0), inv_rms, {weight, {}}, y.row(t));
    statistics.inv_std.data()[t] = inv_rms;
  });
}

/// The gradients of rms_norm_forward; that of the weight is added. dx may be dy.
///
///     g = weight dy,   dx = (g - n mean(g n)) / rms,   dweight += sum_t dy_t n_t
///
/// Shapes:  x, dy, dx [rows, features]; weight, dweight [features] or empty.
/// Errors:  ShapeError if they do not fit.
/// Threads: uses parallel_for; the sums over rows are in order, so their bits do not depend on the number of threads.
template <class T>
void rms_norm_backward(ConstMatrixView<T> x, ConstVectorView<T> weight, const NormStatistics<T>& statistics,
                       ConstMatrixView<T> dy, VectorView<T> dweight, MatrixView<T> dx) {
  using simd::Pack;
  const Index d = x.cols();
  const NormGradients<T> gradients{dweight, {}};
  detail::check_norm_backward("rms_norm_backward", x, weight, statistics, dy, gradients, dx);
  detail::add_norm_gradients(x, statistics, dy, gradients);
  detail::for_each_row(x.rows(), d * 4, [&](Index t) {
    const T* g = detail::weighted_row(d, dy.row(t), weight, dx.row(t));
    const Pack<T> s = simd::broadcast(statistics.inv_std.data()[t]);
    const T sum_gn = simd::sum_of(
        d, [s](Pack<T> a, Pack<T> b) { return a * (b * s); }, g, x.row(t));
    const Pack<T> k = simd::broadcast(sum_gn / static_cast<T>(d));
    simd::map(
        d, dx.row(t), [=](Pack<T> a, Pack<T> b) { return (a - b * s * k) * s; }, g, x.row(t));
  });
}

}  // namespace MAT_ABI
}  // namespace mat
