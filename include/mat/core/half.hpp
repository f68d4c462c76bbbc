#pragma once

#include <mat/core/types.hpp>

#include <cstdint>
#include <cstring>

namespace mat {
inline namespace MAT_ABI {

// Numbers of 16 bits, to store and to read; nothing is computed in them.

/// The upper half of a float: its range, with 8 significant bits.
struct BFloat16 {
  std::uint16_t bits = 0;
  friend bool operator==(BFloat16 a, BFloat16 b) { return a.bits == b.bits; }
  friend bool operator!=(BFloat16 a, BFloat16 b) { return a.bits != b.bits; }
};

/// IEEE 754's binary16: up to 65504, with 11 significant bits.
struct Float16 {
  std::uint16_t bits = 0;
  friend bool operator==(Float16 a, Float16 b) { return a.bits == b.bits; }
  friend bool operator!=(Float16 a, Float16 b) { return a.bits != b.bits; }
};

namespace detail {

[[nodiscard]] inline std::uint32_t float_bits(float x) {
  std::uint32_t bits = 0;
  std::memcpy(&bits, &x, sizeof bits);
  return bits;
}
[[nodiscard]] inline float float_from_bits(std::uint32_t bits) {
  float x = 0;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}

}  // namespace detail

[[nodiscard]] inline float to_float(float x) { return x; }
[[nodiscard]] inline float to_float(BFloat16 x) { return detail::float_from_bits(std::uint32_t{x.bits} << 16); }
[[nodiscard]] inline float to_float(Float16 x) {
  const std::uint32_t half = x.bits;
  const std::uint32_t sign = (half & 0x8000u) << 16, exponent = (half >> 10) & 31u, mantissa = half & 1023u;
  if (exponent == 0) {  // zero and the subnormals: steps of 2^-24
    const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;
    return sign != 0 ? -magnitude : magnitude;
  }
  return detail::float_from_bits(sign | (exponent == 31 ? 255u : exponent + 112u) << 23 | mantissa << 13);
}

/// The nearest BFloat16, of two equally near the even one; a NaN stays one.
[[nodiscard]] inline BFloat16 to_bfloat16(float x) {
  const std::uint32_t bits = detail::float_bits(x);
  if (x != x) return {static_cast<std::uint16_t>(bits >> 16 | 0x40u)};
  return {static_cast<std::uint16_t>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16)};
}

/// The nearest Float16, of two equally near the even one; infinity from 65520 on; a NaN stays one.
[[nodiscard]] inline Float16 to_float16(float x) {
  const std::uint32_t bits = detail::float_bits(x), sign = bits >> 16 & 0x8000u, magnitude = bits & 0x7fffffffu;
  std::uint32_t half = 0;
  if (magnitude > 0x7f800000u) {
    half = 0x7e00u;
  } else if (magnitude >= 0x477ff000u) {  // 65520
    half = 0x7c00u;
  } else if (magnitude < 0x38800000u) {  // below 2^-14: a sum with 1/2 rounds to steps of 2^-24
    half = detail::float_bits(detail::float_from_bits(magnitude) + 0.5f) - 0x3f000000u;
  } else {
    half = (magnitude - (112u << 23) + 0xfffu + (magnitude >> 13 & 1u)) >> 13;
  }
  return {static_cast<std::uint16_t>(sign | half)};
}

}  // namespace MAT_ABI
}  // namespace mat
