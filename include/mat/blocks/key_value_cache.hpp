#pragma once

#include <mat/core/sequences.hpp>
#include <mat/core/tensor.hpp>
#include <mat/ops/packed_keys.hpp>

namespace mat {
inline namespace MAT_ABI {

/// The keys and values of the tokens that a causal stack has read, so that each new token attends to them without their
/// being computed again. A plain value: a copy is a fork.
///
/// Shapes:  values of a layer [batch * capacity, kv_heads * head_dim]; sequence b owns the rows from b * capacity on.
/// Errors:  ValueError for a size below its least, or a length outside of what is there.
template <class T>
class KeyValueCache {
 public:
  struct Config {
    Index layers = 0;
    Index kv_heads = 1;
    Index head_dim = 0;
    Index batch = 1;     ///< Sequences.
    Index capacity = 0;  ///< The most tokens of one sequence.
  };

  /// Of no layers.
  KeyValueCache() = default;
  explicit KeyValueCache(const Config& config) { assign(config); }

  /// Becomes an empty cache of these sizes, in the memory that is there already if there is enough.
  void assign(const Config& config) {
    check_value(config.layers >= 0, "KeyValueCache: layers", config.layers, "at least 0");
    const typename PackedKeys<T>::Config keys{config.batch, config.kv_heads, config.head_dim, config.capacity};
    PackedKeys<T>::check(keys);
    const auto layers = static_cast<std::size_t>(config.layers);
    keys_.resize(layers);
    for (PackedKeys<T>& of_layer : keys_) of_layer.assign(keys);
    values_.resize(layers);
    for (Matrix<T>& values : values_)
      values.resize({config.batch * config.capacity, config.kv_heads * config.head_dim});
    config_ = config;
    lengths_.assign(static_cast<std::size_t>(config.batch), 0);
  }

  [[nodiscard]] const Config& config() const { return config_; }
  [[nodiscard]] Index length(Index b) const { return lengths_[static_cast<std::size_t>(b)]; }
  /// Bytes of all keys and values, used or not.
  [[nodiscard]] Index bytes() const {
    Index bytes = 0;
    for (const PackedKeys<T>& keys : keys_) bytes += keys.bytes();
    for (const Matrix<T>& values : values_) bytes += values.size() * static_cast<Index>(sizeof(T));
    return bytes;
  }
  [[nodiscard]] PackedKeys<T>& keys(Index layer) { return keys_[static_cast<std::size_t>(layer)]; }
  [[nodiscard]] MatrixView<T> values(Index layer) { return values_[static_cast<std::size_t>(layer)]; }

  /// Sequence b keeps its first `length` tokens: 0 begins anew, less than all takes the last ones back.
  void truncate(Index b, Index length) {
    check_value(b >= 0 && b < config_.batch, "KeyValueCache::truncate: b", b, "below the batch of ", config_.batch);
    check_value(length >= 0 && length <= this->length(b), "KeyValueCache::truncate: length", length,
                "at most the present ", this->length(b));
    lengths_[static_cast<std::size_t>(b)] = length;
  }

  /// Sequence `to` becomes a copy of sequence `from`, to continue in another way; what it held is lost.
  void fork(Index from, Index to) {
    check_value(from >= 0 && from < config_.batch, "KeyValueCache::fork: from", from, "below the batch of ",
                config_.batch);
    check_value(to >= 0 && to < config_.batch, "KeyValueCache::fork: to", to, "below the batch of ", config_.batch);
    if (from == to) return;
    const Index n = length(from);
    for (std::size_t i = 0; i < keys_.size(); ++i) {
      keys_[i].copy(from, to, n);
      std::copy_n(values_[i].view().row(from * config_.capacity), n * values_[i].cols(),
                  values_[i].view().row(to * config_.capacity));
    }
    lengths_[static_cast<std::size_t>(to)] = n;
  }

  /// Sets `all` to the sequences with as many tokens more as `added` has, the cache's as the first ones.
  void with_added(const Sequences& added, Sequences& all) const {
    check_value(added.count() == config_.batch, "KeyValueCache: sequences", added.count(), "its batch of ",
                config_.batch);
    for (Index b = 0; b < added.count(); ++b) {
      check_value(length(b) + added.length(b) <= config_.capacity, "KeyValueCache: tokens of a sequence",
                  length(b) + added.length(b), "at most its capacity of ", config_.capacity);
    }
    all.assign_with_capacity(config_.batch, config_.capacity, [&](Index b) { return length(b) + added.length(b); });
  }
  /// After all layers have written the keys and values of the `added` tokens.
  void advance(const Sequences& added) {
    for (Index b = 0; b < added.count(); ++b) lengths_[static_cast<std::size_t>(b)] += added.length(b);
  }

 private:
  Config config_;
  std::vector<PackedKeys<T>> keys_;  // of each layer
  std::vector<Matrix<T>> values_;    // of each layer: [batch * capacity, kv_heads * head_dim]
  std::vector<Index> lengths_;       // [batch]
};

}  // namespace MAT_ABI
}  // namespace mat
