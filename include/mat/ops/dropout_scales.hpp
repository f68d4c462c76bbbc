#pragma once

#include <mat/core/simd.hpp>
#include <mat/core/threefry.hpp>

#include <algorithm>

namespace mat {
inline namespace MAT_ABI {
namespace detail {

/// Blocks that are made at once, and the elements that they decide: two of each number.
inline constexpr int kDropoutLanes = 16;
inline constexpr Index kDropoutGroup = 8 * kDropoutLanes;

inline constexpr std::uint32_t kDropoutNumbers = 1U << 16;  ///< That an element's number is one of.

/// Numbers below this are dropped.
[[nodiscard]] inline std::uint32_t dropout_threshold(double rate) {
  return static_cast<std::uint32_t>(std::min(rate * kDropoutNumbers + 0.5, kDropoutNumbers - 1.0));
}

}  // namespace detail

/// The scales of consecutive elements, each 0 with probability p, the rate to 16 bits, and else 1 / (1 - p): the mean
/// is 1 at every rate, also where 16 bits are coarse.
///
///     group g of 128 elements:   words = Threefry blocks 16 g ... 16 g + 15
///     element 32 i + 16 half + lane of it is dropped if that half of words[i][lane] < 2^16 p
///
/// The group that was made last is kept, so that short rows that follow each other cost one.
///
/// Threads: each its own.
template <class T>
class DropoutScales {
 public:
  DropoutScales(double rate, const Random& random)
      : random_(random),
        threshold_(detail::dropout_threshold(rate)),
        kept_(static_cast<T>(detail::kDropoutNumbers) / static_cast<T>(detail::kDropoutNumbers - threshold_)) {}

  /// y_i = x_i times the scale of element first + i, for i < n; y may be x.
  void multiply(std::uint64_t first, Index n, const T* x, T* y) {
    for (Index done = 0; done < n;) {
      const std::uint64_t index = first + static_cast<std::uint64_t>(done);
      const auto at = static_cast<Index>(index % detail::kDropoutGroup);
      const Index count = std::min(detail::kDropoutGroup - at, n - done);
      make(index / detail::kDropoutGroup);
      simd::map(
          count, y + done, [](simd::Pack<T> a, simd::Pack<T> scale) { return a * scale; }, x + done,
          static_cast<const T*>(scales_) + at);
      done += count;
    }
  }
  /// The scale of element `index`.
  [[nodiscard]] T operator()(std::uint64_t index) {
    make(index / detail::kDropoutGroup);
    return scales_[index % detail::kDropoutGroup];
  }

 private:
  static constexpr std::uint64_t kNone = ~std::uint64_t{0};

  void make(std::uint64_t group) {
    if (group == group_) return;
    group_ = group;
    constexpr int kLanes = detail::kDropoutLanes;
    std::uint32_t words[4][kLanes];
    threefry(random_, group * kLanes, words);
    for (int i = 0; i < 4; ++i) {
      for (int lane = 0; lane < kLanes; ++lane) {
        scales_[2 * i * kLanes + lane] = (words[i][lane] & 0xFFFFu) < threshold_ ? T(0) : kept_;
        scales_[(2 * i + 1) * kLanes + lane] = (words[i][lane] >> 16) < threshold_ ? T(0) : kept_;
      }
    }
  }

  Random random_;
  std::uint32_t threshold_;
  T kept_;
  std::uint64_t group_ = kNone;
  T scales_[detail::kDropoutGroup];
};

/// The number of elements between rows of n whose scales share groups with their neighbours', or have whole ones.
[[nodiscard]] inline Index dropout_stride(Index n) {
  if (n > detail::kDropoutGroup) return (n + detail::kDropoutGroup - 1) / detail::kDropoutGroup * detail::kDropoutGroup;
  Index stride = 1;
  while (stride < n) stride *= 2;
  return stride;
}

}  // namespace MAT_ABI
}  // namespace mat
