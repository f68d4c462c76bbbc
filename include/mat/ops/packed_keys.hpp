#pragma once

#include <mat/core/tensor.hpp>
#include <mat/ops/matmul_kernel.hpp>

#include <algorithm>

namespace mat {
inline namespace MAT_ABI {

/// The keys of a batch of sequences, laid out once as attention reads them: a token that is decoded meets all keys
/// before it, and to lay them out anew for each token would cost more than the products.
///
/// Shapes:  a key [kv_heads * head_dim]; capacity: the most keys of a sequence.
/// Errors:  ValueError for a size below 1 (batch: 0).
template <class T>
class PackedKeys {
 public:
  struct Config {
    Index batch = 1, kv_heads = 1, head_dim = 0, capacity = 0;
  };

  /// No keys.
  PackedKeys() = default;
  explicit PackedKeys(const Config& config) { assign(config); }

  /// Room for keys of other sizes, in the memory that is there already if there is enough; what they are is open.
  void assign(const Config& config) {
    check(config);
    // What was not set is read, to be hidden: it has to be numbers.
    if (numbers_of(config) > numbers_.size()) numbers_ = Vector<T>({numbers_of(config)});
    config_ = config;
  }
  /// Throws what `assign` would.
  static void check(const Config& config) {
    check_value(config.batch >= 0, "PackedKeys: batch", config.batch, "at least 0");
    check_value(config.kv_heads >= 1, "PackedKeys: kv_heads", config.kv_heads, "at least 1");
    check_value(config.head_dim >= 1, "PackedKeys: head_dim", config.head_dim, "at least 1");
    check_value(config.capacity >= 1, "PackedKeys: capacity", config.capacity, "at least 1");
    const double numbers = static_cast<double>(std::max<Index>(1, config.batch)) *
                           static_cast<double>(config.kv_heads) * static_cast<double>(config.head_dim) *
                           static_cast<double>(config.capacity);
    check_value(numbers < kMostNumbers, "PackedKeys: numbers", numbers, "below 2^48");
  }

  [[nodiscard]] const Config& config() const { return config_; }
  [[nodiscard]] Index bytes() const { return numbers_of(config_) * static_cast<Index>(sizeof(T)); }

  /// Key `position` of sequence b, all heads.
  void set(Index b, Index position, const T* key) {
    assert(b >= 0 && b < config_.batch && position >= 0 && position < config_.capacity);
    for (Index h = 0; h < config_.kv_heads; ++h) {
      T* column = numbers_.data() + offset(b, h, position / kCols) + position % kCols;
      for (Index d = 0; d < config_.head_dim; ++d) column[d * kCols] = key[h * config_.head_dim + d];
    }
  }
  /// Sequence `to` gets the first `count` keys of sequence `from`; what it held is lost.
  void copy(Index from, Index to, Index count) {
    assert(from >= 0 && from < config_.batch && to >= 0 && to < config_.batch && count <= config_.capacity);
    if (from == to) return;
    const Index whole = count / kCols, rest = count % kCols;  // panels, and keys of the last one
    for (Index h = 0; h < config_.kv_heads; ++h) {
      std::copy_n(numbers_.data() + offset(from, h, 0), whole * config_.head_dim * kCols,
                  numbers_.data() + offset(to, h, 0));
      const T* source = numbers_.data() + offset(from, h, whole);
      T* target = numbers_.data() + offset(to, h, whole);
      for (Index d = 0; d < (rest > 0 ? config_.head_dim : 0); ++d) {
        simd::copy(rest, source + d * kCols, target + d * kCols);
      }
    }
  }
  /// The keys of a head from `first`, a multiple of a panel's columns, on: [panels][head_dim][kPanelCols].
  [[nodiscard]] const T* panels(Index b, Index kv_head, Index first) const {
    assert(first % kCols == 0);
    return numbers_.data() + offset(b, kv_head, first / kCols);
  }

 private:
  static constexpr Index kCols = detail::kPanelCols<T>;
  static constexpr double kMostNumbers = 281474976710656.0;  // 2^48: more than any memory, and no product overflows

  /// Of one head of one sequence.
  [[nodiscard]] static Index panels_of(const Config& config) { return (config.capacity + kCols - 1) / kCols; }
  /// In all panels; there may be room for more.
  [[nodiscard]] static Index numbers_of(const Config& config) {
    return config.batch * config.kv_heads * panels_of(config) * config.head_dim * kCols;
  }
  [[nodiscard]] Index offset(Index b, Index h, Index panel) const {
    return ((b * config_.kv_heads + h) * panels_of(config_) + panel) * config_.head_dim * kCols;
  }

  Config config_;
  Vector<T> numbers_;  // [batch][kv_heads][panels][head_dim][kPanelCols]
};

}  // namespace MAT_ABI
}  // namespace mat
