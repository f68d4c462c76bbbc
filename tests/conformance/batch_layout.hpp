#pragma once

#include "conformance/case.hpp"

#include <mat/core/sequences.hpp>
#include <mat/ops/attention_mask.hpp>

namespace mat::conformance {

/// How PyTorch's [T, d], [T, B, d] or, batch first, [B, T, d] becomes the rows of a ragged batch, and back.
class BatchLayout {
 public:
  BatchLayout(const std::vector<Index>& shape, bool batch_first) : batched_(shape.size() == 3) {
    if (shape.size() != 2 && shape.size() != 3) throw Unsupported("a batch of rank " + std::to_string(shape.size()));
    if (batched_ && !batch_first) order_ = {1, 0, 2};
    batch_ = batched_ ? shape[order_[0] == 1 ? 1 : 0] : 1;
    length_ = shape[batched_ && batch_first ? 1 : 0];
  }

  [[nodiscard]] Index batch() const { return batch_; }
  [[nodiscard]] Index length() const { return length_; }
  [[nodiscard]] bool batched() const { return batched_; }
  [[nodiscard]] Sequences sequences() const { return Sequences::uniform(batch_, length_); }

  /// [batch * length, d]: one sequence after the other.
  template <class T>
  [[nodiscard]] Array<T> rows(const Array<T>& x) const {
    const Array<T> y = batched_ ? permuted(x, order_) : x;
    return reshaped(y, {batch_ * length_, y.dim(-1)});
  }
  /// Back to the layout of the file.
  template <class T>
  [[nodiscard]] Array<T> unrow(ConstMatrixView<T> rows) const {
    if (!batched_) return array_of(rows, {length_, rows.cols()});
    return permuted(array_of(rows, {batch_, length_, rows.cols()}), inverse_of(order_));
  }

 private:
  bool batched_;
  std::vector<Index> order_{0, 1, 2};
  Index batch_ = 1, length_ = 0;
};

/// Joins the masks of a case: booleans with "or", numbers by adding. It owns what its AttentionMask looks at.
template <class T>
class MaskBuilder {
 public:
  /// True is blocked, as in nn.MultiheadAttention. Any shape that broadcasts to [batch, heads, queries, keys].
  void block(const Array<std::uint8_t>& where) {
    if (blocked_.shape.empty()) {
      blocked_ = reshaped(where, with_rank(where.shape, 4));
      return;
    }
    const std::vector<Index> shape = broadcast_shape(blocked_.shape, where.shape);
    const Array<std::uint8_t> other = expanded(where, shape);
    blocked_ = expanded(blocked_, shape);
    for (std::size_t i = 0; i < other.values.size(); ++i) {
      blocked_.values[i] = blocked_.values[i] != 0 || other.values[i] != 0 ? 1 : 0;
    }
  }
  /// True is allowed, as in scaled_dot_product_attention and in ONNX.
  void allow(const Array<std::uint8_t>& where) { allowed_ = reshaped(where, with_rank(where.shape, 4)); }
  void add(const Array<T>& bias) {
    if (bias_.shape.empty()) {
      bias_ = reshaped(bias, with_rank(bias.shape, 4));
      return;
    }
    const std::vector<Index> shape = broadcast_shape(bias_.shape, bias.shape);
    const Array<T> other = expanded(bias, shape);
    bias_ = expanded(bias_, shape);
    for (std::size_t i = 0; i < other.values.size(); ++i) bias_.values[i] += other.values[i];
  }

  /// `mask` with all of that, for so many queries and keys; valid as long as this object lives.
  [[nodiscard]] AttentionMask<T> join(AttentionMask<T> mask, Index queries, Index keys) {
    if (!blocked_.shape.empty()) {
      blocked_tensor_ = tensor_of<bool, 4>(full(blocked_, queries, keys));
      mask = mask.and_blocked(TensorView<const bool, 4>(blocked_tensor_));
    }
    if (!allowed_.shape.empty()) {
      allowed_tensor_ = tensor_of<bool, 4>(full(allowed_, queries, keys));
      mask = mask.and_allowed(TensorView<const bool, 4>(allowed_tensor_));
    }
    if (!bias_.shape.empty()) {
      bias_tensor_ = tensor_of<T, 4>(full(bias_, queries, keys));
      mask = mask.and_bias(TensorView<const T, 4>(bias_tensor_));
    }
    return mask;
  }
  /// The shape of the joined bias: [batch, heads, queries, keys], or empty.
  [[nodiscard]] std::vector<Index> bias_shape() const {
    if (bias_.shape.empty()) return {};
    return {bias_tensor_.shape().begin(), bias_tensor_.shape().end()};
  }

 private:
  /// A mask may be the same for all sequences and heads, but has every query and every key.
  template <class E>
  [[nodiscard]] static Array<E> full(const Array<E>& x, Index queries, Index keys) {
    return expanded(x, {x.shape[0], x.shape[1], queries, keys});
  }

  Array<std::uint8_t> blocked_, allowed_;
  Array<T> bias_;
  Tensor<bool, 4> blocked_tensor_, allowed_tensor_;
  Tensor<T, 4> bias_tensor_;
};

/// Adds a mask of an nn module, [L, S] or [B * H, L, S], boolean or of numbers.
template <class T>
void add_module_mask(const Case& c, const std::string& name, Index batch, Index heads, MaskBuilder<T>& mask) {
  if (!c.has(name)) return;
  std::vector<Index> shape = c.shape(name);
  if (shape.size() == 3) shape = {batch, heads, shape[1], shape[2]};
  if (c.is_bool(name)) {
    mask.block(reshaped(c.array<std::uint8_t>(name), shape));
  } else {
    mask.add(reshaped(c.array<T>(name), shape));
  }
}

/// Adds a key padding mask of an nn module, [B, S] or [S], boolean or of numbers.
template <class T>
void add_padding_mask(const Case& c, const std::string& name, MaskBuilder<T>& mask) {
  if (!c.has(name)) return;
  const std::vector<Index> shape = with_rank(c.shape(name), 2);
  if (c.is_bool(name)) {
    mask.block(reshaped(c.array<std::uint8_t>(name), {shape[0], 1, 1, shape[1]}));
  } else {
    mask.add(reshaped(c.array<T>(name), {shape[0], 1, 1, shape[1]}));
  }
}

}  // namespace mat::conformance
