#pragma once

#include <mat/layers/added_keys.hpp>
#include <mat/layers/alibi.hpp>
#include <mat/layers/attention_call.hpp>
#include <mat/layers/attention_projections.hpp>
#include <mat/layers/linear.hpp>
#include <mat/layers/relative_position.hpp>
#include <mat/layers/rotary_position.hpp>
#include <mat/ops/attention.hpp>
#include <mat/ops/attention_weights.hpp>
#include <mat/ops/earlier_tokens.hpp>

namespace mat {
inline namespace MAT_ABI {

/// Attention with learned projections: several heads look at different parts of each token.
///
///     q = query Wq^T + bq,  k = key Wk^T + bk,  v = value Wv^T + bv,  y = attention(q, k, v) Wo^T + bo
///
/// Source:  Vaswani et al. (2017), "Attention is all you need", section 3.2.2; PyTorch nn.MultiheadAttention, with its
///          names and its initialisation. Beyond PyTorch: shared key/value heads, softcap, ALiBi, rotary and relative
///          positions.
/// Shapes:  query, y [query tokens, embed_dim]; key [key tokens, kdim]; value [key tokens, vdim].
/// Errors:  ValueError for sizes or heads that do not fit; ShapeError if an input does not.
/// Threads: const; one layer serves any number of threads, each with a cache of its own.
template <class T>
class MultiHeadAttention {
 public:
  struct Config {
    Index embed_dim = 0;
    Index num_heads = 1;
    Index kv_heads = 0;  ///< Key/value heads, a divisor of num_heads; 0 is as many.
    Index kdim = 0;      ///< Features of a key; 0 is embed_dim.
    Index vdim = 0;      ///< Features of a value; 0 is embed_dim.
    bool bias = true;
    bool add_bias_kv = false;    ///< One learned key and value more for every sequence.
    bool add_zero_attn = false;  ///< One key and value of zeros more for every sequence.
    T softcap = 0;
    std::optional<T> scale;
    bool alibi = false;
    std::optional<typename RotaryPosition<T>::Config> rotary;
    std::optional<typename RelativePosition<T>::Config> relative;  ///< Its sizes are taken from above.
  };

  struct Parameters {
    Matrix<T> in_proj_weight;  // [(num_heads + 2 kv_heads) head_dim, embed_dim]: rows of q, k, v; empty if kdim or vdim
                               // is set
    Matrix<T> q_proj_weight;   // [embed_dim, embed_dim], if kdim or vdim is set
    Matrix<T> k_proj_weight;   // [kv_heads head_dim, kdim], likewise
    Matrix<T> v_proj_weight;   // [kv_heads head_dim, vdim], likewise
    Vector<T> in_proj_bias;    // [(num_heads + 2 kv_heads) head_dim], or empty
    Tensor<T, 3> bias_k;       // [1, 1, kv_heads head_dim], if add_bias_kv
    Tensor<T, 3> bias_v;       // [1, 1, kv_heads head_dim], if add_bias_kv
    Linear<T> out_proj;
    std::optional<RelativePosition<T>> relative;

    template <class Visitor, class... P>
    static void visit(Visitor&& visitor, P&... p) {
      visit_tensor("in_proj_weight", visitor, p.in_proj_weight...);
      visit_tensor("q_proj_weight", visitor, p.q_proj_weight...);
      visit_tensor("k_proj_weight", visitor, p.k_proj_weight...);
      visit_tensor("v_proj_weight", visitor, p.v_proj_weight...);
      visit_tensor("in_proj_bias", visitor, p.in_proj_bias...);
      visit_tensor("bias_k", visitor, p.bias_k...);
      visit_tensor("bias_v", visitor, p.bias_v...);
      visit_layer("out_proj", visitor, p.out_proj...);
      visit_optional_layer("relative", visitor, p.relative...);
    }
  };

  /// The tokens that a call reads; for self-attention all three are the same.
  struct Inputs {
    ConstMatrixView<T> query, key, value;
    const Sequences* query_sequences = nullptr;
    const Sequences* key_sequences = nullptr;
  };

  /// What one forward leaves for its backward; the inputs stay with the caller and must live until then.
  struct Cache {
    ConstMatrixView<T> query, key, value;
    Sequences query_sequences, key_sequences;
    AttentionOptions<T> options;
    Matrix<T> q, k, v;  // projected: [query tokens, embed_dim], [key tokens (+ added), kv_heads head_dim] twice
    Sequences all_key_sequences;  // with the added keys, if there are any
    Vector<T> alibi_slopes;       // [num_heads]
    typename RotaryPosition<T>::Cache rotary_queries, rotary_keys;
    typename RelativePosition<T>::Cache relative;
    Vector<Index> first_query;  // the position of each sequence's first query: [sequences]
    AttentionCache<T> attention;
    typename Linear<T>::Cache out_proj;
    Matrix<T> dq, dk, dv;  // as q, k, v
    Matrix<T> dquery, dkey, dvalue;
    bool with_earlier = false;
    Matrix<T> joined, djoined, dearlier;  // with the earlier tokens: [earlier tokens + tokens, embed_dim]
    Sequences earlier_sequences, joined_sequences;
  };

  /// Gradients beside that of y, for a loss that reads or learns more: each may be left out.
  struct ExtraGradients {
    const std::vector<Tensor<T, 3>>* dweights = nullptr;  ///< Of each sequence's weights: [num_heads, queries, keys].
    TensorView<T, 4> dbias;                               ///< Receives the gradient of the mask's bias.
    VectorView<T> dkey_bias;                              ///< Receives that of its key_bias.
  };

  /// The gradients of the three inputs, living in the cache.
  struct InputGradients {
    ConstMatrixView<T> dquery, dkey, dvalue;
  };

  MultiHeadAttention(const Config& config, const Random& random)
      : config_(complete(config)),
        parameters_{{}, {}, {}, {},
                    {}, {}, {}, Linear<T>({config_.embed_dim, config_.embed_dim, config_.bias}, random.split(0)),
                    {}} {
    detail::initialize_attention<T, MultiHeadAttention>(config_, random, parameters_);
    if (config_.rotary) rotary_.emplace(*config_.rotary);
    if (config_.relative) parameters_.relative.emplace(*config_.relative, random.split(7));
  }

  [[nodiscard]] const Config& config() const { return config_; }
  [[nodiscard]] const Parameters& parameters() const { return parameters_; }
  [[nodiscard]] Parameters& parameters() { return parameters_; }
  [[nodiscard]] Index head_dim() const { return config_.embed_dim / config_.num_heads; }
  /// Keys that the layer itself adds in front of every sequence: bias_k, then the zeros.
  [[nodiscard]] Index added_keys() const { return added().count(); }

  /// Self-attention: each sequence of x attends to itself.
  ConstMatrixView<T> forward(ConstMatrixView<T> x, const Sequences& sequences, const AttentionCall<T>& call,
                             Cache& cache) const {
    return forward(Inputs{x, x, x, &sequences, &sequences}, call, cache);
  }

  /// Self-attention in which each sequence of x sees earlier tokens as well, as keys and values before its own.
  ConstMatrixView<T> forward(ConstMatrixView<T> x, const Sequences& sequences, const EarlierTokens<T>& earlier,
                             const AttentionCall<T>& call, Cache& cache) const {
    if (!earlier.given()) return forward(x, sequences, call, cache);
    check_shape("MultiHeadAttention::forward: x", x, {kAny, config_.embed_dim});
    join_earlier_tokens<T>("MultiHeadAttention::forward", earlier, x, sequences, cache.joined, cache.joined_sequences);
    const auto y = forward(Inputs{x, cache.joined, cache.joined, &sequences, &cache.joined_sequences}, call, cache);
    cache.earlier_sequences = *earlier.sequences;
    cache.with_earlier = true;
    return y;
  }

  /// Sequence b of the queries attends to sequence b of the keys and values.
  ConstMatrixView<T> forward(const Inputs& inputs, const AttentionCall<T>& call, Cache& cache) const {
    check_shape("MultiHeadAttention::forward: query", inputs.query, {kAny, config_.embed_dim});
    check_shape("MultiHeadAttention::forward: key", inputs.key, {kAny, config_.kdim});
    check_shape("MultiHeadAttention::forward: value", inputs.value, {inputs.key.rows(), config_.vdim});
    check_sequences("MultiHeadAttention::forward: query", inputs.query.rows(), inputs.query_sequences);
    check_sequences("MultiHeadAttention::forward: key", inputs.key.rows(), inputs.key_sequences);
    check_value(!config_.relative || call.mask.bias_plane().empty(),
                "MultiHeadAttention::forward: a bias with relative positions", Index{1}, "0: they are one");
    cache.with_earlier = false;
    cache.query = inputs.query;
    cache.key = inputs.key;
    cache.value = inputs.value;
    cache.query_sequences = *inputs.query_sequences;
    cache.key_sequences = *inputs.key_sequences;
    set_options(call, cache);
    project(cache);
    const auto y = attention_forward(cache.options, attention_inputs(cache), cache.attention);
    return parameters_.out_proj.forward(y, cache.out_proj);
  }

  /// The gradient of x after self-attention.
  ConstMatrixView<T> backward(ConstMatrixView<T> dy, Cache& cache, Parameters& grads,
                              const ExtraGradients& extra = {}) const {
    attention_gradients(dy, cache, grads, extra);
    set_query_gradients(cache);
    add_key_gradients(cache, cache.dquery);
    return cache.dquery;
  }

  /// The gradients of x and of the earlier tokens, after a forward with or without them.
  EarlierGradients<T> backward_with_earlier(ConstMatrixView<T> dy, Cache& cache, Parameters& grads,
                                            const ExtraGradients& extra = {}) const {
    if (!cache.with_earlier) return {backward(dy, cache, grads, extra), {}};
    attention_gradients(dy, cache, grads, extra);
    set_query_gradients(cache);
    // Sums in the order of `backward`, so that the gradient of a sequence without earlier tokens has the same bits.
    cache.dearlier.resize({cache.earlier_sequences.rows(), config_.embed_dim});
    cache.dearlier.fill(T(0));
    join_earlier_tokens<T>("MultiHeadAttention::backward", {cache.dearlier, &cache.earlier_sequences}, cache.dquery,
                           cache.query_sequences, cache.djoined, cache.joined_sequences);
    add_key_gradients(cache, cache.djoined);
    split_earlier_tokens<T>(cache.djoined, cache.joined_sequences, cache.earlier_sequences, cache.query_sequences,
                            cache.dearlier, cache.dquery);
    return {cache.dquery, cache.dearlier};
  }

  /// The gradients of the three inputs after attention to other tokens.
  InputGradients backward_inputs(ConstMatrixView<T> dy, Cache& cache, Parameters& grads,
                                 const ExtraGradients& extra = {}) const {
    attention_gradients(dy, cache, grads, extra);
    const auto weights = projections(parameters_);
    set_query_gradients(cache);
    cache.dkey.resize(cache.key.shape());
    cache.dvalue.resize(cache.value.shape());
    if (cache.key_sequences.has_gaps()) {
      cache.dkey.fill(T(0));
      cache.dvalue.fill(T(0));
    }
    for_each_key_row(cache, [&](Index to, Index count, Index from) {
      matmul<T>(cache.dk.view().middle_rows(from, count), weights.key(), cache.dkey.view().middle_rows(to, count));
      matmul<T>(cache.dv.view().middle_rows(from, count), weights.value(), cache.dvalue.view().middle_rows(to, count));
    });
    return {cache.dquery, cache.dkey, cache.dvalue};
  }

  /// The weights that the last forward gave sequence b: [num_heads, queries, keys (added ones first)].
  [[nodiscard]] Tensor<T, 3> weights(const Cache& cache, Index b) const {
    const Sequences& keys = attention_inputs(cache).key_sequences;
    Tensor<T, 3> weights({config_.num_heads, cache.query_sequences.length(b), keys.length(b)});
    attention_weights<T>(cache.options, attention_inputs(cache), b, AttentionStage::weights, weights);
    return weights;
  }

 private:
  [[nodiscard]] static Config complete(Config config) {
    check_value(config.embed_dim >= 1, "MultiHeadAttention: embed_dim", config.embed_dim, "at least 1");
    check_value(config.num_heads >= 1 && config.embed_dim % config.num_heads == 0, "MultiHeadAttention: num_heads",
                config.num_heads, "a divisor of embed_dim " + std::to_string(config.embed_dim));
    if (config.kv_heads == 0) config.kv_heads = config.num_heads;
    check_value(config.kv_heads >= 1 && config.num_heads % config.kv_heads == 0, "MultiHeadAttention: kv_heads",
                config.kv_heads, "a divisor of num_heads " + std::to_string(config.num_heads));
    if (config.kdim == 0) config.kdim = config.embed_dim;
    if (config.vdim == 0) config.vdim = config.embed_dim;
    check_value(config.kdim >= 1, "MultiHeadAttention: kdim", config.kdim, "at least 1");
    check_value(config.vdim >= 1, "MultiHeadAttention: vdim", config.vdim, "at least 1");
    if (config.rotary) {
      check_value(!config.add_bias_kv && !config.add_zero_attn, "MultiHeadAttention: added keys with rotary positions",
                  Index{1}, "0: they have no position");
      config.rotary->head_dim = config.embed_dim / config.num_heads;
    }
    if (config.relative) {
      check_value(!config.rotary, "MultiHeadAttention: rotary with relative positions", Index{1}, "0");
      config.relative->features = config.embed_dim;
      config.relative->heads = config.num_heads;
      config.relative->kv_heads = config.kv_heads;
      config.relative->head_dim = config.embed_dim / config.num_heads;
    }
    return config;
  }
  [[nodiscard]] Index kv_dim() const { return config_.kv_heads * head_dim(); }
  [[nodiscard]] detail::AddedKeys<T> added() const {
    return {parameters_.bias_k, parameters_.bias_v, config_.add_zero_attn};
  }
  template <class P>
  [[nodiscard]] detail::AttentionProjections<P> projections(P& p) const {
    return {p, config_.embed_dim, kv_dim()};
  }

  void project(Cache& cache) const {
    const auto weights = projections(parameters_);
    cache.q.resize({cache.query.rows(), config_.embed_dim});
    if (added_keys() > 0) added().make_room(cache.key_sequences, cache.all_key_sequences);
    cache.k.resize({attention_keys(cache).rows(), kv_dim()});
    cache.v.resize(cache.k.shape());
    if (added_keys() > 0) added().write(cache.all_key_sequences, cache.k, cache.v);
    matmul<T>(cache.query, transposed<T>(weights.query()), cache.q, weights.query_bias());
    for_each_key_row(cache, [&](Index from, Index count, Index to) {
      matmul<T>(cache.key.middle_rows(from, count), transposed<T>(weights.key()), cache.k.view().middle_rows(to, count),
                weights.key_bias());
      matmul<T>(cache.value.middle_rows(from, count), transposed<T>(weights.value()),
                cache.v.view().middle_rows(to, count), weights.value_bias());
    });
    if (rotary_) rotate(cache);
    if (parameters_.relative) {
      const T scale = config_.scale.value_or(static_cast<T>(1.0 / std::sqrt(static_cast<double>(head_dim()))));
      cache.options.mask = cache.options.mask.and_bias(parameters_.relative->forward(
          cache.q, {cache.query_sequences, cache.key_sequences, cache.options.mask, scale}, cache.relative));
    }
  }

  /// Keys are counted from 0; a query stands where the mask says, by default so that the last meets the last key.
  void rotate(Cache& cache) const {
    const Sequences& queries = cache.query_sequences;
    const Sequences& keys = cache.key_sequences;
    cache.first_query.resize({queries.count()});
    for (Index b = 0; b < queries.count(); ++b) {
      cache.first_query(b) = cache.options.mask.offset(queries.length(b), keys.length(b));
    }
    rotary_->prepare(queries, cache.first_query, cache.rotary_queries);
    rotary_->prepare(keys, cache.rotary_keys);
    rotary_->forward(cache.q, cache.q, cache.rotary_queries);
    rotary_->forward(cache.k, cache.k, cache.rotary_keys);
  }

  /// Gradients up to the projections: those of out_proj, and dq, dk, dv in the cache; then the projections' weights.
  void attention_gradients(ConstMatrixView<T> dy, Cache& cache, Parameters& grads, const ExtraGradients& extra) const {
    const auto dattention = parameters_.out_proj.backward(dy, cache.out_proj, grads.out_proj.parameters());
    const AttentionInputs<T> inputs = attention_inputs(cache);
    cache.dq.resize(cache.q.shape());
    cache.dk.resize(cache.k.shape());
    cache.dv.resize(cache.v.shape());
    const auto& relative = parameters_.relative;
    const TensorView<T, 4> dbias = relative ? relative->bias_gradient(cache.relative) : extra.dbias;
    attention_backward<T>(dattention, cache.options, inputs, cache.attention,
                          {cache.dq, cache.dk, cache.dv, dbias, extra.dkey_bias});
    if (extra.dweights != nullptr) {
      for (Index b = 0; b < inputs.query_sequences.count(); ++b) {
        const Tensor<T, 3>& dweights = (*extra.dweights)[static_cast<std::size_t>(b)];
        attention_weights_backward<T>(dweights, cache.options, inputs, b, {cache.dq, cache.dk, {}, dbias, {}});
      }
    }
    if (rotary_) {
      rotary_->backward(cache.dq, cache.dq, cache.rotary_queries);
      rotary_->backward(cache.dk, cache.dk, cache.rotary_keys);
    }
    if (relative) relative->backward(cache.dq, cache.relative, grads.relative->parameters());
    add_projection_gradients(cache, grads);
  }

  void add_projection_gradients(Cache& cache, Parameters& grads) const {
    const auto dweights = projections(grads);
    matmul_add<T>(transposed<T>(cache.dq), cache.query, dweights.query());
    if (config_.bias) add_column_sums<T>(cache.dq, dweights.query_bias());
    for_each_key_row(cache, [&](Index from, Index count, Index to) {
      const ConstMatrixView<T> dk = cache.dk.view().middle_rows(to, count), dv = cache.dv.view().middle_rows(to, count);
      matmul_add<T>(transposed<T>(dk), cache.key.middle_rows(from, count), dweights.key());
      matmul_add<T>(transposed<T>(dv), cache.value.middle_rows(from, count), dweights.value());
      if (!config_.bias) return;
      add_column_sums<T>(dk, dweights.key_bias());
      add_column_sums<T>(dv, dweights.value_bias());
    });
    added().add_gradients(cache.all_key_sequences, cache.dk, cache.dv, grads.bias_k, grads.bias_v);
  }

  /// dquery, and then the parts of keys and values that are queries too.
  void set_query_gradients(Cache& cache) const {
    cache.dquery.resize(cache.query.shape());
    matmul<T>(cache.dq, projections(parameters_).query(), cache.dquery);
  }
  void add_key_gradients(const Cache& cache, MatrixView<T> dtokens) const {
    const auto weights = projections(parameters_);
    for_each_key_row(cache, [&](Index to, Index count, Index from) {
      const MatrixView<T> dx = dtokens.middle_rows(to, count);
      matmul_add<T>(cache.dk.view().middle_rows(from, count), weights.key(), dx);
      matmul_add<T>(cache.dv.view().middle_rows(from, count), weights.value(), dx);
    });
  }

  /// The keys that attention sees, added ones included.
  [[nodiscard]] const Sequences& attention_keys(const Cache& cache) const {
    return added_keys() == 0 ? cache.key_sequences : cache.all_key_sequences;
  }

  /// Calls fn(first row among the inputs, count, first row in k and v) for runs of rows that lie together: all at once,
  /// or sequence by sequence if something lies between them.
  template <class Function>
  void for_each_key_row(const Cache& cache, const Function& fn) const {
    const Sequences& from = cache.key_sequences;
    if (added_keys() == 0 && !from.has_gaps()) return fn(Index{0}, from.rows(), Index{0});
    for (Index b = 0; b < from.count(); ++b) {
      fn(from.begin(b), from.length(b), attention_keys(cache).begin(b) + added_keys());
    }
  }

  [[nodiscard]] AttentionInputs<T> attention_inputs(const Cache& cache) const {
    return {cache.q, cache.k, cache.v, cache.query_sequences, attention_keys(cache)};
  }

  void set_options(const AttentionCall<T>& call, Cache& cache) const {
    AttentionOptions<T>& options = cache.options;
    options.heads = config_.num_heads;
    options.kv_heads = config_.kv_heads;
    options.scale = config_.scale;
    options.softcap = config_.softcap;
    options.sink_keys = added_keys();
    options.mask = call.mask;
    options.dropout = call.dropout;
    if (!config_.alibi) return;
    if (cache.alibi_slopes.empty()) cache.alibi_slopes = alibi_slopes<T>(config_.num_heads);
    options.alibi_slopes = cache.alibi_slopes;
  }

  Config config_;
  Parameters parameters_;
  std::optional<RotaryPosition<T>> rotary_;
};

}  // namespace MAT_ABI
}  // namespace mat
