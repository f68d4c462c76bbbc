#include "conformance/batch_layout.hpp"
#include "conformance/onnx_node.hpp"

#include <mat/ops/attention.hpp>
#include <mat/ops/attention_weights.hpp>
#include <mat/ops/rotary.hpp>

namespace mat::conformance {

namespace {

/// [B, H, L, E] as rows [B * L, H * E].
template <class T>
Array<T> rows_of(const Array<T>& x) {
  return reshaped(permuted(x, {0, 2, 1, 3}), {x.dim(0) * x.dim(2), x.dim(1) * x.dim(3)});
}

/// x behind `past` along the tokens, both [B, H, L, E].
template <class T>
Array<T> joined(const Array<T>& past, const Array<T>& x) {
  Array<T> all = zeros<T>({x.dim(0), x.dim(1), past.dim(2) + x.dim(2), x.dim(3)});
  const Index before = past.dim(2) * x.dim(3), now = x.dim(2) * x.dim(3);
  for (Index i = 0; i < x.dim(0) * x.dim(1); ++i) {
    T* to = all.values.data() + i * (before + now);
    std::copy_n(past.values.data() + i * before, before, to);
    std::copy_n(x.values.data() + i * now, now, to + before);
  }
  return all;
}

/// One Attention node (ONNX 23 to 25): its inputs as ragged batches, and all four outputs.
template <class T>
class OnnxAttention {
 public:
  explicit OnnxAttention(OnnxNode<T>& node) : node_(node), flat_(node.real(0).rank() == 3) {
    q_ = heads(0, "q_num_heads");
    k_ = heads(1, "kv_num_heads");
    v_ = heads(2, "kv_num_heads");
    if (node.has(4)) {
      past_ = node.real(4).dim(2);
      k_ = joined(node.real(4), k_);
      v_ = joined(node.real(5), v_);
    }
    options_.heads = q_.dim(1);
    options_.kv_heads = k_.dim(1);
    if (node.attribute("scale") != nullptr) options_.scale = static_cast<T>(node.decimal("scale", 0));
    options_.softcap = static_cast<T>(node.decimal("softcap", 0));
    queries_ = Sequences::uniform(q_.dim(0), q_.dim(2));
    all_keys_ = Sequences::uniform(k_.dim(0), k_.dim(2));
    keys_ = all_keys_;
    if (node.has(6)) keys_ = Sequences::with_capacity(node.whole(6).values, k_.dim(2));
    set_mask();
  }

  void run() {
    const Array<T> q = rows_of(q_), k = rows_of(k_), v = rows_of(v_);
    const AttentionInputs<T> inputs{matrix_of(q), matrix_of(k), matrix_of(v), queries_, keys_};
    AttentionCache<T> cache;
    const Array<T> y =
        array_of(attention_forward(options_, inputs, cache), {q_.dim(0), q_.dim(2), q_.dim(1), v_.dim(3)});
    node_.set(0, flat_ ? reshaped(y, {q_.dim(0), q_.dim(2), q_.dim(1) * v_.dim(3)}) : permuted(y, {0, 2, 1, 3}));
    node_.set(1, k_);
    node_.set(2, v_);
    const Index mode = node_.number("qk_matmul_output_mode", 0);
    constexpr AttentionStage kStages[] = {AttentionStage::products, AttentionStage::capped, AttentionStage::masked,
                                          AttentionStage::weights};
    check_value(mode >= 0 && mode < 4, "Attention: qk_matmul_output_mode", mode, "in [0, 4)");
    // The products of keys that are padding exist too; their scores are minus infinity, their weights 0.
    const AttentionInputs<T> whole{inputs.q, inputs.k, inputs.v, queries_, mode < 2 ? all_keys_ : keys_};
    node_.set(3, scores(whole, kStages[mode]));
  }

 private:
  /// An input as [B, H, L, E]; of rank 3 it is [B, L, H * E].
  [[nodiscard]] Array<T> heads(std::size_t i, std::string_view count_name) const {
    const Array<T>& x = node_.real(i);
    if (!flat_) return x;
    const Index n = node_.number(count_name, 1);
    return permuted(reshaped(x, {x.dim(0), x.dim(1), n, x.dim(2) / n}), {0, 2, 1, 3});
  }

