#pragma once

#include <mat/core/simd.hpp>

namespace mat {
inline namespace MAT_ABI {
namespace detail {

/// Coefficients, highest power first, of a polynomial P with tanh(x) = x + x^3 P(x^2) for |x| < 1/2.
/// They interpolate at Chebyshev nodes; the relative error is 2e-9 for float and 1e-17 for double.
template <class T>
struct TanhCoefficients;
template <>
struct TanhCoefficients<float> {
  static constexpr float kValues[] = {-0.00694698431F, 0.0214727104F, -0.0539337873F, 0.133332274F, -0.333333328F};
};
template <>
struct TanhCoefficients<double> {
  static constexpr double kValues[] = {0.0000595041923905189172, -0.000221111236768842493, 0.000584983685251350232,
                                       -0.00145496402139661215,  0.00359203414987979024,   -0.0088632293294435696,
                                       0.0218694883001288929,    -0.0539682539636808034,   0.133333333333298908,
                                       -0.333333333333333291};
};

/// tanh(x), right to about an ulp.
///
///     x + x^3 P(x^2)  for |x| < 1/2,   sign(x) (1 - 2 e / (1 + e)), e = exp(-2 |x|), beyond
template <class T>
[[nodiscard]] EIGEN_ALWAYS_INLINE simd::Pack<T> hyperbolic_tangent(simd::Pack<T> x) {
  using simd::Pack;
  const Pack<T> zero = simd::broadcast(T(0)), one = simd::broadcast(T(1)), half = simd::broadcast(T(0.5));
  const Pack<T> size = simd::abs(x), square = x * x;
  const Pack<T> e = simd::exp(size * simd::broadcast(T(-2)));
  const Pack<T> large = one - (e + e) / (one + e);
  Pack<T> p = zero;
#pragma GCC unroll 16
  for (const T c : TanhCoefficients<T>::kValues) p = simd::fma(p, square, simd::broadcast(c));
  const Pack<T> small = simd::fma(x * square, p, x);
  return simd::select_less(size, half, small, simd::select_less(x, zero, -large, large));
}

}  // namespace detail
}  // namespace MAT_ABI
}  // namespace mat
