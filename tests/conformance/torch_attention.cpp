#include "conformance/batch_layout.hpp"

#include <mat/layers/multi_head_attention.hpp>

namespace mat::conformance {

// scaled_dot_product_attention and nn.MultiheadAttention.

/// [B, H, L, E] as rows [B * L, H * E].
template <class T>
[[nodiscard]] Array<T> rows_of_heads(const Array<T>& x) {
  return reshaped(permuted(x, {0, 2, 1, 3}), {x.dim(0) * x.dim(2), x.dim(1) * x.dim(3)});
}
/// Rows [B * L, H * E] as [B, H, L, E].
template <class T>
[[nodiscard]] Array<T> heads_of_rows(ConstMatrixView<T> rows, Index batch, Index heads, Index length) {
  return permuted(array_of(rows, {batch, length, heads, rows.cols() / heads}), {0, 2, 1, 3});
}

template <class T>
void run_sdpa(const Case& c, Results& results) {
  const Array<T> q = c.array<T>("input.q"), k = c.array<T>("input.k"), v = c.array<T>("input.v");
  if (q.rank() != 4) throw Unsupported("q of rank " + std::to_string(q.rank()));
  const Index batch = q.dim(0), heads = q.dim(1), kv_heads = k.dim(1), queries = q.dim(2), keys = k.dim(2);
  AttentionOptions<T> options;
  options.heads = heads;
  options.kv_heads = kv_heads;
  if (const Json* scale = c.option("scale")) options.scale = static_cast<T>(scale->as_double());
  MaskBuilder<T> mask;
  const std::string name = "input.attn_mask";
  if (c.has(name) && c.is_bool(name)) mask.allow(c.array<std::uint8_t>(name));
  if (c.has(name) && !c.is_bool(name)) mask.add(c.array<T>(name));
  const bool causal = c.flag("is_causal");
  options.mask = mask.join(causal ? AttentionMask<T>::causal_from(0) : AttentionMask<T>::none(), queries, keys);

  const Array<T> q_rows = rows_of_heads(q), k_rows = rows_of_heads(k), v_rows = rows_of_heads(v);
  const Array<T> dy = rows_of_heads(c.array<T>("grad_output.y"));
  const Sequences query_sequences = Sequences::uniform(batch, queries), key_sequences = Sequences::uniform(batch, keys);
  const AttentionInputs<T> inputs{matrix_of(q_rows), matrix_of(k_rows), matrix_of(v_rows), query_sequences,
                                  key_sequences};
  AttentionCache<T> cache;
  results.set("output.y", heads_of_rows(attention_forward(options, inputs, cache), batch, heads, queries));
  Matrix<T> dq(inputs.q.shape()), dk(inputs.k.shape()), dv(inputs.v.shape());
  Tensor<T, 4> dbias;
  if (c.has("grad_" + name)) dbias = tensor_of<T, 4>(zeros<T>(mask.bias_shape()));
  attention_backward<T>(matrix_of(dy), options, inputs, cache, {dq, dk, dv, dbias});
  results.set("grad_input.q", heads_of_rows<T>(dq, batch, heads, queries));
  results.set("grad_input.k", heads_of_rows<T>(dk, batch, kv_heads, keys));
  results.set("grad_input.v", heads_of_rows<T>(dv, batch, kv_heads, keys));
  if (dbias.empty()) return;
  results.set("grad_" + name, summed_to(array_of(dbias.view(), mask.bias_shape()), c.shape(name)));
}

/// One nn.MultiheadAttention case: its inputs as ragged batches.
template <class T>
class MhaCase {
 public:
  explicit MhaCase(const Case& c)
      : c_(c),
        queries_(c.shape("input.query"), c.flag("batch_first")),
        keys_(c.shape(key_name()), c.flag("batch_first")),
        query_(queries_.rows(c.array<T>("input.query"))),
        key_(keys_.rows(c.array<T>(key_name()))),
        value_(keys_.rows(c.array<T>(value_name()))),
        query_sequences_(queries_.sequences()),
        key_sequences_(keys_.sequences()),
        layer_(config(c), Random(1)) {
    c.load(layer_.parameters());
    add_module_mask(c, "input.attn_mask", keys_.batch(), layer_.config().num_heads, mask_);
    const std::string padding = "input.key_padding_mask";
    if (c.has(padding) && !shorten_keys(padding)) add_padding_mask(c, padding, mask_);
  }

