#pragma once

#include <mat/blocks/key_value_cache.hpp>
#include <mat/layers/layer_norm.hpp>
#include <mat/ops/packed_weights.hpp>

#include <deque>
#include <optional>

namespace mat {
inline namespace MAT_ABI {

/// What the packed stacks have in common: layers, one after the other, a norm at the end, and the sizes of the keys and
/// values that they leave for later tokens. `Layer` has Cache, bytes(), kv_heads() and head_dim().
///
/// Errors:  as PackedEncoder and PackedDecoder, which name themselves in them.
/// Threads: const; one stack serves any number of threads, each with caches of its own.
template <class T, class Layer>
class PackedStack {
 public:
  /// Memory to work in.
  struct Cache {
    std::deque<typename Layer::Cache> layers;  // two
    Sequences keys;
    typename LayerNorm<T>::Cache norm;
  };

  /// Bytes of the weights that one token reads.
  [[nodiscard]] Index bytes() const {
    Index bytes = 0;
    for (const Layer& layer : layers_) bytes += layer.bytes();
    return bytes;
  }
  /// An empty cache for `batch` sequences of at most `capacity` tokens.
  [[nodiscard]] KeyValueCache<T> key_value_cache(Index batch, Index capacity) const {
    return KeyValueCache<T>(key_value_config(batch, capacity));
  }
  [[nodiscard]] typename KeyValueCache<T>::Config key_value_config(Index batch, Index capacity) const {
    return {count(), layers_.empty() ? 1 : layers_.front().kv_heads(), layers_.empty() ? 1 : layers_.front().head_dim(),
            batch, capacity};
  }

 protected:
  /// Of the stack that was trained, and its norm.
  template <class Trained>
  PackedStack(const Trained& stack, WeightStorage storage) : norm_(stack.parameters().norm) {
    for (const auto& layer : stack.parameters().layers) layers_.emplace_back(layer, storage);
  }

  [[nodiscard]] Index count() const { return static_cast<Index>(layers_.size()); }
  [[nodiscard]] const std::deque<Layer>& layers() const { return layers_; }

  /// Throws ValueError unless the cache has the sizes of this stack; `what` is the function, `stack` what reads.
  void check_earlier(std::string_view what, std::string_view stack, const KeyValueCache<T>& earlier) const {
    const auto expected = key_value_config(1, 1), &actual = earlier.config();
    const auto check = [&](std::string_view name, Index has, std::string_view whose, Index needed) {
      if (has == needed) return;  // nothing is allocated for a sentence that nobody reads
      check_value(false, {what, name}, has, std::string(whose) + " of the " + std::string(stack) + ", ", needed);
    };
    check("cache's layers", actual.layers, "those", expected.layers);
    if (layers_.empty()) return;
    check("cache's kv_heads", actual.kv_heads, "those", expected.kv_heads);
    check("cache's head_dim", actual.head_dim, "that", expected.head_dim);
  }

  /// fn(number, layer, x, cache) for each. They write to the caches in turn: the one that a layer reads from belongs to
  /// the layer before.
  template <class Function>
  [[nodiscard]] ConstMatrixView<T> run(ConstMatrixView<T> x, Cache& cache, const Function& fn) const {
    if (cache.layers.size() < 2) cache.layers.resize(2);
    for (std::size_t i = 0; i < layers_.size(); ++i) {
      x = fn(static_cast<Index>(i), layers_[i], x, cache.layers[i % 2]);
    }
    return norm_ ? norm_->forward(x, cache.norm) : x;
  }

 private:
  std::deque<Layer> layers_;
  std::optional<LayerNorm<T>> norm_;
};

}  // namespace MAT_ABI
}  // namespace mat
