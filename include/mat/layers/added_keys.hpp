#pragma once

#include <mat/core/sequences.hpp>
#include <mat/core/simd.hpp>
#include <mat/core/tensor.hpp>

#include <algorithm>

namespace mat {
inline namespace MAT_ABI {
namespace detail {

/// The keys and values that a MultiHeadAttention itself puts in front of those of every sequence: a learned one, then
/// one of zeros, each if it is asked for.
template <class T>
struct AddedKeys {
  const Tensor<T, 3>& learned_key;    // [1, 1, columns], or empty
  const Tensor<T, 3>& learned_value;  // likewise
  bool zeros;

  [[nodiscard]] Index count() const { return Index{!learned_key.empty()} + Index{zeros}; }

  /// The sequences of `keys` with room for the added ones.
  void make_room(const Sequences& keys, Sequences& all) const {
    all.assign(keys.count(), [&](Index b) { return keys.length(b) + count(); });
  }

  /// Sets the added rows among the keys k and the values v of `all`.
  void write(const Sequences& all, MatrixView<T> k, MatrixView<T> v) const {
    for (Index b = 0; b < all.count(); ++b) {
      Index row = all.begin(b);
      if (!learned_key.empty()) {
        std::copy_n(learned_key.data(), k.cols(), k.row(row));
        std::copy_n(learned_value.data(), v.cols(), v.row(row));
        ++row;
      }
      if (zeros) {
        std::fill_n(k.row(row), k.cols(), T(0));
        std::fill_n(v.row(row), v.cols(), T(0));
      }
    }
  }

  /// Adds what the added rows of dk and dv are to the gradients of the learned ones.
  void add_gradients(const Sequences& all, ConstMatrixView<T> dk, ConstMatrixView<T> dv, Tensor<T, 3>& dlearned_key,
                     Tensor<T, 3>& dlearned_value) const {
    if (learned_key.empty()) return;
    for (Index b = 0; b < all.count(); ++b) {
      simd::add_scaled(dk.cols(), dlearned_key.data(), T(1), dk.row(all.begin(b)));
      simd::add_scaled(dv.cols(), dlearned_value.data(), T(1), dv.row(all.begin(b)));
    }
  }
};

}  // namespace detail
}  // namespace MAT_ABI
}  // namespace mat