  void set_mask() {
    const Index left = node_.number("left_window_size", -1);
    const bool causal = node_.number("is_causal", 0) != 0;
    const Index right = causal ? 0 : node_.number("right_window_size", -1);
    AttentionMask<T> mask = AttentionMask<T>::window(left, right);
    // Query 0 stands behind the past keys; with the lengths of an external cache the last query stands at the last
    // key, which is where the library puts it by itself.
    if (!node_.has(6)) mask = mask.at_offset(past_);
    const Index queries = q_.dim(2), keys = k_.dim(2);
    if (node_.has(3)) {
      const OnnxValue<T>& value = node_.value(3);
      if (value.is_bool) {
        Array<std::uint8_t> allowed{value.whole.shape, {value.whole.values.begin(), value.whole.values.end()}};
        mask_.allow(extended<std::uint8_t>(allowed, keys, 0));
      } else {
        mask_.add(extended<T>(value.real, keys, -std::numeric_limits<T>::infinity()));
      }
    }
    options_.mask = mask_.join(mask, queries, keys);
  }

  /// A mask with fewer columns than keys hides the rest.
  template <class E>
  [[nodiscard]] static Array<E> extended(const Array<E>& mask, Index keys, E fill) {
    const Index have = mask.dim(-1);
    if (have == 1 || have >= keys) return mask;
    Array<E> all{mask.shape, {}};
    all.shape.back() = keys;
    for (Index i = 0; i < matrix_of(mask).rows(); ++i) {
      all.values.insert(all.values.end(), mask.values.begin() + i * have, mask.values.begin() + (i + 1) * have);
      all.values.insert(all.values.end(), static_cast<std::size_t>(keys - have), fill);
    }
    return all;
  }

  /// [B, H, L, S].
  [[nodiscard]] Array<T> scores(const AttentionInputs<T>& inputs, AttentionStage stage) const {
    const Index queries = q_.dim(2), keys = k_.dim(2), n = q_.dim(1);
    Array<T> all = zeros<T>({q_.dim(0), n, queries, keys});
    const bool weights = stage == AttentionStage::weights;
    std::fill(all.values.begin(), all.values.end(), weights ? T(0) : -std::numeric_limits<T>::infinity());
    for (Index b = 0; b < q_.dim(0); ++b) {
      Tensor<T, 3> own({n, queries, inputs.key_sequences.length(b)});
      attention_weights<T>(options_, inputs, b, stage, own);
      for (Index i = 0; i < n * queries; ++i) {
        std::copy_n(own.view().row(i), own.cols(), all.values.data() + (b * n * queries + i) * keys);
      }
    }
    return all;
  }

  OnnxNode<T>& node_;
  bool flat_;
  Index past_ = 0;
  Array<T> q_, k_, v_;
  AttentionOptions<T> options_;
  Sequences queries_, keys_, all_keys_;
  MaskBuilder<T> mask_;
};

template <class T>
void run_attention(OnnxNode<T>& node) {
  OnnxAttention<T>(node).run();
}

/// x is [B, H, L, E] or [B, L, H * E]; the caches are [positions, r / 2], or [B, L, r / 2] without position ids.
template <class T>
void run_rotary(OnnxNode<T>& node) {
  const Array<T>& x = node.real(0);
  const bool flat = x.rank() == 3;
  const Array<T> rows = flat ? reshaped(x, {x.dim(0) * x.dim(1), x.dim(2)}) : rows_of(x);
  RotaryLayout layout;
  layout.head_dim = flat ? x.dim(2) / std::max<Index>(node.number("num_heads", 1), 1) : x.dim(3);
  layout.pairs = node.number("interleaved", 0) != 0 ? RotaryPairs::interleaved : RotaryPairs::half_split;
  Array<Index> positions{{rows.dim(0)}, {}};
  if (node.has(3)) {
    positions = node.whole(3);
  } else {
    for (Index t = 0; t < rows.dim(0); ++t) positions.values.push_back(t);
  }
  Matrix<T> y(matrix_of(rows).shape());
  rotary_forward<T>(matrix_of(rows), vector_of(positions), {matrix_of(node.real(1)), matrix_of(node.real(2))}, layout,
                    y);
  if (flat) return node.set(0, array_of(y.view(), x.shape));
  node.set(0, permuted(array_of(y.view(), {x.dim(0), x.dim(2), x.dim(1), x.dim(3)}), {0, 2, 1, 3}));
}

}  // namespace

template <class T>
OnnxAdapters<T> onnx_attention() {
  return {{"Attention", run_attention<T>}, {"FlexAttention", run_attention<T>}, {"RotaryEmbedding", run_rotary<T>}};
}

template OnnxAdapters<float> onnx_attention<float>();
template OnnxAdapters<double> onnx_attention<double>();

}  // namespace mat::conformance
