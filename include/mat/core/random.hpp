#pragma once

#include <mat/core/types.hpp>

#include <array>
#include <cmath>
#include <cstdint>
#include <utility>

namespace mat {
inline namespace MAT_ABI {

/// A counter-based generator: every random number is a function of (seed, stream, index), so any of them can be
/// computed again, in any order and by any thread. There is no state to save beyond those three numbers.
///
/// Source:  Salmon et al. (2011), "Parallel random numbers: as easy as 1, 2, 3", Philox4x32-10.
/// Threads: all functions are const.
class Random {
 public:
  using Block = std::array<std::uint32_t, 4>;

  Random() = default;
  /// Different streams of one seed are independent: one for each layer, epoch or purpose.
  explicit Random(std::uint64_t seed, std::uint64_t stream = 0) : seed_(seed), stream_(stream) {}

  [[nodiscard]] std::uint64_t seed() const { return seed_; }
  [[nodiscard]] std::uint64_t stream() const { return stream_; }
  /// An independent generator, a function of this one and `key`.
  [[nodiscard]] Random split(std::uint64_t key) const {
    const Block b = Random(seed_ ^ 0x9E3779B97F4A7C15u, stream_).block(key);
    return Random(join(b[0], b[1]), join(b[2], b[3]));
  }

  /// Four independent numbers, uniform over 32 bits.
  [[nodiscard]] Block block(std::uint64_t index) const {
    Block c{low(index), high(index), low(stream_), high(stream_)};
    std::uint32_t key0 = low(seed_), key1 = high(seed_);
    for (int round = 0; round < 10; ++round) {
      const std::uint64_t p0 = std::uint64_t{0xD2511F53u} * c[0], p1 = std::uint64_t{0xCD9E8D57u} * c[2];
      c = {high(p1) ^ c[1] ^ key0, low(p1), high(p0) ^ c[3] ^ key1, low(p0)};
      key0 += 0x9E3779B9u;
      key1 += 0xBB67AE85u;
    }
    return c;
  }
  /// The `index`-th number, uniform over 32 bits.
  [[nodiscard]] std::uint32_t bits(std::uint64_t index) const { return block(index / 4)[index % 4]; }
  /// Uniform in [0, 1).
  [[nodiscard]] double uniform(std::uint64_t index) const {
    const Block b = block(index);
    return static_cast<double>(join(b[0], b[1]) >> 11) * 0x1p-53;
  }
  /// Standard normal (Box-Muller).
  [[nodiscard]] double normal(std::uint64_t index) const {
    const Block b = block(index);
    const double u = (static_cast<double>(join(b[0], b[1]) >> 11) + 0.5) * 0x1p-53;
    const double angle = 6.283185307179586 * static_cast<double>(join(b[2], b[3]) >> 11) * 0x1p-53;
    return std::sqrt(-2.0 * std::log(u)) * std::cos(angle);
  }
  /// Uniform in {0, ..., n - 1}, n > 0.
  [[nodiscard]] Index below(std::uint64_t index, Index n) const {
    return static_cast<Index>(uniform(index) * static_cast<double>(n));
  }

  friend bool operator==(const Random& a, const Random& b) { return a.seed_ == b.seed_ && a.stream_ == b.stream_; }
  friend bool operator!=(const Random& a, const Random& b) { return !(a == b); }

 private:
  [[nodiscard]] static std::uint32_t low(std::uint64_t x) { return static_cast<std::uint32_t>(x); }
  [[nodiscard]] static std::uint32_t high(std::uint64_t x) { return static_cast<std::uint32_t>(x >> 32); }
  [[nodiscard]] static std::uint64_t join(std::uint32_t a, std::uint32_t b) {
    return static_cast<std::uint64_t>(a) << 32 | b;
  }
  std::uint64_t seed_ = 0, stream_ = 0;
};

/// Puts the elements of [first, first + n) in a random order (Fisher-Yates).
template <class Iterator>
void shuffle(Iterator first, Index n, const Random& random) {
  for (Index i = n - 1; i > 0; --i) std::swap(first[i], first[random.below(static_cast<std::uint64_t>(i), i + 1)]);
}

}  // namespace MAT_ABI
}  // namespace mat
