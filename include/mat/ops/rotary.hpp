#pragma once

#include <mat/core/simd.hpp>
#include <mat/core/tensor.hpp>
#include <mat/ops/gather.hpp>
#include <mat/ops/rows.hpp>

#include <cmath>

namespace mat {
inline namespace MAT_ABI {

/// Which two features of a head are rotated together; r is the number of features that are rotated.
enum class RotaryPairs {
  half_split,   ///< i and i + r/2: Llama, GPT-NeoX, and ONNX's default
  interleaved,  ///< 2 i and 2 i + 1: the paper, GPT-J
};

/// Cosines and sines of the angles.
template <class T>
struct RotaryTable {
  ConstMatrixView<T> cos;  // [positions, r / 2]
  ConstMatrixView<T> sin;  // [positions, r / 2]
};

/// How the columns of a matrix are heads.
struct RotaryLayout {
  Index head_dim = 0;  ///< Features of a head; the first r of them are rotated, the others stay.
  RotaryPairs pairs = RotaryPairs::half_split;
};

/// cos_ti = cos(t w_i), sin_ti = sin(t w_i) with w_i = base^(-i / pairs), for all positions t and pairs i.
///
/// Shapes: cos, sin [positions, pairs].
/// Errors: ShapeError if they differ.
template <class T>
void fill_rotary_table(double base, MatrixView<T> cos, MatrixView<T> sin) {
  check_shape("fill_rotary_table: sin", sin, cos.shape());
  for (Index i = 0; i < cos.cols(); ++i) {
    const double frequency = std::pow(base, -static_cast<double>(i) / static_cast<double>(cos.cols()));
    for (Index t = 0; t < cos.rows(); ++t) {
      cos.row(t)[i] = static_cast<T>(std::cos(static_cast<double>(t) * frequency));
      sin.row(t)[i] = static_cast<T>(std::sin(static_cast<double>(t) * frequency));
    }
  }
}

namespace detail {

enum class Rotation { forward, backward };

/// (a, b) -> (a cos - b sin, a sin + b cos).
template <class T>
struct RotatedPair {
  simd::Pack<T> a, b;

  EIGEN_ALWAYS_INLINE RotatedPair(simd::Pack<T> x, simd::Pack<T> y, simd::Pack<T> cos, simd::Pack<T> sin)
      : a(simd::fma(x, cos, -(y * sin))), b(simd::fma(x, sin, y * cos)) {}
};

/// Rotates the first 2 `pairs` features of one head; y may be x.
template <class T>
void rotate_head(Index pairs, RotaryPairs layout, const T* x, const T* cos, const T* sin, T sign, T* y) {
  using simd::Pack;
  constexpr Index kSize = Pack<T>::kSize;
  const Pack<T> s = simd::broadcast(sign);
  for (Index i = 0; i < pairs; i += kSize) {
    const Index n = std::min(kSize, pairs - i);
    const Pack<T> c = n == kSize ? simd::load(cos + i) : simd::load_first(cos + i, n);
    const Pack<T> signed_sin = s * (n == kSize ? simd::load(sin + i) : simd::load_first(sin + i, n));
    if (layout == RotaryPairs::interleaved) {
      T a[kSize] = {}, b[kSize] = {};
      for (Index k = 0; k < n; ++k) {
        a[k] = x[2 * (i + k)];
        b[k] = x[2 * (i + k) + 1];
      }
      const RotatedPair<T> r(simd::load(a), simd::load(b), c, signed_sin);
      simd::store(a, r.a);
      simd::store(b, r.b);
      for (Index k = 0; k < n; ++k) {
        y[2 * (i + k)] = a[k];
        y[2 * (i + k) + 1] = b[k];
      }
    } else if (n == kSize) {
      const RotatedPair<T> r(simd::load(x + i), simd::load(x + pairs + i), c, signed_sin);
      simd::store(y + i, r.a);
      simd::store(y + pairs + i, r.b);
    } else {
      const RotatedPair<T> r(simd::load_first(x + i, n), simd::load_first(x + pairs + i, n), c, signed_sin);
      simd::store_first(y + i, n, r.a);
      simd::store_first(y + pairs + i, n, r.b);
    }
  }
}

template <class T>
void rotate(const char* what, ConstMatrixView<T> x, ConstVectorView<Index> positions, const RotaryTable<T>& table,
            const RotaryLayout& layout, Rotation rotation, MatrixView<T> y) {
  const Index d = layout.head_dim, pairs = table.cos.cols();
  check_value(d >= 1 && x.cols() % d == 0, {what, "head_dim"}, d, "a divisor of ", x.cols());
  check_shape({what, "sin"}, table.sin, table.cos.shape());
  check_value(2 * pairs <= d, {what, "columns of cos"}, pairs, "at most head_dim / 2 = ", d / 2);
  check_shape({what, "positions"}, positions, {x.rows()});
  check_shape({what, "y"}, y, x.shape());
  check_ids({what, "positions"}, positions, table.cos.rows());
  const T sign = rotation == Rotation::forward ? T(1) : T(-1);
  for_each_row(x.rows(), x.cols() * 2, [&](Index t) {
    const Index position = positions.data()[t];
    const T* from = x.row(t);
    T* to = y.row(t);
    for (Index h = 0; h < x.cols(); h += d) {
      rotate_head(pairs, layout.pairs, from + h, table.cos.row(position), table.sin.row(position), sign, to + h);
      if (from != to) std::copy(from + h + 2 * pairs, from + h + d, to + h + 2 * pairs);
    }
  });
}

}  // namespace detail

/// Rotates each pair of features (a, b) of each head by the angle of its position; y may be x.
///
///     y_a = x_a cos - x_b sin,   y_b = x_a sin + x_b cos
///
/// Source:  Su et al. (2021), "RoFormer: enhanced transformer with rotary position embedding", eq. 34.
/// Shapes:  x, y [tokens, heads * head_dim]; positions [tokens], each a row of `table`.
/// Errors:  ShapeError if they do not fit; ValueError for a head_dim that does not divide the columns, a table that is
///          wider than half a head, or a position beyond the table.
/// Threads: uses parallel_for; rows are independent.
template <class T>
void rotary_forward(ConstMatrixView<T> x, ConstVectorView<Index> positions, const RotaryTable<T>& table,
                    const RotaryLayout& layout, MatrixView<T> y) {
  detail::rotate<T>("rotary_forward", x, positions, table, layout, detail::Rotation::forward, y);
}

/// dx is dy rotated back, by the negative angles; dx may be dy. Shapes, errors and threads as rotary_forward.
template <class T>
void rotary_backward(ConstMatrixView<T> dy, ConstVectorView<Index> positions, const RotaryTable<T>& table,
                     const RotaryLayout& layout, MatrixView<T> dx) {
  detail::rotate<T>("rotary_backward", dy, positions, table, layout, detail::Rotation::backward, dx);
}

}  // namespace MAT_ABI
}  // namespace mat
