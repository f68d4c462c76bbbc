#pragma once

#include <mat/core/half.hpp>
#include <mat/ops/matmul_kernel.hpp>

namespace mat {
inline namespace MAT_ABI {
namespace detail {

// How numbers of each stored type lie in a packed panel, so that one load of a register and a shift or two give the
// numbers of several packs. A reader's kRows rows of a panel lie in kRows * kPanelCols numbers; place(k, col) tells
// where, and read() gives them as packs.

template <class T, class Stored>
struct PanelReader;

/// As they are.
template <class T>
struct PanelReader<T, T> {
  static constexpr Index kRows = 1;
  [[nodiscard]] static constexpr Index place(Index k, Index col) { return k * kPanelCols<T> + col; }
  static EIGEN_ALWAYS_INLINE void read(const T* from, simd::Pack<T> (&w)[kRows][kPanelPacks<T>]) {
#pragma GCC unroll 4
    for (Index p = 0; p < kPanelPacks<T>; ++p) w[0][p] = simd::load(from + p * simd::Pack<T>::kSize);
  }
};

/// What the narrow types share: each lane of a register holds the numbers that lane has in all packs and rows.
template <class T, class Stored, Index kStoredRows>
struct InterleavedPanel {
  static constexpr Index kRows = kStoredRows;
  static constexpr Index kSize = simd::Pack<T>::kSize;
  static constexpr Index kPerLane = kRows * kPanelPacks<T>;
  using Words = typename simd::detail::IntegerPack<T, std::int32_t>::Vector;

  [[nodiscard]] static constexpr Index place(Index k, Index col) {
    const Index lane = col % kSize, pack = col / kSize;
    return k / kRows * kRows * kPanelCols<T> + lane * kPerLane + k % kRows * kPanelPacks<T> + pack;
  }
  /// For any T, one by one; of a T of 32 bits, `words` below are faster.
  template <class Convert>
  static EIGEN_ALWAYS_INLINE void read_each(const Stored* from, simd::Pack<T> (&w)[kRows][kPanelPacks<T>],
                                            const Convert& convert) {
    for (Index k = 0; k < kRows; ++k) {
      for (Index p = 0; p < kPanelPacks<T>; ++p) {
        T lanes[kSize];
        for (Index i = 0; i < kSize; ++i) lanes[i] = static_cast<T>(convert(from[place(k, p * kSize + i)]));
        w[k][p] = simd::load(lanes);
      }
    }
  }
  [[nodiscard]] static EIGEN_ALWAYS_INLINE Words words(const Stored* from) {
    static_assert(kPerLane * sizeof(Stored) == sizeof(std::int32_t), "a lane is one word");
    Words words;
    std::memcpy(&words, from, sizeof words);
    return words;
  }
};

template <class T>
struct PanelReader<T, BFloat16> : InterleavedPanel<T, BFloat16, 1> {
  static EIGEN_ALWAYS_INLINE void read(const BFloat16* from, simd::Pack<T> (&w)[1][kPanelPacks<T>]) {
    if constexpr (sizeof(T) == 4) {
      const auto words = PanelReader::words(from);
      w[0][0] = simd::detail::from_bits<T>(words << 16);
      w[0][1] = simd::detail::from_bits<T>(words & static_cast<std::int32_t>(0xffff0000u));
    } else {
      PanelReader::read_each(from, w, [](BFloat16 x) { return to_float(x); });
    }
  }
};

template <class T>
struct PanelReader<T, Float16> : InterleavedPanel<T, Float16, 1> {
  static EIGEN_ALWAYS_INLINE void read(const Float16* from, simd::Pack<T> (&w)[1][kPanelPacks<T>]) {
    if constexpr (sizeof(T) == 4) {
      // Sign, exponent and mantissa move to a float's places; a product then corrects the exponent's bias, and is exact
      // for subnormals too. Packed weights are finite.
      const auto words = PanelReader::words(from);
      constexpr auto kMask = static_cast<std::int32_t>(0x8fffe000u);
      const simd::Pack<T> bias = simd::broadcast(T(0x1p112));
      w[0][0] = simd::detail::from_bits<T>(((words << 16) >> 3) & kMask) * bias;
      w[0][1] = simd::detail::from_bits<T>((words >> 3) & kMask) * bias;
    } else {
      PanelReader::read_each(from, w, [](Float16 x) { return to_float(x); });
    }
  }
};

template <class T>
struct PanelReader<T, std::int8_t> : InterleavedPanel<T, std::int8_t, 2> {
  static EIGEN_ALWAYS_INLINE void read(const std::int8_t* from, simd::Pack<T> (&w)[2][kPanelPacks<T>]) {
    if constexpr (sizeof(T) == 4) {
      const auto words = PanelReader::words(from);
      const auto convert = [](typename PanelReader::Words whole) {
        return simd::detail::from_bits<T>(
            __builtin_convertvector(whole, typename simd::detail::IntegerPack<T, T>::Vector));
      };
      w[0][0] = convert((words << 24) >> 24);
      w[0][1] = convert((words << 16) >> 24);
      w[1][0] = convert((words << 8) >> 24);
      w[1][1] = convert(words >> 24);
    } else {
      PanelReader::read_each(from, w, [](std::int8_t x) { return x; });
    }
  }
};

}  // namespace detail
}  // namespace MAT_ABI
}  // namespace mat
