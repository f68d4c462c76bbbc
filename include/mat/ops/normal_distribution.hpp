#pragma once

#include <mat/core/simd.hpp>

#include <iterator>

namespace mat {
inline namespace MAT_ABI {
namespace detail {

/// Coefficients, highest power first, of a polynomial P with (z + 4) Phi(-z) e^(z^2/2) = P(t), t = (z - 4) / (z + 4).
/// They interpolate at Chebyshev nodes; the relative error is 2e-8 on [0, 15] for float and 4e-17 on [0, 40] for
/// double.
template <class T>
struct NormalTail;
template <>
struct NormalTail<float> {
  static constexpr float kFar = 15;
  static constexpr float kCoefficients[] = {-0.000123290628F, 0.000193482204F, 0.00156763296F, -0.00352389121F,
                                            -0.0075265134F,   0.0604067954F,   -0.186523069F,  0.387136639F,
                                            -0.607896606F,    0.755285139F};
};
template <>
struct NormalTail<double> {
  static constexpr double kFar = 40;
  static constexpr double kCoefficients[] = {
      -9.98050630742118115e-10, -1.69048959907378179e-12, 1.39865831574237241e-8,  1.48191872053667583e-8,
      -7.6387800710992566e-8,   -1.54596056126795094e-7,  2.63604985961946922e-7,  1.02006245227217e-6,
      -6.25041638542766075e-7,  -5.91901520941209799e-6,  7.14956053409962441e-7,  3.51442181440892097e-5,
      -1.90785115053731018e-6,  -0.000231094825400618875, 0.000133344251239843864, 0.00163081844272079108,
      -0.00347969236196268564,  -0.00754018896564807814,  0.0603965748906855225,   -0.186521857959692431,
      0.387137400742219141,     -0.607896641971891776,    0.755285130415751479};
};

/// The standard normal distribution function Phi and its density, from one exponential.
///
/// The C library's erf, one number at a time, takes longer than the matrix product beside it. Far out on the left Phi
/// keeps its digits, where (1 + erf) / 2 cancels.
///
/// Source: the form of the polynomial is that of Shepherd & Laframboise (1981), "Chebyshev approximation of
///         (1 + 2x) exp(x^2) erfc x in 0 <= x < infinity".
template <class T>
struct NormalDistribution {
  simd::Pack<T> density, distribution;

  explicit EIGEN_ALWAYS_INLINE NormalDistribution(simd::Pack<T> x) {
    using simd::Pack;
    const Pack<T> one = simd::broadcast(T(1)), four = simd::broadcast(T(4)), zero = simd::broadcast(T(0));
    // Beyond kFar the exponential is 0. A NaN may become kFar here; gelu multiplies by x itself, so it stays a NaN.
    const Pack<T> z = -simd::max(-simd::abs(x), simd::broadcast(-NormalTail<T>::kFar));
    const Pack<T> e = simd::exp(z * z * simd::broadcast(T(-0.5)));
    const Pack<T> scale = one / (z + four);
    const Pack<T> t = (z - four) * scale;
    // Every other power apart, so that two chains of additions run at once.
    const Pack<T> t2 = t * t;
    Pack<T> p[2] = {zero, zero};
    constexpr Index kCount = std::size(NormalTail<T>::kCoefficients);
#pragma GCC unroll 32
    for (Index i = 0; i < kCount; ++i) {
      const Index power = kCount - 1 - i;
      p[power % 2] = simd::fma(p[power % 2], t2, simd::broadcast(NormalTail<T>::kCoefficients[i]));
    }
    const Pack<T> tail = simd::fma(p[1], t, p[0]) * scale * e;
    density = e * simd::broadcast(T(0.39894228040143267794));
    distribution = simd::select_less(zero, x, one - tail, tail);
  }
};

}  // namespace detail
}  // namespace MAT_ABI
}  // namespace mat