  void run(Results& results) {
    typename MultiHeadAttention<T>::Cache cache;
    typename MultiHeadAttention<T>::Inputs inputs{matrix_of(query_), matrix_of(key_), matrix_of(value_),
                                                  &query_sequences_, &key_sequences_};
    AttentionCall<T> call;
    call.mask = mask_.join(AttentionMask<T>::none(), queries_.length(), keys_.length());
    results.set("output.y", queries_.unrow(layer_.forward(inputs, call, cache)));
    typename MultiHeadAttention<T>::ExtraGradients extra;
    std::vector<Tensor<T, 3>> dweights;
    if (c_.has("output.attn_weights")) results.set("output.attn_weights", weights(cache));
    if (c_.has("grad_output.attn_weights")) {
      set_weight_gradients(dweights);
      extra.dweights = &dweights;
    }
    Tensor<T, 4> dbias;
    if (c_.has("grad_input.attn_mask")) dbias = tensor_of<T, 4>(zeros<T>(mask_.bias_shape()));
    extra.dbias = dbias;
    backward(extra, cache, results);
    if (!dbias.empty()) set_mask_gradient(dbias, results);
  }

 private:
  [[nodiscard]] std::string key_name() const { return c_.has("input.key") ? "input.key" : "input.query"; }
  [[nodiscard]] std::string value_name() const { return c_.has("input.value") ? "input.value" : key_name(); }
  [[nodiscard]] static typename MultiHeadAttention<T>::Config config(const Case& c) {
    typename MultiHeadAttention<T>::Config config;
    config.embed_dim = c.config().at("D").as_index();
    config.num_heads = c.config().at("H").as_index();
    config.kdim = c.number("kdim", 0);
    config.vdim = c.number("vdim", 0);
    config.bias = c.flag("bias", true);
    config.add_bias_kv = c.flag("add_bias_kv");
    config.add_zero_attn = c.flag("add_zero_attn");
    return config;
  }

  /// Padding at the ends of the keys makes the key sequences shorter; false if it is elsewhere or of numbers.
  bool shorten_keys(const std::string& padding) {
    if (!c_.is_bool(padding)) return false;
    const Array<std::uint8_t> blocked = c_.array<std::uint8_t>(padding);
    std::vector<Index> lengths;
    for (Index b = 0; b < keys_.batch(); ++b) {
      const std::uint8_t* row = blocked.values.data() + b * keys_.length();
      const Index length = std::find_if(row, row + keys_.length(), [](auto x) { return x != 0; }) - row;
      if (std::any_of(row + length, row + keys_.length(), [](auto x) { return x == 0; })) return false;
      lengths.push_back(length);
    }
    key_sequences_ = Sequences::with_capacity(lengths, keys_.length());
    return true;
  }

  void backward(const typename MultiHeadAttention<T>::ExtraGradients& extra,
                typename MultiHeadAttention<T>::Cache& cache, Results& results) const {
    const Array<T> dy = queries_.rows(c_.array<T>("grad_output.y"));
    auto grads = zeros_like(layer_.parameters());
    if (!c_.has("input.key")) {
      results.set("grad_input.query", queries_.unrow(layer_.backward(matrix_of(dy), cache, grads, extra)));
    } else {
      const auto d = layer_.backward_inputs(matrix_of(dy), cache, grads, extra);
      results.set("grad_input.query", queries_.unrow(d.dquery));
      Array<T> dkey = keys_.unrow(d.dkey);
      const Array<T> dvalue = keys_.unrow(d.dvalue);
      if (c_.has("input.value")) {
        results.set("grad_input.value", dvalue);
      } else {
        for (std::size_t i = 0; i < dkey.values.size(); ++i) dkey.values[i] += dvalue.values[i];
      }
      results.set("grad_input.key", dkey);
    }
    results.set_gradients(grads);
  }

