#include "support/catch.hpp"

#include <mat/core/threefry.hpp>

#include <array>

namespace threefry_test {

using namespace mat;

namespace {

template <int kRounds, int kLanes>
std::array<std::uint32_t, 4> block(const Random& random, std::uint64_t first, int lane) {
  std::uint32_t words[4][kLanes];
  threefry<kRounds>(random, first, words);
  return {words[0][lane], words[1][lane], words[2][lane], words[3][lane]};
}

}  // namespace

TEST_CASE("the generator is Threefry4x32", "[core]") {
  using Words = std::array<std::uint32_t, 4>;
  // The known answers published with the generator, for a counter and a key of zeros.
  CHECK(block<13, 1>(Random(0, 0), 0, 0) == Words{0x531c7e4f, 0x39491ee5, 0x2c855a92, 0x3d6abf9a});
  CHECK(block<20, 1>(Random(0, 0), 0, 0) == Words{0x9c6ca96a, 0xe17eae66, 0xfc10ecd4, 0x5256a7d8});
}

TEST_CASE("lanes are the blocks of counters that follow each other", "[core]") {
  const Random random(0x123456789abcdef0u, 0xfedcba9876543210u);
  for (const std::uint64_t first : {std::uint64_t{0}, std::uint64_t{0xFFFFFFFBu}, std::uint64_t{1} << 40}) {
    for (int lane = 0; lane < 16; ++lane) {
      CAPTURE(first, lane);
      const auto alone = block<13, 1>(random, first + static_cast<std::uint64_t>(lane), 0);
      CHECK(block<13, 16>(random, first, lane) == alone);
    }
  }
  CHECK(block<13, 1>(random, 1, 0) != block<13, 1>(random, 2, 0));
  CHECK(block<13, 1>(random, 1, 0) != block<13, 1>(random.split(1), 1, 0));
}

}  // namespace threefry_test
