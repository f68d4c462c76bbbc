#pragma once

#include <mat/core/types.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>

namespace mat {
inline namespace MAT_ABI {

/// Short vectors of the processor, as wide as the compiler's flags allow: only this file and simd_square.hpp touch
/// Eigen's internals.
///
/// All loads and stores are unaligned and every loop below walks its elements in the same order wherever they lie, so
/// that the bits of a row do not depend on its address; Eigen's own reductions and array functions do.
namespace simd {

/// How many packs the processor can hold at once.
inline constexpr int kRegisters = EIGEN_ARCH_DEFAULT_NUMBER_OF_REGISTERS;

/// kSize numbers in one register.
template <class T>
struct Pack {
  using Native = typename Eigen::internal::packet_traits<T>::type;
  static constexpr Index kSize = Eigen::internal::unpacket_traits<Native>::size;
  Native value;
};

template <class T>
[[nodiscard]] EIGEN_ALWAYS_INLINE Pack<T> load(const T* from) {
  return {Eigen::internal::ploadu<typename Pack<T>::Native>(from)};
}
template <class T>
[[nodiscard]] EIGEN_ALWAYS_INLINE Pack<T> broadcast(T x) {
  return {Eigen::internal::pset1<typename Pack<T>::Native>(x)};
}

namespace detail {

/// kSize numbers of type I side by side, as the compiler's own vectors, which it can shift and convert.
template <class T, class I>
struct IntegerPack {
  using Vector [[gnu::vector_size(sizeof(I) * static_cast<std::size_t>(Pack<T>::kSize))]] = I;
};
/// A register whose bits are those integers.
template <class T, class Vector>
[[nodiscard]] EIGEN_ALWAYS_INLINE Pack<T> from_bits(Vector bits) {
  static_assert(sizeof(bits) == sizeof(Pack<T>), "as many bits as a pack has");
  Pack<T> x;
  std::memcpy(&x.value, &bits, sizeof bits);
  return x;
}

}  // namespace detail

template <class T>
EIGEN_ALWAYS_INLINE void store(T* to, Pack<T> x) {
  Eigen::internal::pstoreu(to, x.value);
}
/// The first n < kSize elements; the others are `fill`.
template <class T>
[[nodiscard]] EIGEN_ALWAYS_INLINE Pack<T> load_first(const T* from, Index n, T fill = T(0)) {
  T lanes[Pack<T>::kSize];
  for (Index i = 0; i < Pack<T>::kSize; ++i) lanes[i] = i < n ? from[i] : fill;
  return load<T>(lanes);
}
template <class T>
EIGEN_ALWAYS_INLINE void store_first(T* to, Index n, Pack<T> x) {
  T lanes[Pack<T>::kSize];
  store(lanes, x);
  for (Index i = 0; i < n; ++i) to[i] = lanes[i];
}

template <class T>
[[nodiscard]] EIGEN_ALWAYS_INLINE Pack<T> operator+(Pack<T> a, Pack<T> b) {
  return {Eigen::internal::padd(a.value, b.value)};
}
template <class T>
[[nodiscard]] EIGEN_ALWAYS_INLINE Pack<T> operator-(Pack<T> a, Pack<T> b) {
  return {Eigen::internal::psub(a.value, b.value)};
}
template <class T>
[[nodiscard]] EIGEN_ALWAYS_INLINE Pack<T> operator*(Pack<T> a, Pack<T> b) {
  return {Eigen::internal::pmul(a.value, b.value)};
}
template <class T>
[[nodiscard]] EIGEN_ALWAYS_INLINE Pack<T> operator/(Pack<T> a, Pack<T> b) {
  return {Eigen::internal::pdiv(a.value, b.value)};
}
template <class T>
[[nodiscard]] EIGEN_ALWAYS_INLINE Pack<T> operator-(Pack<T> a) {
  return {Eigen::internal::pnegate(a.value)};
}
/// a * b + c, rounded once where the processor can.
template <class T>
[[nodiscard]] EIGEN_ALWAYS_INLINE Pack<T> fma(Pack<T> a, Pack<T> b, Pack<T> c) {
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
  // Without packs the compiler would fuse here and there, and bits would depend on the loop.
  if constexpr (Pack<T>::kSize == 1)
    return {static_cast<typename Pack<T>::Native>(std::fma(a.value, b.value, c.value))};
#endif
  return {Eigen::internal::pmadd(a.value, b.value, c.value)};
}
/// The larger of each two; which one a NaN gives is unspecified.
template <class T>
[[nodiscard]] EIGEN_ALWAYS_INLINE Pack<T> max(Pack<T> a, Pack<T> b) {
  return {Eigen::internal::pmax(a.value, b.value)};
}
template <class T>
[[nodiscard]] EIGEN_ALWAYS_INLINE Pack<T> abs(Pack<T> a) {
  return {Eigen::internal::pabs(a.value)};
}
/// a < b ? x : y, element by element; false where a or b is NaN.
template <class T>
[[nodiscard]] EIGEN_ALWAYS_INLINE Pack<T> select_less(Pack<T> a, Pack<T> b, Pack<T> x, Pack<T> y) {
  return {Eigen::internal::pselect(Eigen::internal::pcmp_lt(a.value, b.value), x.value, y.value)};
}
template <class T>
[[nodiscard]] EIGEN_ALWAYS_INLINE T first(Pack<T> x) {
  return Eigen::internal::pfirst(x.value);
}
/// Square roots within 2 units in the last place; subnormal numbers may give 0. Infinity stays, which Eigen's makes
/// NaN.
template <class T>
[[nodiscard]] EIGEN_ALWAYS_INLINE Pack<T> sqrt(Pack<T> a) {
  const Pack<T> root{Eigen::internal::psqrt(a.value)};
  return select_less(broadcast(std::numeric_limits<T>::max()), a, a, root);
}
/// The sum of the elements, in an order that is always the same.
template <class T>
[[nodiscard]] EIGEN_ALWAYS_INLINE T sum(Pack<T> x) {
  return Eigen::internal::predux(x.value);
}
template <class T>
[[nodiscard]] EIGEN_ALWAYS_INLINE T largest(Pack<T> x) {
  return Eigen::internal::predux_max(x.value);
}

namespace detail {

/// 2^n where n stands in the lowest bits of x; of another n whatever it gives, hence unsigned: a pack's last elements
/// may be nobody's.
template <class T>
[[nodiscard]] EIGEN_ALWAYS_INLINE Pack<T> power_of_two(Pack<T> x) {
  using Integer = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
  constexpr int kMantissaBits = std::numeric_limits<T>::digits - 1;
  constexpr Integer kOne = Integer{std::numeric_limits<T>::max_exponent - 1} << kMantissaBits;
  typename IntegerPack<T, Integer>::Vector bits;
  std::memcpy(&bits, &x.value, sizeof bits);
  return from_bits<T>((bits << kMantissaBits) + kOne);
}

}  // namespace detail

/// fn of each element, one at a time: for functions that have no vectorised form.
template <class T, class Function>
[[nodiscard]] EIGEN_ALWAYS_INLINE Pack<T> each(Pack<T> x, const Function& fn) {
  T lanes[Pack<T>::kSize];
  store(lanes, x);
  for (T& lane : lanes) lane = fn(lane);
  return load<T>(lanes);
}
/// e^x; exactly 0 where x is so small that a normal number cannot hold the result, -infinity included.
template <class T>
[[nodiscard]] EIGEN_ALWAYS_INLINE Pack<T> exp(Pack<T> x) {
  const T smallest = sizeof(T) == 4 ? T(-87.33) : T(-708.39);
  return select_less(x, broadcast(smallest), broadcast(T(0)), Pack<T>{Eigen::internal::pexp(x.value)});
}
/// 2^x for x up to 127 (double: 1023), by a polynomial on [-1/2, 1/2] with relative error below 7.5e-8
/// (double: 3.1e-18) and a shift into the exponent; 0 below the smallest normal number. A NaN stays one.
template <class T>
[[nodiscard]] EIGEN_ALWAYS_INLINE Pack<T> exp2(Pack<T> x) {
  // Adding 1.5 2^mantissa_bits rounds to a whole number and leaves it in the lowest bits.
  constexpr bool single = sizeof(T) == 4;
  const Pack<T> rounder = broadcast(single ? T(0x1.8p23) : T(0x1.8p52));
  const Pack<T> bounded = max(x, broadcast(single ? T(-127) : T(-1023)));
  Pack<T> shifted = bounded + rounder;
  EIGEN_OPTIMIZATION_BARRIER(shifted.value)  // or -ffast-math cancels the rounder
  Pack<T> whole = shifted - rounder;
  EIGEN_OPTIMIZATION_BARRIER(whole.value)
  const Pack<T> fraction = bounded - whole;
  // Remez's algorithm for the relative error, highest power first.
  constexpr double kSingle[] = {0.00132764727274725816, 0.00967554132618779344, 0.0555071327119291474,
                                0.240221197241587299,   0.693146967066041568,   1.00000007165457228};
  constexpr double kDouble[] = {4.43528189211794205e-10, 7.07410561349942884e-9, 1.01781980271126593e-7,
                                1.32154330896719558e-6,  1.52527334899754529e-5, 1.54035304625144511e-4,
                                0.00133335581467899354,  0.00961812910758833522, 0.0555041086648199215,
                                0.240226506959101562,    0.69314718055994533,    0.999999999999999997};
  Pack<T> power = broadcast(static_cast<T>(single ? kSingle[0] : kDouble[0]));
#pragma GCC unroll 16
  for (int i = 1; i < (single ? 6 : 12); ++i) {
    power = fma(power, fraction, broadcast(static_cast<T>(single ? kSingle[single ? i : 0] : kDouble[i])));
  }
  return power * detail::power_of_two(shifted);
}
template <class T>
[[nodiscard]] EIGEN_ALWAYS_INLINE Pack<T> tanh(Pack<T> x) {
  if constexpr (Eigen::internal::packet_traits<T>::HasTanh) {
    return {Eigen::internal::ptanh(x.value)};
  } else {
    return each(x, [](T lane) { return std::tanh(lane); });
  }
}
template <class T>
[[nodiscard]] EIGEN_ALWAYS_INLINE Pack<T> erf(Pack<T> x) {
  return each(x, [](T lane) { return std::erf(lane); });
}

/// y[i] = fn(x[i]...) for i < n; fn takes and returns packs. y may be one of the x.
///
/// The last elements, fewer than a pack, pass through a copy that is filled up with zeros: one loop body serves both,
/// which halves what the compiler has to translate.
template <class T, class Function, class... X>
EIGEN_ALWAYS_INLINE void map(Index n, T* y, const Function& fn, const X*... x) {
  constexpr Index size = Pack<T>::kSize;
  for (Index i = 0; i < n; i += size) {
    if (i + size <= n) {
      store(y + i, fn(load(x + i)...));
    } else {
      store_first(y + i, n - i, fn(load_first(x + i, n - i)...));
    }
  }
}

/// y = x: for short rows, where a call of memcpy costs more than the copy.
template <class T>
EIGEN_ALWAYS_INLINE void copy(Index n, const T* x, T* y) {
  map(
      n, y, [](Pack<T> a) { return a; }, x);
}

/// The sum of fn(x[i]...) over i < n.
template <class T, class Function, class... X>
[[nodiscard]] EIGEN_ALWAYS_INLINE T sum_of(Index n, const Function& fn, const T* x, const X*... others) {
  constexpr Index size = Pack<T>::kSize;
  Pack<T> sums[2] = {broadcast(T(0)), broadcast(T(0))};
  Index i = 0;
  for (; i + 2 * size <= n; i += 2 * size) {
    sums[0] = sums[0] + fn(load(x + i), load(others + i)...);
    sums[1] = sums[1] + fn(load(x + i + size), load(others + i + size)...);
  }
  for (; i + size <= n; i += size) sums[0] = sums[0] + fn(load(x + i), load(others + i)...);
  if (i < n) {
    T lanes[size];
    store(lanes, fn(load_first(x + i, n - i), load_first(others + i, n - i)...));
    sums[1] = sums[1] + load_first(lanes, n - i);
  }
  return sum(sums[0] + sums[1]);
}
template <class T>
[[nodiscard]] inline T sum_of(Index n, const T* x) {
  return sum_of(
      n, [](Pack<T> a) { return a; }, x);
}
template <class T>
[[nodiscard]] inline T dot(Index n, const T* x, const T* y) {
  return sum_of(
      n, [](Pack<T> a, Pack<T> b) { return a * b; }, x, y);
}
/// The largest of x[0], ..., x[n - 1]; minus infinity if n is 0.
template <class T>
[[nodiscard]] inline T largest_of(Index n, const T* x) {
  constexpr Index size = Pack<T>::kSize;
  const T lowest = -std::numeric_limits<T>::infinity();
  Pack<T> best[4] = {broadcast(lowest), broadcast(lowest), broadcast(lowest), broadcast(lowest)};
  Index i = 0;
  for (; i + 4 * size <= n; i += 4 * size) {
#pragma GCC unroll 4
    for (Index c = 0; c < 4; ++c) best[c] = max(best[c], load(x + i + c * size));
  }
  for (; i + size <= n; i += size) best[0] = max(best[0], load(x + i));
  if (i < n) best[1] = max(best[1], load_first(x + i, n - i, lowest));
  return largest(max(max(best[0], best[1]), max(best[2], best[3])));
}
/// y = factor * x; y may be x.
template <class T>
EIGEN_ALWAYS_INLINE void set_scaled(Index n, T* y, T factor, const T* x) {
  const Pack<T> f = broadcast(factor);
  map(
      n, y, [f](Pack<T> a) { return f * a; }, x);
}
/// What x is divided by b with, where 0 / 0 is to be 0: a factor of set_scaled.
template <class T>
[[nodiscard]] inline T inverse_or_zero(T b) {
  return b == T(0) ? T(0) : T(1) / b;
}
/// y += factor * x.
template <class T>
EIGEN_ALWAYS_INLINE void add_scaled(Index n, T* y, T factor, const T* x) {
  const Pack<T> f = broadcast(factor);
  map(
      n, y, [f](Pack<T> a, Pack<T> b) { return fma(f, b, a); }, static_cast<const T*>(y), x);
}

/// Columns that fall into as many blocks of `size`.
struct ColumnBlocks {
  Index count, size;
};

namespace detail {

/// Packs [first, first + kPacks) of add_weighted_rows, all of them whole.
template <class T, Index kPacks>
EIGEN_DONT_INLINE void add_weighted_packs(Index n, Index first, Index packs_of_block, const T* weights,
                                          Index weights_row, const T* x, Index x_row, T* y) {
  constexpr Index size = Pack<T>::kSize;
  const T* w[kPacks];
  Pack<T> sums[kPacks];
  for (Index p = 0; p < kPacks; ++p) {
    // A division takes as long as many sums: where all columns have the same weights, do without.
    w[p] = weights_row == 0 ? weights : weights + (first + p) / packs_of_block * weights_row;
    sums[p] = broadcast(T(0));
  }
  for (Index i = 0; i < n; ++i) {
#pragma GCC unroll 8
    for (Index p = 0; p < kPacks; ++p) {
      sums[p] = fma(broadcast(w[p][i]), load(x + i * x_row + (first + p) * size), sums[p]);
    }
  }
#pragma GCC unroll 8
  for (Index p = 0; p < kPacks; ++p) {
    T* to = y + (first + p) * size;
    store(to, load(to) + sums[p]);
  }
}

}  // namespace detail

/// y += sum_i weights_i x_i over the n rows x_i of x, where each block of columns has weights of its own, `weights_row`
/// apart. Each sum is one chain of multiply-adds, first row to last.
template <class T>
void add_weighted_rows(Index n, ColumnBlocks blocks, const T* weights, Index weights_row, const T* x, Index x_row,
                       T* y) {
  constexpr Index size = Pack<T>::kSize;
  if (blocks.size % size != 0) {
    for (Index b = 0; b < blocks.count; ++b) {
      for (Index c = 0; c < blocks.size; c += size) {
        const Index at = b * blocks.size + c, left = std::min(size, blocks.size - c);
        Pack<T> sum = broadcast(T(0));
        for (Index i = 0; i < n; ++i) {
          sum = fma(broadcast(weights[b * weights_row + i]), load_first(x + i * x_row + at, left), sum);
        }
        store_first(y + at, left, load_first(y + at, left) + sum);
      }
    }
    return;
  }
  const Index packs_of_block = blocks.size / size, packs = blocks.count * packs_of_block;
  Index p = 0;
  // Several sums at once, for each waits for its last addition.
  for (; p + 8 <= packs; p += 8) {
    detail::add_weighted_packs<T, 8>(n, p, packs_of_block, weights, weights_row, x, x_row, y);
  }
  for (; p + 4 <= packs; p += 4) {
    detail::add_weighted_packs<T, 4>(n, p, packs_of_block, weights, weights_row, x, x_row, y);
  }
  for (; p + 2 <= packs; p += 2) {
    detail::add_weighted_packs<T, 2>(n, p, packs_of_block, weights, weights_row, x, x_row, y);
  }
  for (; p < packs; ++p) {
    detail::add_weighted_packs<T, 1>(n, p, packs_of_block, weights, weights_row, x, x_row, y);
  }
}

}  // namespace simd
}  // namespace MAT_ABI
}  // namespace mat