  // The library's added keys stand before all others, PyTorch's behind them: column j of a sequence with n keys is
  // PyTorch's column `torch_column(j, n)`. Columns of padded keys are 0.
  [[nodiscard]] Index torch_column(Index j) const {
    const Index added = layer_.added_keys();
    return j < added ? keys_.length() + j : j - added;
  }
  [[nodiscard]] std::vector<Index> weights_shape() const {
    return {queries_.batch(), layer_.config().num_heads, queries_.length(), keys_.length() + layer_.added_keys()};
  }
  [[nodiscard]] bool averaged() const { return c_.flag("average", true); }

  /// [B, H, L, S], or averaged over the heads [B, L, S]; without B if unbatched.
  [[nodiscard]] Array<T> weights(const typename MultiHeadAttention<T>::Cache& cache) const {
    const std::vector<Index> shape = weights_shape();
    Array<T> all = zeros<T>({shape[0], averaged() ? 1 : shape[1], shape[2], shape[3]});
    for (Index b = 0; b < shape[0]; ++b) {
      const Tensor<T, 3> own = layer_.weights(cache, b);
      for (Index h = 0; h < shape[1]; ++h) {
        for (Index i = 0; i < shape[2]; ++i) {
          T* row = all.values.data() + ((averaged() ? b : b * shape[1] + h) * shape[2] + i) * shape[3];
          const T part = averaged() ? T(1) / static_cast<T>(shape[1]) : T(1);
          for (Index j = 0; j < own.size(2); ++j) row[torch_column(j)] += part * own(h, i, j);
        }
      }
    }
    all.shape = c_.shape("output.attn_weights");
    return all;
  }

  /// The gradients of the weights, as the library orders them.
  void set_weight_gradients(std::vector<Tensor<T, 3>>& dweights) const {
    const Array<T> d = c_.array<T>("grad_output.attn_weights");
    const std::vector<Index> shape = weights_shape();
    for (Index b = 0; b < shape[0]; ++b) {
      Tensor<T, 3> own({shape[1], shape[2], key_sequences_.length(b) + layer_.added_keys()});
      for (Index h = 0; h < shape[1]; ++h) {
        for (Index i = 0; i < shape[2]; ++i) {
          const T* row = d.values.data() + ((averaged() ? b : b * shape[1] + h) * shape[2] + i) * shape[3];
          const T part = averaged() ? T(1) / static_cast<T>(shape[1]) : T(1);
          for (Index j = 0; j < own.size(2); ++j) own(h, i, j) = part * row[torch_column(j)];
        }
      }
      dweights.push_back(std::move(own));
    }
  }

  void set_mask_gradient(const Tensor<T, 4>& dbias, Results& results) const {
    const std::vector<Index> shape = c_.shape("input.attn_mask");
    const Array<T> all = array_of(dbias.view(), mask_.bias_shape());
    const bool each = shape.size() == 3;  // one mask for each sequence and head, which does not reach the added keys
    const std::vector<Index> own{each ? queries_.batch() : 1, each ? layer_.config().num_heads : 1, queries_.length(),
                                 keys_.length()};
    results.set("grad_input.attn_mask", reshaped(summed_to(all, own), shape));
  }

  const Case& c_;
  BatchLayout queries_, keys_;
  Array<T> query_, key_, value_;
  Sequences query_sequences_, key_sequences_;
  MultiHeadAttention<T> layer_;
  MaskBuilder<T> mask_;
};

template <class T>
void run_mha(const Case& c, Results& results) {
  MhaCase<T>(c).run(results);
}

template <class T>
Adapters torch_attention() {
  return {{"scaled_dot_product_attention", run_sdpa<T>}, {"nn.MultiheadAttention", run_mha<T>}};
}

template Adapters torch_attention<float>();
template Adapters torch_attention<double>();

}  // namespace mat::conformance
