#pragma once

#include <mat/ops/attention_problem.hpp>

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
    const Index wide_head = panel_width<T>(p_.head_dim), wide_value = panel_width<T>(p_.value_dim);
    const Index packed = kBlockKeys * (p_.head_dim + p_.value_dim + wide_head);
    const Index tiles = 4 * kTileQueries * kBlockKeys + kTileQueries * (wide_head + wide_value);
    cache.workspace.resize({max_threads(), packed + tiles});
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
  }

 private:
  /// Scratch memory of one thread.
  struct Workspace {
    T* keys_t;    // k^T packed: [panels][head_dim][kPanelCols]
    T* values_t;  // v^T packed: [panels][value_dim][kPanelCols]
    T* keys;      // k packed: [panels][kBlockKeys][kPanelCols]
    T* queries;   // q of a tile, packed: [panels][kTileQueries][kPanelCols]
    T* dy;        // dy of a tile, packed: [panels][kTileQueries][kPanelCols]
    T* weights;   // p: [kTileQueries, kBlockKeys]
    T* dropped;   // dropout(p): [kTileQueries, kBlockKeys]
    T* dscores;   // [kTileQueries, kBlockKeys]
    T* slopes;    // of the softcap: [kTileQueries, kBlockKeys]
  };

  [[nodiscard]] Workspace workspace(Index thread) const {
    constexpr Index tile = kTileQueries * kBlockKeys;
    T* keys_t = workspace_.row(thread);
    T* values_t = keys_t + kBlockKeys * p_.head_dim;
    T* keys = values_t + kBlockKeys * p_.value_dim;
    T* queries = keys + kBlockKeys * panel_width<T>(p_.head_dim);
    T* dy = queries + kTileQueries * panel_width<T>(p_.head_dim);
    T* weights = dy + kTileQueries * panel_width<T>(p_.value_dim);
    return {keys_t, values_t, keys, queries, dy, weights, weights + tile, weights + 2 * tile, weights + 3 * tile};
  }

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
      for (Index h = kv_head * p_.group; h < (kv_head + 1) * p_.group; ++h) {
        for (Index i = 0; i < n; i += kTileQueries) run_tile(b, h, i, std::min(kTileQueries, n - i), block, w);
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
    const Index skipped = (seen.begin - block.begin) / kPanelCols<T> * kPanelCols<T>;
    seen.begin = block.begin + skipped;
    const Index n = seen.end - seen.begin, kv_head = h / p_.group;
    const Index row = p_.queries.begin(b) + i, key_row = p_.keys.begin(b) + seen.begin;
    const T* q = p_.q.row(row) + h * p_.head_dim;
    const T* dy = dy_.row(row) + h * p_.value_dim;
    multiply_panels<T>(rows, panel_width<T>(n), p_.head_dim, q, p_.q.row_stride(), 1, w.keys_t + skipped * p_.head_dim,
                       p_.head_dim, w.weights, kBlockKeys, MatmulStart::zero);
    multiply_panels<T>(rows, panel_width<T>(n), p_.value_dim, dy, dy_.row_stride(), 1,
                       w.values_t + skipped * p_.value_dim, p_.value_dim, w.dscores, kBlockKeys, MatmulStart::zero);
    for (Index r = 0; r < rows; ++r) score_gradient(b, h, i + r, seen, r * kBlockKeys, w);

    const Index packed_rows = block.end - block.begin;
    multiply_panels<T>(rows, p_.head_dim, n, w.dscores, kBlockKeys, 1, w.keys + skipped * kPanelCols<T>, packed_rows,
                       grads_.dq.row(row) + h * p_.head_dim, grads_.dq.row_stride(), MatmulStart::add);
    pack_panels<T>(rows, p_.head_dim, q, p_.q.row_stride(), 1, w.queries);
    multiply_panels<T>(n, p_.head_dim, rows, w.dscores, 1, kBlockKeys, w.queries, rows,
                       grads_.dk.row(key_row) + kv_head * p_.head_dim, grads_.dk.row_stride(), MatmulStart::add);
    pack_panels<T>(rows, p_.value_dim, dy, dy_.row_stride(), 1, w.dy);
    multiply_panels<T>(n, p_.value_dim, rows, p_.dropout.rate == 0 ? w.weights : w.dropped, 1, kBlockKeys, w.dy, rows,
                       grads_.dv.row(key_row) + kv_head * p_.value_dim, grads_.dv.row_stride(), MatmulStart::add);
  }

  /// One row of a tile, at `at` in the tiles: products become weights p, and dp becomes scale * ds.
  void score_gradient(Index b, Index h, Index i, KeyRange seen, Index at, const Workspace& w) const {
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
    p_.score(b, h, i, seen, weights, w.slopes + at);
    const Pack<T> highest = simd::broadcast(highest_(h, row)), log_sums = simd::broadcast(log_sum);
    const Pack<T> dot = simd::broadcast(row_dot_(h, row));
    simd::map(
        n, weights, [&](Pack<T> s) { return simd::exp((s - highest) - log_sums); }, static_cast<const T*>(weights));
    if (p_.dropout.rate != 0) {
      std::copy_n(weights, n, w.dropped + at);
      p_.drop(b, h, i, seen, w.dropped + at);
      p_.drop(b, h, i, seen, dscores);
    }
    simd::map(
        n, dscores, [&](Pack<T> p, Pack<T> dp) { return p * (dp - dot); }, static_cast<const T*>(weights),
        static_cast<const T*>(dscores));
    if (!grads_.dbias.empty()) {
      T* dbias = grads_.dbias.data() + p_.mask.bias_plane().row_offset(b, h, i);
      for (Index j = std::max(seen.begin, p_.sinks); j < seen.end; ++j) {
        dbias[j - p_.sinks] += dscores[j - seen.begin];
      }
    }
    const Pack<T> scale = simd::broadcast(p_.scale);
    simd::map(
        n, dscores, [&](Pack<T> ds) { return ds * scale; }, static_cast<const T*>(dscores));
    if (p_.softcap > 0) {
      simd::map(
          n, dscores, [](Pack<T> ds, Pack<T> slope) { return ds * slope; }, static_cast<const T*>(dscores),
          static_cast<const T*>(w.slopes + at));
    }
  }

  const AttentionProblem<T>& p_;
  ConstMatrixView<T> dy_, y_, highest_, log_sum_;
  MatrixView<T> row_dot_, workspace_;
  const AttentionGradients<T>& grads_;
};

}  // namespace detail
}  // namespace MAT_ABI
}  // namespace mat
