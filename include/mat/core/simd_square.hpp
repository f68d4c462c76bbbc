#pragma once

#include <mat/core/simd.hpp>

#include <type_traits>

namespace mat {
inline namespace MAT_ABI {
namespace simd {

// What as many packs as a pack has numbers can do together.

// GCC warns that a register type loses its alignment attribute as a template argument; the block is only passed on.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wignored-attributes"
/// Transposes a square of kSize x kSize numbers: row j of `from` becomes column j of `to`.
template <class T>
EIGEN_ALWAYS_INLINE void transpose(const T* from, Index from_row, T* to, Index to_row) {
  // Registers of 32 bytes are two of 16 to the instructions that exchange their numbers: smaller squares need less.
  using Whole = typename Pack<T>::Native;
  using Part = std::conditional_t<sizeof(Whole) == 32, typename Eigen::internal::unpacket_traits<Whole>::half, Whole>;
  constexpr int kSize = static_cast<int>(Pack<T>::kSize), kPart = Eigen::internal::unpacket_traits<Part>::size;
#pragma GCC unroll 2
  for (int row = 0; row < kSize; row += kPart) {
#pragma GCC unroll 2
    for (int col = 0; col < kSize; col += kPart) {
      Eigen::internal::PacketBlock<Part, kPart> block;
#pragma GCC unroll 16
      for (int i = 0; i < kPart; ++i)
        block.packet[i] = Eigen::internal::ploadu<Part>(from + (row + i) * from_row + col);
      Eigen::internal::ptranspose(block);
#pragma GCC unroll 16
      for (int i = 0; i < kPart; ++i) Eigen::internal::pstoreu(to + (col + i) * to_row + row, block.packet[i]);
    }
  }
}
/// Element i is the sum of the elements of x[i], in an order that is always the same.
template <class T>
[[nodiscard]] EIGEN_ALWAYS_INLINE Pack<T> sums(const Pack<T> (&x)[Pack<T>::kSize]) {
  constexpr int kSize = static_cast<int>(Pack<T>::kSize);
  Eigen::internal::PacketBlock<typename Pack<T>::Native, kSize> block;
#pragma GCC unroll 16
  for (int i = 0; i < kSize; ++i) block.packet[i] = x[i].value;
  Eigen::internal::ptranspose(block);
#pragma GCC unroll 16
  for (int half = kSize / 2; half > 0; half /= 2) {
#pragma GCC unroll 16
    for (int i = 0; i < half; ++i) block.packet[i] = Eigen::internal::padd(block.packet[i], block.packet[i + half]);
  }
  return {block.packet[0]};
}
#pragma GCC diagnostic pop

}  // namespace simd
}  // namespace MAT_ABI
}  // namespace mat
