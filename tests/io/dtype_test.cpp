#include "support/catch.hpp"

#include <mat/io/dtype.hpp>

#include <string>

namespace dtype_test {

using mat::Dtype;

namespace {

std::string two_bytes(std::uint32_t bits) {
  return {static_cast<char>(static_cast<unsigned char>(bits)),
          static_cast<char>(static_cast<unsigned char>(bits >> 8))};
}

}  // namespace

TEST_CASE("a stored type is found by its name and nothing else", "[io]") {
  for (std::size_t i = 0; i < mat::detail::kDtypes.size(); ++i) {
    const auto dtype = static_cast<Dtype>(i);
    CHECK(mat::dtype_named(mat::dtype_name(dtype)) == dtype);
  }
  CHECK(mat::dtype_name(Dtype::kBool) == "BOOL");
  CHECK(mat::dtype_name(Dtype::kF8E5M2) == "F8_E5M2");
  CHECK(mat::dtype_name(Dtype::kBf16) == "BF16");
  CHECK(mat::dtype_name(Dtype::kF32) == "F32");
  CHECK(mat::dtype_name(Dtype::kU64) == "U64");
  CHECK(mat::dtype_name(Dtype::kC64) == "C64");
  CHECK(mat::dtype_bits(Dtype::kC64) == 64);
  CHECK(mat::dtype_bits(Dtype::kF4) == 4);
  CHECK_FALSE(mat::dtype_named("f32").has_value());
  CHECK_FALSE(mat::dtype_named("").has_value());
}

TEST_CASE("every C++ number has its stored type", "[io]") {
  CHECK(mat::dtype_of<float>() == Dtype::kF32);
  CHECK(mat::dtype_of<double>() == Dtype::kF64);
  CHECK(mat::dtype_of<bool>() == Dtype::kBool);
  CHECK(mat::dtype_of<std::int8_t>() == Dtype::kI8);
  CHECK(mat::dtype_of<std::int16_t>() == Dtype::kI16);
  CHECK(mat::dtype_of<std::int32_t>() == Dtype::kI32);
  CHECK(mat::dtype_of<long long>() == Dtype::kI64);
  CHECK(mat::dtype_of<std::uint8_t>() == Dtype::kU8);
  CHECK(mat::dtype_of<std::uint16_t>() == Dtype::kU16);
  CHECK(mat::dtype_of<std::uint32_t>() == Dtype::kU32);
  CHECK(mat::dtype_of<unsigned long long>() == Dtype::kU64);
}

TEST_CASE("all 65536 half-precision numbers are decoded as Eigen does", "[io]") {
  int mistakes = 0;
  for (std::uint32_t bits = 0; bits < 65536; ++bits) {
    const auto narrow = static_cast<std::uint16_t>(bits);
    const float half = mat::detail::DecodeF16::value(two_bytes(bits).data());
    const float bf16 = mat::detail::DecodeBf16::value(two_bytes(bits).data());
    const auto wanted_half = static_cast<float>(Eigen::numext::bit_cast<Eigen::half>(narrow));
    const auto wanted_bf16 = static_cast<float>(Eigen::numext::bit_cast<Eigen::bfloat16>(narrow));
    const auto same = [](float a, float b) {
      return (std::isnan(a) && std::isnan(b)) || std::memcmp(&a, &b, sizeof(a)) == 0;
    };
    if (!same(half, wanted_half) || !same(bf16, wanted_bf16)) ++mistakes;
  }
  CHECK(mistakes == 0);
}

TEST_CASE("numbers are decoded from little-endian bytes at any address", "[io]") {
  const std::string bytes("\0\x01\x02\x03\x04\x05\x06\x07\xF8", 9);
  CHECK(mat::detail::from_little_endian<std::uint16_t>(bytes.data() + 1) == 0x0201);
  CHECK(mat::detail::from_little_endian<std::uint32_t>(bytes.data() + 1) == 0x04030201);
  CHECK(mat::detail::from_little_endian<std::uint64_t>(bytes.data() + 1) == 0xF807060504030201u);
  CHECK(mat::detail::from_little_endian<std::int64_t>(bytes.data() + 1) == -0x7F8F9FAFBFCFDFF);
  CHECK(mat::detail::from_little_endian<std::int8_t>(bytes.data() + 8) == -8);
}

TEST_CASE("an integer holds exactly the whole numbers in its range", "[io]") {
  using mat::detail::holds_exactly;
  CHECK(holds_exactly<std::int8_t>(-128));
  CHECK_FALSE(holds_exactly<std::int8_t>(128));
  CHECK_FALSE(holds_exactly<std::int8_t>(std::uint64_t{255}));
  CHECK_FALSE(holds_exactly<std::int64_t>(std::uint64_t{1} << 63));
  CHECK_FALSE(holds_exactly<std::uint64_t>(-1));
  CHECK_FALSE(holds_exactly<std::uint8_t>(std::int64_t{256}));
  CHECK(holds_exactly<std::uint8_t>(255.0));
  CHECK_FALSE(holds_exactly<std::uint8_t>(256.0));
  CHECK_FALSE(holds_exactly<std::uint8_t>(-1.0));
  CHECK_FALSE(holds_exactly<std::uint8_t>(0.5));
  CHECK(holds_exactly<std::int64_t>(-9223372036854775808.0));
  CHECK_FALSE(holds_exactly<std::int64_t>(9223372036854775808.0));
  CHECK_FALSE(holds_exactly<std::int64_t>(std::numeric_limits<double>::quiet_NaN()));
  CHECK_FALSE(holds_exactly<std::int64_t>(std::numeric_limits<float>::infinity()));
}

}  // namespace dtype_test
