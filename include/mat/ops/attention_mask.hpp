#pragma once

#include <mat/core/tensor.hpp>

#include <algorithm>

namespace mat {
inline namespace MAT_ABI {

/// Which keys a query may attend to, and what is added to their scores.
///
/// A mask is a value with named constructors, so that none can be read the wrong way round, and parts can be joined:
/// `AttentionMask<T>::causal().and_blocked(view)`. Query i and key j are counted within their sequence; the query
/// stands at key position i + offset. Unless an offset is given the last query stands at the last key, which is what a
/// cache of earlier keys needs.
///
/// A view has the shape [queries, keys], [heads, queries, keys] or [batch, heads, queries, keys], with 1 for "the same
/// for all". A sequence shorter than the view uses its top left corner. The view must outlive the mask.
///
/// Errors: ValueError for a window below 1. The shapes are checked by the attention that uses the mask.
template <class T>
class AttentionMask {
 public:
  static constexpr Index kUnlimited = -1;

  /// One view, with strides of 0 where it is the same for all.
  template <class E>
  struct Plane {
    const E* data = nullptr;
    Index batch = 1, heads = 1, queries = 0, keys = 0;

    [[nodiscard]] bool empty() const { return data == nullptr; }
    [[nodiscard]] const E* row(Index b, Index h, Index i) const { return data + row_offset(b, h, i); }
    [[nodiscard]] Index row_offset(Index b, Index h, Index i) const {
      return (((batch == 1 ? 0 : b) * heads + (heads == 1 ? 0 : h)) * queries + i) * keys;
    }
  };

  /// Every query sees every key of its sequence.
  [[nodiscard]] static AttentionMask none() { return {}; }
  /// A query sees the keys up to its own position; the last query sees all.
  [[nodiscard]] static AttentionMask causal() { return window(kUnlimited, 0); }
  /// Query i sees the keys j <= i + offset.
  [[nodiscard]] static AttentionMask causal_from(Index offset) { return causal().at_offset(offset); }
  /// A query sees its own position and the `size` - 1 before it.
  [[nodiscard]] static AttentionMask causal_window(Index size) {
    check_value(size >= 1, "AttentionMask::causal_window: size", size, "at least 1");
    return window(size - 1, 0);
  }
  /// A query sees `left` positions before its own and `right` after it; kUnlimited is no limit.
  [[nodiscard]] static AttentionMask window(Index left, Index right) {
    check_value(left >= kUnlimited, "AttentionMask::window: left", left, "at least -1");
    check_value(right >= kUnlimited, "AttentionMask::window: right", right, "at least -1");
    AttentionMask mask;
    // No sequence is longer, and sums with a position must not overflow.
    constexpr Index kMost = std::numeric_limits<Index>::max() / 4;
    mask.left_ = std::min(left, kMost);
    mask.right_ = std::min(right, kMost);
    return mask;
  }
  template <std::size_t Rank>
  [[nodiscard]] static AttentionMask allowed(TensorView<const bool, Rank> view) {
    return none().and_allowed(view);
  }
  template <std::size_t Rank>
  [[nodiscard]] static AttentionMask blocked(TensorView<const bool, Rank> view) {
    return none().and_blocked(view);
  }
  template <std::size_t Rank>
  [[nodiscard]] static AttentionMask bias(TensorView<const T, Rank> view) {
    return none().and_bias(view);
  }

  /// Query i stands at key position i + offset.
  [[nodiscard]] AttentionMask at_offset(Index offset) const {
    AttentionMask mask = *this;
    mask.offset_ = offset;
    mask.has_offset_ = true;
    return mask;
  }
  /// True means: may attend. PyTorch's scaled_dot_product_attention reads its masks like this.
  template <std::size_t Rank>
  [[nodiscard]] AttentionMask and_allowed(TensorView<const bool, Rank> view) const {
    AttentionMask mask = *this;
    mask.allowed_ = plane(view);
    return mask;
  }
  /// True means: may not attend. PyTorch's nn.MultiheadAttention and nn.Transformer read their masks like this.
  template <std::size_t Rank>
  [[nodiscard]] AttentionMask and_blocked(TensorView<const bool, Rank> view) const {
    AttentionMask mask = *this;
    mask.blocked_ = plane(view);
    return mask;
  }
  /// Numbers added to the scores; minus infinity blocks.
  template <std::size_t Rank>
  [[nodiscard]] AttentionMask and_bias(TensorView<const T, Rank> view) const {
    AttentionMask mask = *this;
    mask.bias_ = plane(view);
    return mask;
  }

  /// [key tokens]: a number for each key of the batch, added to its scores for all queries and heads. Keys that a layer
  /// adds count too.
  [[nodiscard]] AttentionMask and_key_bias(ConstVectorView<T> key_bias) const {
    AttentionMask mask = *this;
    mask.key_bias_ = key_bias;
    return mask;
  }

  [[nodiscard]] Index left() const { return left_; }
  [[nodiscard]] Index right() const { return right_; }
  [[nodiscard]] const Plane<bool>& allowed_plane() const { return allowed_; }
  [[nodiscard]] const Plane<bool>& blocked_plane() const { return blocked_; }
  [[nodiscard]] const Plane<T>& bias_plane() const { return bias_; }
  [[nodiscard]] ConstVectorView<T> key_bias() const { return key_bias_; }
  /// The key position of query 0 in a sequence of these lengths.
  [[nodiscard]] Index offset(Index queries, Index keys) const { return has_offset_ ? offset_ : keys - queries; }

  /// Throws unless every view covers `batch` sequences of at most these lengths.
  void check(std::string_view what, Index batch, Index heads, Index queries, Index keys) const {
    check_plane(what, "allowed", allowed_, {batch, heads, queries, keys});
    check_plane(what, "blocked", blocked_, {batch, heads, queries, keys});
    check_plane(what, "bias", bias_, {batch, heads, queries, keys});
  }

 private:
  template <class E, std::size_t Rank>
  [[nodiscard]] static Plane<std::remove_const_t<E>> plane(TensorView<E, Rank> view) {
    static_assert(Rank >= 2 && Rank <= 4, "a mask has the shape [(batch,) (heads,) queries, keys]");
    if (!view.contiguous()) {
      detail::throw_shape_error("AttentionMask: a view", "not contiguous", "rows without gaps");
    }
    Plane<std::remove_const_t<E>> plane;
    plane.data = view.data();
    if constexpr (Rank == 4) plane.batch = view.size(0);
    if constexpr (Rank >= 3) plane.heads = view.size(Rank - 3);
    plane.queries = view.size(Rank - 2);
    plane.keys = view.size(Rank - 1);
    return plane;
  }
  template <class E>
  static void check_plane(std::string_view what, const char* name, const Plane<E>& plane, const Shape<4>& need) {
    if (plane.empty()) return;
    const bool fits = (plane.batch == 1 || plane.batch == need[0]) && (plane.heads == 1 || plane.heads == need[1]) &&
                      plane.queries >= need[2] && plane.keys >= need[3];
    if (fits) return;
    const Shape<4> actual{plane.batch, plane.heads, plane.queries, plane.keys};
    detail::throw_shape_error(std::string(what) + ": the " + name + " mask", shape_to_string(actual.data(), 4),
                              "1 or " + std::to_string(need[0]) + " sequences, 1 or " + std::to_string(need[1]) +
                                  " heads, at least " + std::to_string(need[2]) + " queries and " +
                                  std::to_string(need[3]) + " keys");
  }

  Index left_ = kUnlimited, right_ = kUnlimited;
  Index offset_ = 0;
  bool has_offset_ = false;
  Plane<bool> allowed_, blocked_;
  Plane<T> bias_;
  ConstVectorView<T> key_bias_;
};

}  // namespace MAT_ABI
}  // namespace mat
