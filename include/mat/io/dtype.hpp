#pragma once

#include <mat/core/half.hpp>

#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <optional>
#include <string_view>
#include <type_traits>

namespace mat {
inline namespace MAT_ABI {

/// How a number is stored in a file: the types of the safetensors format, in the order of the reference implementation,
/// by which a file is sorted. F4, F6, F8 and C64 are only kept, not converted.
enum class Dtype {
  kBool,
  kF4,
  kF6E2M3,
  kF6E3M2,
  kU8,
  kI8,
  kF8E5M2,
  kF8E4M3,
  kF8E8M0,
  kF8E4M3Fnuz,
  kF8E5M2Fnuz,
  kI16,
  kU16,
  kF16,
  kBf16,
  kI32,
  kU32,
  kF32,
  kC64,
  kF64,
  kI64,
  kU64
};

namespace detail {

struct DtypeInfo {
  std::string_view name;
  int bits;
};

/// In the order of Dtype.
inline constexpr std::array<DtypeInfo, 22> kDtypes{
    {{"BOOL", 8},    {"F4", 4},      {"F6_E2M3", 6}, {"F6_E3M2", 6},     {"U8", 8},          {"I8", 8},
     {"F8_E5M2", 8}, {"F8_E4M3", 8}, {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8}, {"I16", 16},
     {"U16", 16},    {"F16", 16},    {"BF16", 16},   {"I32", 32},        {"U32", 32},        {"F32", 32},
     {"C64", 64},    {"F64", 64},    {"I64", 64},    {"U64", 64}}};

}  // namespace detail

/// "F32"
[[nodiscard]] inline std::string_view dtype_name(Dtype dtype) {
  return detail::kDtypes[static_cast<std::size_t>(dtype)].name;
}
/// The bits of one number.
[[nodiscard]] inline int dtype_bits(Dtype dtype) { return detail::kDtypes[static_cast<std::size_t>(dtype)].bits; }

/// The type of that name, or nothing.
[[nodiscard]] inline std::optional<Dtype> dtype_named(std::string_view name) {
  for (std::size_t i = 0; i < detail::kDtypes.size(); ++i) {
    if (detail::kDtypes[i].name == name) return static_cast<Dtype>(i);
  }
  return std::nullopt;
}

/// The type that stores a T.
template <class T>
[[nodiscard]] constexpr Dtype dtype_of() {
  static_assert(std::is_arithmetic_v<T> && sizeof(T) <= 8, "a file holds numbers of at most 64 bits");
  if constexpr (std::is_same_v<T, bool>)
    return Dtype::kBool;
  else if constexpr (std::is_floating_point_v<T>)
    return sizeof(T) == 8 ? Dtype::kF64 : Dtype::kF32;
  else if constexpr (sizeof(T) == 8)
    return std::is_signed_v<T> ? Dtype::kI64 : Dtype::kU64;
  else if constexpr (sizeof(T) == 4)
    return std::is_signed_v<T> ? Dtype::kI32 : Dtype::kU32;
  else if constexpr (sizeof(T) == 2)
    return std::is_signed_v<T> ? Dtype::kI16 : Dtype::kU16;
  else
    return std::is_signed_v<T> ? Dtype::kI8 : Dtype::kU8;
}

namespace detail {

template <std::size_t kSize>
using UnsignedOfSize = std::conditional_t<
    kSize == 8, std::uint64_t,
    std::conditional_t<kSize == 4, std::uint32_t, std::conditional_t<kSize == 2, std::uint16_t, std::uint8_t>>>;

/// The T whose little-endian bytes, at any address, these are.
template <class T>
[[nodiscard]] T from_little_endian(const char* bytes) {
  using Bits = UnsignedOfSize<sizeof(T)>;
  std::uint64_t bits = 0;
  for (std::size_t i = 0; i < sizeof(T); ++i) {
    bits |= static_cast<std::uint64_t>(static_cast<unsigned char>(bytes[i])) << (8 * i);
  }
  const Bits narrow = static_cast<Bits>(bits);
  T value;
  std::memcpy(&value, &narrow, sizeof(T));
  return value;
}

[[nodiscard]] inline bool is_little_endian() {
  const std::uint16_t one = 1;
  unsigned char first = 0;
  std::memcpy(&first, &one, 1);
  return first == 1;
}

// A decoder tells the bytes of one stored number, and its value.
template <class T>
struct DecodeNumber {
  static constexpr std::size_t kSize = sizeof(T);
  [[nodiscard]] static T value(const char* bytes) { return from_little_endian<T>(bytes); }
};
struct DecodeBool {
  static constexpr std::size_t kSize = 1;
  [[nodiscard]] static std::uint8_t value(const char* bytes) { return *bytes != 0 ? 1 : 0; }
};
struct DecodeBf16 {
  static constexpr std::size_t kSize = 2;
  [[nodiscard]] static float value(const char* bytes) {
    return to_float(BFloat16{from_little_endian<std::uint16_t>(bytes)});
  }
};
struct DecodeF16 {
  static constexpr std::size_t kSize = 2;
  [[nodiscard]] static float value(const char* bytes) {
    return to_float(Float16{from_little_endian<std::uint16_t>(bytes)});
  }
};

/// Calls fn(decoder of dtype); false if there is none.
template <class Function>
bool with_decoder(Dtype dtype, Function&& fn) {
  switch (dtype) {
    case Dtype::kF64:
      fn(DecodeNumber<double>());
      return true;
    case Dtype::kF32:
      fn(DecodeNumber<float>());
      return true;
    case Dtype::kF16:
      fn(DecodeF16());
      return true;
    case Dtype::kBf16:
      fn(DecodeBf16());
      return true;
    case Dtype::kI64:
      fn(DecodeNumber<std::int64_t>());
      return true;
    case Dtype::kI32:
      fn(DecodeNumber<std::int32_t>());
      return true;
    case Dtype::kI16:
      fn(DecodeNumber<std::int16_t>());
      return true;
    case Dtype::kI8:
      fn(DecodeNumber<std::int8_t>());
      return true;
    case Dtype::kU64:
      fn(DecodeNumber<std::uint64_t>());
      return true;
    case Dtype::kU32:
      fn(DecodeNumber<std::uint32_t>());
      return true;
    case Dtype::kU16:
      fn(DecodeNumber<std::uint16_t>());
      return true;
    case Dtype::kU8:
      fn(DecodeNumber<std::uint8_t>());
      return true;
    case Dtype::kBool:
      fn(DecodeBool());
      return true;
    default:
      return false;
  }
}

/// True if an integer type holds the value exactly.
template <class Integer, class Value>
[[nodiscard]] bool holds_exactly(Value value) {
  if constexpr (std::is_floating_point_v<Value>) {
    const Value above = std::ldexp(Value(1), std::numeric_limits<Integer>::digits);
    const Value lowest = std::is_signed_v<Integer> ? -above : Value(0);
    return value >= lowest && value < above && std::trunc(value) == value;
  } else {
    const auto cast = static_cast<Integer>(value);
    if constexpr (std::is_signed_v<Value> && !std::is_signed_v<Integer>) {
      if (value < 0) return false;
    }
    if constexpr (!std::is_signed_v<Value> && std::is_signed_v<Integer>) {
      if (cast < 0) return false;
    }
    return static_cast<Value>(cast) == value;
  }
}

}  // namespace detail

}  // namespace MAT_ABI
}  // namespace mat
