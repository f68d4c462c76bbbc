#pragma once

#include <mat/core/parallel.hpp>
#include <mat/core/sequences.hpp>
#include <mat/core/simd.hpp>
#include <mat/ops/attention_mask.hpp>
#include <mat/ops/dropout.hpp>
#include <mat/ops/matmul_kernel.hpp>
#include <mat/ops/packed_keys.hpp>

#include <cmath>
#include <optional>

namespace mat {
inline namespace MAT_ABI {

/// How attention is computed. See attention_forward.
template <class T>
struct AttentionOptions {
  Index heads = 1;
  Index kv_heads = 0;      ///< Key/value heads, a divisor of heads; 0 is as many as heads.
  std::optional<T> scale;  ///< 1 / sqrt(head_dim) unless set.
  T softcap = 0;           ///< Scores are squashed into (-softcap, softcap); 0 is off.
  /// The first keys of every sequence that all queries see, whatever the mask says. Positions and the views of a mask
  /// count the keys after them. (Attention sinks; PyTorch's add_bias_kv and add_zero_attn.)
  Index sink_keys = 0;
  AttentionMask<T> mask;
  /// [heads]: adds -slope * distance to the scores (ALiBi), if not empty.
  ConstVectorView<T> alibi_slopes;
  Dropout dropout;  ///< Of the weights, after the softmax.
};

/// What attention reads. Sequence b of the queries attends to sequence b of the keys.
template <class T>
struct AttentionInputs {
  ConstMatrixView<T> q, k, v;
  const Sequences& query_sequences;
  const Sequences& key_sequences;
  /// In place of k, for a forward: the keys in the layout in which they are multiplied.
  const PackedKeys<T>* packed_keys = nullptr;
};

/// What attention_backward writes. dbias [batch, heads, queries, keys] has the bias's own shape, or is empty; dkey_bias
/// [key tokens] likewise.
template <class T>
struct AttentionGradients {
  MatrixView<T> dq, dk, dv;
  TensorView<T, 4> dbias;
  VectorView<T> dkey_bias{};
};

/// What one attention_forward leaves for its backward, and memory to work in.
template <class T>
struct AttentionCache {
  Matrix<T> y;  // [query tokens, heads * value_dim]
  // Where scores are products times a scale and nothing else, the products p_ij stand for them until the exponential,
  // with f = scale / log 2; elsewhere p_ij = s_ij, f = 1 / log 2.
  Matrix<T> highest;  // [heads, query tokens]: max_j p_ij
  // [heads, query tokens]: log2 sum_j 2^((p_ij - highest_i) f); -infinity where nothing may be attended to. Apart from
  // the highest, because scores of some hundreds would round it away.
  Matrix<T> log_sum;
  Matrix<T> row_dot;    // [heads, query tokens]: <dy_i, y_i>
  Matrix<T> dkey_bias;  // each key/value head's part: [kv_heads, key tokens]
  Matrix<T> workspace;  // [threads, numbers of one thread]
};

namespace detail {

/// Queries of a tile, and keys of a block: a tile of scores and the packed keys stay in the first two cache levels.
inline constexpr Index kTileQueries = 24;
inline constexpr Index kBlockKeys = 256;
/// Between the rows of a tile of scores. Rows a power of two apart would compete for the same few lines of the cache.
inline constexpr Index kScoreStride = kBlockKeys + 16;

/// A half-open range of keys.
struct KeyRange {
  Index begin, end;
  [[nodiscard]] bool empty() const { return begin >= end; }
};

/// The checked sizes of one attention, and its scores: what forward and backward share.
template <class T>
struct AttentionProblem {
  ConstMatrixView<T> q, k, v;
  const PackedKeys<T>* packed_keys;
  const Sequences& queries;
  const Sequences& keys;
  const AttentionMask<T>& mask;
  ConstVectorView<T> key_bias;
  ConstVectorView<T> alibi_slopes;
  const Dropout& dropout;
  Index heads, kv_heads, group;  // group: heads that share one key/value head
  Index head_dim, value_dim;
  Index sinks;
  T scale, softcap;
  Index dropout_row = 0;  // between the first elements of two rows of weights, as dropout_stride
  bool plain;  // Scores are products times a positive scale and nothing else: one multiplication serves both.

  AttentionProblem(std::string_view what, const AttentionOptions<T>& options, const AttentionInputs<T>& inputs)
      : q(inputs.q),
        k(inputs.k),
        v(inputs.v),
        packed_keys(inputs.packed_keys),
        queries(inputs.query_sequences),
        keys(inputs.key_sequences),
        mask(options.mask),
        key_bias(options.mask.key_bias()),
        alibi_slopes(options.alibi_slopes),
        dropout(options.dropout),
        heads(options.heads),
        kv_heads(options.kv_heads == 0 ? options.heads : options.kv_heads),
        sinks(options.sink_keys),
        softcap(options.softcap) {
    check_value(heads >= 1, {what, "heads"}, heads, "at least 1");
    check_value(kv_heads >= 1 && heads % kv_heads == 0, {what, "kv_heads"}, kv_heads, "a divisor of heads, ", heads);
    check_value(q.cols() % heads == 0, {what, "q's columns"}, q.cols(), "a multiple of ", heads);
    check_value(v.cols() % kv_heads == 0, {what, "v's columns"}, v.cols(), "a multiple of ", kv_heads);
    check_value(softcap >= 0, {what, "softcap"}, static_cast<double>(softcap), "at least 0");
    check_dropout(what, dropout);
    check_value(sinks >= 0, {what, "sink_keys"}, sinks, "at least 0");
    if (dropout.rate > 0) dropout_row = dropout_stride(keys.longest());
    group = heads / kv_heads;
    head_dim = q.cols() / heads;
    value_dim = v.cols() / kv_heads;
    if (packed_keys == nullptr) {
      check_shape({what, "k"}, k, {v.rows(), kv_heads * head_dim});
    } else {
      check_packed_keys(what);
    }
    check_sequences({what, "q"}, q.rows(), queries);
    check_sequences({what, "v"}, v.rows(), keys);
    check_value(keys.count() == queries.count(), {what, "the number of key sequences"}, keys.count(),
                "that of the queries, ", queries.count());
    if (!alibi_slopes.empty()) check_shape({what, "alibi_slopes"}, alibi_slopes, {heads});
    if (!key_bias.empty()) check_shape({what, "key_bias"}, key_bias, {v.rows()});
    mask.check(what, queries.count(), heads, queries.longest(), keys.longest() - sinks);
    scale = options.scale.value_or(static_cast<T>(1.0 / std::sqrt(static_cast<double>(std::max<Index>(head_dim, 1)))));
    plain = scale > 0 && softcap == 0 && mask.bias_plane().empty() && alibi_slopes.empty() && key_bias.empty();
  }

  void check_packed_keys(std::string_view what) const {
    const auto& packed = packed_keys->config();
    check_value(packed.kv_heads == kv_heads, {what, "kv_heads of packed_keys"}, packed.kv_heads, "kv_heads, ",
                kv_heads);
    check_value(packed.head_dim == head_dim, {what, "head_dim of packed_keys"}, packed.head_dim,
                "that of the queries, ", head_dim);
    check_value(packed.batch == keys.count(), {what, "batch of packed_keys"}, packed.batch,
                "the number of key sequences, ", keys.count());
    check_value(keys.longest() <= packed.capacity, {what, "the longest key sequence"}, keys.longest(),
                "at most the capacity of packed_keys, ", packed.capacity);
  }
  /// For what reads single keys.
  void check_not_packed(std::string_view what) const {
    check_value(packed_keys == nullptr, {what, "packed_keys"}, Index{1}, "none, but k");
  }

  /// The key position, sinks counted, of query 0 of sequence b.
  [[nodiscard]] Index offset(Index b) const { return sinks + mask.offset(queries.length(b), keys.length(b) - sinks); }
  /// The keys that the window lets query i of sequence b see, beside the sinks.
  [[nodiscard]] KeyRange visible(Index b, Index i) const {
    const Index position = i + offset(b), length = keys.length(b);
    const Index begin = mask.left() < 0 ? sinks : std::clamp(position - mask.left(), std::min(sinks, length), length);
    const Index end =
        mask.right() < 0 ? length : std::clamp(position + mask.right() + 1, begin, std::max(begin, length));
    return {std::min(begin, length), end};
  }
  /// The keys of [block.begin, block.end) that any of the queries [first, last] sees.
  [[nodiscard]] KeyRange visible(Index b, Index first, Index last, KeyRange block) const {
    const KeyRange low = visible(b, first), high = visible(b, last);
    KeyRange range{std::max(block.begin, low.begin), std::min(block.end, high.end)};
    const KeyRange sink{block.begin, std::min({block.end, sinks, keys.length(b)})};
    if (!sink.empty()) range = {block.begin, std::max(sink.end, range.end)};
    return range;
  }

  /// True if products need no more than exponent_factor() to become exponents of 2: the scores are plain, and all
  /// queries [first, last] see all keys of `range`.
  [[nodiscard]] bool is_plain(Index b, Index first, Index last, KeyRange range) const {
    if (!plain || !mask.allowed_plane().empty() || !mask.blocked_plane().empty()) return false;
    return visible(b, last).begin <= std::max(range.begin, sinks) && visible(b, first).end >= range.end;
  }
  /// Turns products <q_i, k_j> of the keys of `range` into what exponent_factor() turns into exponents of 2; what may
  /// not be attended to becomes minus infinity.
  void prepare(Index b, Index h, Index i, KeyRange range, T* scores, T* slopes) const {
    if (plain) {
      hide(b, h, i, range, scores);
    } else {
      score(b, h, i, range, scores, slopes);
    }
  }
  [[nodiscard]] T exponent_factor() const {
    constexpr T kLog2E = T(1.44269504088896340736);
    return plain ? scale * kLog2E : kLog2E;
  }

  /// Turns products <q_i, k_j> into scores; what may not be attended to becomes minus infinity.
  /// `scores` holds the keys of `range`. With a softcap, `slopes` (if not null) receives ds / d<q, k> / scale.
  void score(Index b, Index h, Index i, KeyRange range, T* scores, T* slopes) const {
    using simd::Pack;
    const Index n = range.end - range.begin;
    const Pack<T> factor = simd::broadcast(scale);
    if (softcap > 0) {
      const Pack<T> cap = simd::broadcast(softcap), one = simd::broadcast(T(1));
      const auto squash = [&](Pack<T> x) { return simd::tanh(x * factor / cap); };
      simd::map(n, scores, squash, static_cast<const T*>(scores));
      if (slopes != nullptr) {
        simd::map(
            n, slopes, [&](Pack<T> t) { return one - t * t; }, static_cast<const T*>(scores));
      }
      simd::map(
          n, scores, [&](Pack<T> t) { return t * cap; }, static_cast<const T*>(scores));
    } else {
      simd::map(
          n, scores, [&](Pack<T> x) { return x * factor; }, static_cast<const T*>(scores));
    }
    add_biases(b, h, i, range, scores);
    hide(b, h, i, range, scores);
  }

  /// Adds the keys' own biases, and to the scores of the keys after the sinks the bias and ALiBi's penalty.
  void add_biases(Index b, Index h, Index i, KeyRange range, T* scores) const {
    if (!key_bias.empty()) {
      simd::add_scaled(range.end - range.begin, scores, T(1), key_bias.data() + keys.begin(b) + range.begin);
    }
    const Index first = std::max(range.begin, sinks);
    if (!mask.bias_plane().empty()) {
      const T* bias = mask.bias_plane().row(b, h, i);
      for (Index j = first; j < range.end; ++j) scores[j - range.begin] += bias[j - sinks];
    }
    if (!alibi_slopes.empty()) {
      const Index position = i + offset(b);
      for (Index j = first; j < range.end; ++j) {
        const Index distance = j > position ? j - position : position - j;
        scores[j - range.begin] -= alibi_slopes(h) * static_cast<T>(distance);
      }
    }
  }

  /// Minus infinity where the window or a mask hides a key after the sinks.
  void hide(Index b, Index h, Index i, KeyRange range, T* scores) const {
    constexpr T hidden = -std::numeric_limits<T>::infinity();
    const KeyRange seen = visible(b, i);
    const Index first = std::max(range.begin, sinks);
    for (Index j = first; j < std::min(seen.begin, range.end); ++j) scores[j - range.begin] = hidden;
    for (Index j = std::max(first, seen.end); j < range.end; ++j) scores[j - range.begin] = hidden;
    if (!mask.allowed_plane().empty()) {
      const bool* allowed = mask.allowed_plane().row(b, h, i);
      for (Index j = first; j < range.end; ++j) {
        if (!allowed[j - sinks]) scores[j - range.begin] = hidden;
      }
    }
    if (!mask.blocked_plane().empty()) {
      const bool* blocked = mask.blocked_plane().row(b, h, i);
      for (Index j = first; j < range.end; ++j) {
        if (blocked[j - sinks]) scores[j - range.begin] = hidden;
      }
    }
  }

  /// Multiplies the weights of queries [i, i + rows) by the dropout's scales, the same in forward and
  /// backward.
  void drop(Index b, Index h, Index i, Index rows, KeyRange range, T* weights, Index stride) const {
    if (dropout.rate == 0) return;
    DropoutScales<T> scales(dropout.rate, dropout.random);
    const Index first = queries.begin(b) * heads + h * queries.length(b) + i;
    for (Index r = 0; r < rows; ++r) {
      const auto index = static_cast<std::uint64_t>((first + r) * dropout_row + range.begin);
      scales.multiply(index, range.end - range.begin, weights + r * stride, weights + r * stride);
    }
  }

  /// Multiplications of all scores, for parallel_for.
  [[nodiscard]] Index work() const {
    Index pairs = 0;
    for (Index b = 0; b < queries.count(); ++b) pairs += queries.length(b) * keys.length(b);
    return pairs * heads * (head_dim + value_dim);
  }
};

/// `count`, rounded up to whole packs.
template <class T>
[[nodiscard]] constexpr Index pack_width(Index count) {
  return (count + simd::Pack<T>::kSize - 1) / simd::Pack<T>::kSize * simd::Pack<T>::kSize;
}

/// Columns of `cols`, rounded up to whole panels.
template <class T>
[[nodiscard]] constexpr Index panel_width(Index cols) {
  return (cols + kPanelCols<T> - 1) / kPanelCols<T> * kPanelCols<T>;
}

/// Packs the matrix b [depth, cols], given by its strides, panel after panel: [panels][depth][kPanelCols].
template <class T>
void pack_panels(Index depth, Index cols, const T* b, Index b_row, Index b_col, T* panels) {
  for (Index j = 0; j < cols; j += kPanelCols<T>) {
    pack_panel(depth, std::min(kPanelCols<T>, cols - j), b + j * b_col, b_row, b_col, panels + j * depth);
  }
}

/// c [rows, cols] = start + a [rows, depth] b, where b was packed by pack_panels with `packed_depth` rows.
template <class T>
void multiply_panels(Index rows, Index cols, Index depth, const T* a, Index a_row, const T* panels, Index packed_depth,
                     T* c, Index c_row, MatmulStart<T> start) {
  for (Index j = 0; j < cols; j += kPanelCols<T>) {
    matmul_panel<T>(rows, std::min(kPanelCols<T>, cols - j),
                    {depth, a, a_row, 1, panels + j * packed_depth, kPanelCols<T>, c + j, c_row, start.at(0, j)});
  }
}

}  // namespace detail
}  // namespace MAT_ABI
}  // namespace mat
