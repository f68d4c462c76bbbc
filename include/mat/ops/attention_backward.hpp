#pragma once

#include <mat/ops/attention_problem.hpp>
#include <mat/ops/matmul.hpp>

namespace mat {
inline namespace MAT_ABI {
namespace detail {

/// The backward pass of attention; one work item is one sequence and one key/value head.
template <class T>
class AttentionBackward {
 public:
  AttentionBackward(const AttentionProblem<T>& problem, ConstMatrixView<T> dy, AttentionCache<T>& cache,
                    const AttentionGradients<T>& grads)
      : p_(problem), dy_(dy), y_(cache.y), highest_(cache.highest), log_sum_(cache.log_sum), grads_(grads) {
    cache.row_dot.resize({p_.heads, dy.rows()});
    row_dot_ = cache.row_dot;
    if (!grads.dkey_bias.empty()) {
      cache.dkey_bias.resize({p_.kv_heads, p_.v.rows()});
      cache.dkey_bias.fill(T(0));
      dkey_bias_ = cache.dkey_bias;
    }
    const Index packed = kBlockKeys * (p_.head_dim + p_.value_dim + panel_width<T>(p_.head_dim));
    const Index sums = kBlockKeys * (query_stride() + dy_stride());
    const Index tiles = kTileQueries * (4 * kScoreStride + query_stride() + dy_stride());
    cache.workspace.resize({max_threads(), packed + sums + tiles});
    workspace_ = cache.workspace;
  }

  void run() const {
    zero(grads_.dq);
    zero(grads_.dk);
    zero(grads_.dv);
    // Where sequences or heads share one bias, they add to it one after the other.
    const auto& bias = p_.mask.bias_plane();
    const Index batch = p_.queries.count();
    const bool one_batch = !grads_.dbias.empty() && bias.batch == 1,
               one_head = !grads_.dbias.empty() && bias.heads == 1;
    const Index batch_items = one_batch ? 1 : batch, head_items = one_head ? 1 : p_.kv_heads;
    parallel_for(batch_items * head_items, 3 * p_.work(), [&](Index item, Index thread) {
      const Index b0 = item / head_items, g0 = item % head_items;
      for (Index b = b0; b < (one_batch ? batch : b0 + 1); ++b) {
        for (Index g = g0; g < (one_head ? p_.kv_heads : g0 + 1); ++g) run_item(b, g, workspace(thread));
      }
    });
    if (!grads_.dkey_bias.empty()) add_column_sums<T>(dkey_bias_, grads_.dkey_bias);
  }

 private:
  /// A tile is higher and narrower than the forward's: dk and dv are sums over its rows.
  static constexpr Index kTileQueries = 2 * detail::kTileQueries;
  static constexpr Index kBlockKeys = detail::kBlockKeys / 2;
  static constexpr Index kScoreStride = kBlockKeys + 16;
  /// The logarithm of the sum of a row's weights, beyond that of one key: the others have 1.4% of the weight at most.
  static constexpr T kNearlyOneKey = T(0.02);

  /// Scratch memory of one thread.
  struct Workspace {
    T* keys_t;    // k^T packed: [panels][head_dim][kPanelCols]
    T* values_t;  // v^T packed: [panels][value_dim][kPanelCols]
    T* keys;      // k packed: [panels][kBlockKeys][kPanelCols]
    T* dkeys;     // of the block: [kBlockKeys, query_stride()]
    T* dvalues;   // of the block: [kBlockKeys, dy_stride()]
    T* queries;   // of a tile: [kTileQueries, query_stride()]
    T* dy;        // of a tile: [kTileQueries, dy_stride()]
    T* weights;   // p: [kTileQueries, kScoreStride]
    T* dropped;   // what dropout multiplies by, then dropout(p): [kTileQueries, kScoreStride]
    T* dscores;   // [kTileQueries, kScoreStride]
    T* slopes;    // of the softcap: [kTileQueries, kScoreStride]
  };

  [[nodiscard]] Workspace workspace(Index thread) const {
    constexpr Index tile = kTileQueries * kScoreStride;
    T* keys_t = workspace_.row(thread);
    T* values_t = keys_t + kBlockKeys * p_.head_dim;
    T* keys = values_t + kBlockKeys * p_.value_dim;
    T* dkeys = keys + kBlockKeys * panel_width<T>(p_.head_dim);
    T* dvalues = dkeys + kBlockKeys * query_stride();
    T* queries = dvalues + kBlockKeys * dy_stride();
    T* dy = queries + kTileQueries * query_stride();
    T* weights = dy + kTileQueries * dy_stride();
    return {keys_t,
            values_t,
            keys,
            dkeys,
            dvalues,
            queries,
            dy,
            weights,
            weights + tile,
            weights + 2 * tile,
            weights + 3 * tile};
  }
  /// Between copied rows, which are read as panels too: whole panels, but not a power of two, as kScoreStride.
  [[nodiscard]] Index query_stride() const { return panel_width<T>(p_.head_dim) + 16; }
  [[nodiscard]] Index dy_stride() const { return panel_width<T>(p_.value_dim) + 16; }

  static void zero(MatrixView<T> m) {
    for (Index i = 0; i < m.rows(); ++i) std::fill_n(m.row(i), m.cols(), T(0));
  }

  void run_item(Index b, Index kv_head, const Workspace& w) const {
    const Index n = p_.queries.length(b);
    for (Index h = kv_head * p_.group; h < (kv_head + 1) * p_.group; ++h) {
      for (Index row = p_.queries.begin(b); row < p_.queries.end(b); ++row) {
        const Index column = h * p_.value_dim;
        row_dot_(h, row) = simd::dot(p_.value_dim, dy_.row(row) + column, y_.row(row) + column);
      }
    }
    for (Index j = 0; j < p_.keys.length(b); j += kBlockKeys) {
      const KeyRange block{j, std::min(j + kBlockKeys, p_.keys.length(b))};
      if (n == 0 || p_.visible(b, 0, n - 1, block).empty()) continue;
      pack(b, kv_head, block, w);
      std::fill_n(w.dkeys, (block.end - block.begin) * query_stride(), T(0));
      std::fill_n(w.dvalues, (block.end - block.begin) * dy_stride(), T(0));
      for (Index h = kv_head * p_.group; h < (kv_head + 1) * p_.group; ++h) {
        for (Index i = 0; i < n; i += kTileQueries) run_tile(b, h, i, std::min(kTileQueries, n - i), block, w);
      }
      for (Index j2 = block.begin; j2 < block.end; ++j2) {
        const Index row = p_.keys.begin(b) + j2, at = j2 - block.begin;
        simd::copy<T>(p_.head_dim, w.dkeys + at * query_stride(), grads_.dk.row(row) + kv_head * p_.head_dim);
        simd::copy<T>(p_.value_dim, w.dvalues + at * dy_stride(), grads_.dv.row(row) + kv_head * p_.value_dim);
      }
    }
  }

  void pack(Index b, Index kv_head, KeyRange block, const Workspace& w) const {
    const Index n = block.end - block.begin, row = p_.keys.begin(b) + block.begin;
    const T* k = p_.k.row(row) + kv_head * p_.head_dim;
    const T* v = p_.v.row(row) + kv_head * p_.value_dim;
    pack_panels<T>(p_.head_dim, n, k, 1, p_.k.row_stride(), w.keys_t);
    pack_panels<T>(p_.value_dim, n, v, 1, p_.v.row_stride(), w.values_t);
    pack_panels<T>(n, p_.head_dim, k, p_.k.row_stride(), 1, w.keys);
  }

  /// Queries [i, i + rows) of head h against one block of keys.
  void run_tile(Index b, Index h, Index i, Index rows, KeyRange block, const Workspace& w) const {
    KeyRange seen = p_.visible(b, i, i + rows - 1, block);
    if (seen.empty()) return;
    seen.begin = block.begin + (seen.begin - block.begin) / kPanelCols<T> * kPanelCols<T>;
    const Index n = seen.end - seen.begin, at = seen.begin - block.begin, packed_keys = block.end - block.begin;
    const Index row = p_.queries.begin(b) + i, hk = p_.head_dim, hv = p_.value_dim;
    copy_rows(rows, hk, p_.q.row(row) + h * hk, p_.q.row_stride(), w.queries, query_stride());
    copy_rows(rows, hv, dy_.row(row) + h * hv, dy_.row_stride(), w.dy, dy_stride());
    multiply_panels<T>(rows, panel_width<T>(n), hk, w.queries, query_stride(), w.keys_t + at * hk, hk, w.weights,
                       kScoreStride, {});
    multiply_panels<T>(rows, panel_width<T>(n), hv, w.dy, dy_stride(), w.values_t + at * hv, hv, w.dscores,
                       kScoreStride, {});
    const bool plain = p_.is_plain(b, i, i + rows - 1, seen);
    if (p_.dropout.rate != 0) {
      for (Index r = 0; r < rows; ++r) std::fill_n(w.dropped + r * kScoreStride, pack_width<T>(n), T(1));
      p_.drop(b, h, i, rows, seen, w.dropped, kScoreStride);
    }
    for (Index r = 0; r < rows; ++r) score_gradient(b, h, i + r, seen, plain, r * kScoreStride, w);

    T* dq = grads_.dq.row(row) + h * hk;
    multiply_panels<T>(rows, hk, n, w.dscores, kScoreStride, w.keys + at * kPanelCols<T>, packed_keys, dq,
                       grads_.dq.row_stride(), {dq, grads_.dq.row_stride()});
    multiply_rows(n, hk, rows, w.dscores, w.queries, query_stride(), w.dkeys + at * query_stride());
    multiply_rows(n, hv, rows, p_.dropout.rate == 0 ? w.weights : w.dropped, w.dy, dy_stride(),
                  w.dvalues + at * dy_stride());
  }

  static void copy_rows(Index rows, Index cols, const T* from, Index from_stride, T* to, Index to_stride) {
    for (Index r = 0; r < rows; ++r) simd::copy(cols, from + r * from_stride, to + r * to_stride);
  }
  /// sums [n, cols] += tile^T rows, where tile is [depth, kScoreStride] and rows [depth, cols]; both have one stride.
  static void multiply_rows(Index n, Index cols, Index depth, const T* tile, const T* rows, Index stride, T* sums) {
    for (Index j = 0; j < cols; j += kPanelCols<T>) {
      matmul_panel<T>(n, std::min(kPanelCols<T>, cols - j),
                      {depth, tile, 1, kScoreStride, rows + j, stride, sums + j, stride, {sums + j, stride}});
    }
  }

  /// The logarithm of the sum of one key's weight, which is 2^0 as `exp2` rounds it.
  [[nodiscard]] static T log_sum_of_one() { return std::log2(simd::first(simd::exp2(simd::broadcast(T(0))))); }

  /// One row of a tile, at `at` in the tiles: products become weights p, and dp becomes scale * ds.
  void score_gradient(Index b, Index h, Index i, KeyRange seen, bool plain, Index at, const Workspace& w) const {
    using simd::Pack;
    const Index n = seen.end - seen.begin, row = p_.queries.begin(b) + i;
    T* weights = w.weights + at;
    T* dscores = w.dscores + at;
    const T log_sum = log_sum_(h, row);
    if (log_sum == -std::numeric_limits<T>::infinity()) {
      std::fill_n(weights, n, T(0));
      std::fill_n(w.dropped + at, n, T(0));
      std::fill_n(dscores, n, T(0));
      return;
    }
    if (!plain) p_.prepare(b, h, i, seen, weights, w.slopes + at);
    const Pack<T> factor = simd::broadcast(p_.exponent_factor()), highest = simd::broadcast(highest_(h, row));
    const Pack<T> log_sums = simd::broadcast(log_sum), dot = simd::broadcast(row_dot_(h, row));
    T* dropped = w.dropped + at;  // holds what dropout multiplies by
    const bool dropout = p_.dropout.rate != 0;
    // Without a bias or a softcap, which need ds itself, the scale is applied in the same pass.
    const bool bare = grads_.dbias.empty() && grads_.dkey_bias.empty() && p_.softcap == 0;
    const Pack<T> scale = simd::broadcast(bare ? p_.scale : T(1));
    for (Index j = 0; j < n; j += Pack<T>::kSize) {  // beyond n, up to a whole pack, is room that nobody reads
      const Pack<T> p = simd::exp2(simd::fma(simd::load(weights + j) - highest, factor, -log_sums));
      Pack<T> dp = simd::load(dscores + j);
      if (dropout) {
        const Pack<T> kept = simd::load(dropped + j);
        dp = dp * kept;
        simd::store(dropped + j, p * kept);
      }
      simd::store(weights + j, p);
      simd::store(dscores + j, p * (dp - dot) * scale);
    }
    if (log_sum - log_sum_of_one_ < kNearlyOneKey) balance(b, i, seen, weights, dscores);
    if (!bare) finish_score_gradient(b, h, i, seen, dscores, w.slopes + at);
  }

  /// Where nearly all of the weight is on one key, its ds is the small difference of large numbers. It is also what the
  /// others leave, for those of a row sum to 0: of one key alone it is exactly 0. For rows whose keys are all at hand.
  void balance(Index b, Index i, KeyRange seen, const T* weights, T* dscores) const {
    const KeyRange keys = p_.visible(b, i, i, {0, p_.keys.length(b)});
    if (keys.begin < seen.begin || keys.end > seen.end) return;
    const Index n = seen.end - seen.begin, largest = std::max_element(weights, weights + n) - weights;
    dscores[largest] = T(0);
    dscores[largest] = -simd::sum_of(n, dscores);
  }

  /// ds becomes scale * ds * slope, after it was added to dbias and dkey_bias.
  void finish_score_gradient(Index b, Index h, Index i, KeyRange seen, T* dscores, const T* slopes) const {
    using simd::Pack;
    const Index n = seen.end - seen.begin;
    if (!grads_.dbias.empty()) {
      T* dbias = grads_.dbias.data() + p_.mask.bias_plane().row_offset(b, h, i);
      for (Index j = std::max(seen.begin, p_.sinks); j < seen.end; ++j) {
        dbias[j - p_.sinks] += dscores[j - seen.begin];
      }
    }
    if (!grads_.dkey_bias.empty()) {
      simd::add_scaled<T>(n, dkey_bias_.row(h / p_.group) + p_.keys.begin(b) + seen.begin, T(1), dscores);
    }
    const Pack<T> scale = simd::broadcast(p_.scale);
    simd::map(
        n, dscores, [&](Pack<T> ds) { return ds * scale; }, static_cast<const T*>(dscores));
    if (p_.softcap == 0) return;
    simd::map(
        n, dscores, [](Pack<T> ds, Pack<T> slope) { return ds * slope; }, static_cast<const T*>(dscores), slopes);
  }

  const AttentionProblem<T>& p_;
  ConstMatrixView<T> dy_, y_, highest_, log_sum_;
  MatrixView<T> row_dot_, dkey_bias_, workspace_;
  const AttentionGradients<T>& grads_;
  T log_sum_of_one_ = log_sum_of_one();
};

}  // namespace detail
}  // namespace MAT_ABI
}  // namespace mat
