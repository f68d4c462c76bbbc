#include "support/bits.hpp"
#include "support/catch.hpp"

#include <mat/ops/dropout.hpp>

namespace dropout_scales_test {

using namespace mat;
using namespace mat::test;

TEST_CASE("DropoutScales multiplies consecutive numbers by dropout_scale, from any first index", "[ops]") {
  const Dropout dropout{0.3, Random(5, 2)};
  const auto check = [&](auto zero) {
    using T = decltype(zero);
    const auto x = random_tensor<T, 1>({400}, 1);
    DropoutScales<T> scales(dropout.rate, dropout.random);
    for (const std::uint64_t first : {0u, 1u, 15u, 16u, 127u, 128u, 1000003u}) {
      for (const Index n : {0, 1, 3, 4, 31, 127, 128, 129, 400}) {
        CAPTURE(first, n);
        Vector<T> y({400});
        scales.multiply(first, n, x.data(), y.data());
        bool same = true;
        for (Index i = 0; i < n; ++i) {
          same = same && y(i) == x(i) * static_cast<T>(dropout_scale(dropout, first + static_cast<std::uint64_t>(i)));
        }
        for (Index i = n; i < 400; ++i) same = same && y(i) == T(0);
        CHECK(same);
      }
    }
  };
  check(0.0F);
  check(0.0);
}

TEST_CASE("an element is dropped by its half of its Threefry word", "[ops]") {
  const Dropout dropout{0.25, Random(5, 2)};
  std::uint32_t words[4][1];
  for (const std::uint64_t group : {0u, 1u, 1000u}) {
    for (std::uint64_t e = 0; e < 128; ++e) {
      CAPTURE(group, e);
      threefry(dropout.random, group * 16 + e % 16, words);
      const std::uint32_t word = words[e / 32][0], half = e / 16 % 2 == 0 ? word & 0xFFFF : word >> 16;
      CHECK((dropout_scale(dropout, group * 128 + e) == 0) == (half < 16384));
    }
  }
}

TEST_CASE("rows of a dropout share whole groups of elements", "[ops]") {
  CHECK(dropout_stride(0) == 1);
  CHECK(dropout_stride(1) == 1);
  CHECK(dropout_stride(14) == 16);
  CHECK(dropout_stride(128) == 128);
  CHECK(dropout_stride(129) == 256);
  CHECK(dropout_stride(300) == 384);
}

}  // namespace dropout_scales_test
