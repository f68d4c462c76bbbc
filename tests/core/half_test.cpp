#include "support/catch.hpp"

#include <mat/core/half.hpp>

#include <limits>

namespace half_test {

using namespace mat;

namespace {

bool is_nan(Float16 x) { return (x.bits & 0x7fffu) > 0x7c00u; }
bool is_nan(BFloat16 x) { return (x.bits & 0x7fffu) > 0x7f80u; }

}  // namespace

TEST_CASE("every number of 16 bits survives the way to float and back", "[core]") {
  Index wrong = 0;
  for (std::uint32_t bits = 0; bits < 65536; ++bits) {
    const Float16 half{static_cast<std::uint16_t>(bits)};
    const BFloat16 brain{static_cast<std::uint16_t>(bits)};
    wrong += is_nan(half) ? !is_nan(to_float16(to_float(half))) : to_float16(to_float(half)) != half;
    wrong += is_nan(brain) ? !is_nan(to_bfloat16(to_float(brain))) : to_bfloat16(to_float(brain)) != brain;
  }
  CHECK(wrong == 0);
}

TEST_CASE("a float goes to the nearest number of 16 bits, in between to the even one", "[core]") {
  // Between any two neighbours: just below the middle, the middle, just above it.
  Index wrong = 0;
  for (std::uint32_t bits = 0; bits < 0x7bff; ++bits) {
    const Float16 low{static_cast<std::uint16_t>(bits)}, high{static_cast<std::uint16_t>(bits + 1)};
    const float middle = (to_float(low) + to_float(high)) / 2, infinity = std::numeric_limits<float>::infinity();
    wrong += to_float16(std::nextafter(middle, 0.0f)) != low;
    wrong += to_float16(middle) != (bits % 2 == 0 ? low : high);
    wrong += to_float16(std::nextafter(middle, infinity)) != high;
    wrong += to_float16(-middle).bits != (to_float16(middle).bits | 0x8000u);
  }
  for (std::uint32_t bits = 1; bits < 0x7f7f; ++bits) {
    const BFloat16 low{static_cast<std::uint16_t>(bits)}, high{static_cast<std::uint16_t>(bits + 1)};
    const float middle = to_float(low) + (to_float(high) - to_float(low)) / 2;
    wrong += to_bfloat16(std::nextafter(middle, 0.0f)) != low;
    wrong += to_bfloat16(middle) != (bits % 2 == 0 ? low : high);
    wrong += to_bfloat16(-middle).bits != (to_bfloat16(middle).bits | 0x8000u);
  }
  CHECK(wrong == 0);
}

TEST_CASE("what 16 bits cannot hold becomes infinite", "[core]") {
  CHECK(to_float16(65504.0f).bits == 0x7bff);
  CHECK(to_float16(65519.9f).bits == 0x7bff);
  CHECK(to_float16(65520.0f).bits == 0x7c00);
  CHECK(to_float16(-1e30f).bits == 0xfc00);
  CHECK(to_bfloat16(std::numeric_limits<float>::max()).bits == 0x7f80);
  CHECK(is_nan(to_float16(std::numeric_limits<float>::quiet_NaN())));
  CHECK(is_nan(to_bfloat16(std::numeric_limits<float>::quiet_NaN())));
}

}  // namespace half_test
