#pragma once

#include <mat/ops/attention_problem.hpp>

namespace mat {
inline namespace MAT_ABI {
namespace detail {

/// The forward pass of attention; one work item is a block of queries of one sequence and one key/value head.
template <class T>
class AttentionForward {
 public:
  /// Queries of a work item: enough to pay for packing the keys again, few enough to share a long sequence.
  static constexpr Index kItemQueries = 32 * kTileQueries;

  AttentionForward(const AttentionProblem<T>& problem, AttentionCache<T>& cache)
      : p_(problem), y_(cache.y), highest_(cache.highest), log_sum_(cache.log_sum) {
    const Index packed_keys = kBlockKeys * p_.head_dim;
    const Index packed_values = kBlockKeys * panel_width<T>(p_.value_dim);
    const Index statistics = 2 * p_.group * kItemQueries;
    cache.workspace.resize({max_threads(), packed_keys + packed_values + kTileQueries * kBlockKeys + statistics});
    workspace_ = cache.workspace;
  }

  void run() const {
    const Index blocks_per_sequence = (p_.queries.longest() + kItemQueries - 1) / kItemQueries;
    const Index items = p_.queries.count() * p_.kv_heads * blocks_per_sequence;
    parallel_for(items, p_.work(), [&](Index item, Index thread) {
      const Index block = item % blocks_per_sequence, rest = item / blocks_per_sequence;
      const Index b = rest / p_.kv_heads, first = block * kItemQueries;
      if (first < p_.queries.length(b)) run_item(b, rest % p_.kv_heads, first, workspace(thread));
    });
  }

 private:
  /// Scratch memory of one thread.
  struct Workspace {
    T* keys;     // packed, transposed: [panels][head_dim][kPanelCols]
    T* values;   // packed: [panels][kBlockKeys][kPanelCols]
    T* scores;   // [kTileQueries, kBlockKeys]
    T* highest;  // [group, kItemQueries]: the largest score so far
    T* sums;     // [group, kItemQueries]: the sum of exp(score - highest) so far
  };

  [[nodiscard]] Workspace workspace(Index thread) const {
    T* keys = workspace_.row(thread);
    T* values = keys + kBlockKeys * p_.head_dim;
    T* scores = values + kBlockKeys * panel_width<T>(p_.value_dim);
    T* highest = scores + kTileQueries * kBlockKeys;
    return {keys, values, scores, highest, highest + p_.group * kItemQueries};
  }

  void run_item(Index b, Index kv_head, Index first, const Workspace& w) const {
    const Index count = std::min(kItemQueries, p_.queries.length(b) - first);
    std::fill_n(w.highest, p_.group * kItemQueries, -std::numeric_limits<T>::infinity());
    std::fill_n(w.sums, p_.group * kItemQueries, T(0));
    bool begun = false;
    for (Index j = 0; j < p_.keys.length(b); j += kBlockKeys) {
      const KeyRange block{j, std::min(j + kBlockKeys, p_.keys.length(b))};
      if (p_.visible(b, first, first + count - 1, block).empty()) continue;
      pack(b, kv_head, block, w);
      for (Index g = 0; g < p_.group; ++g) {
        for (Index i = 0; i < count; i += kTileQueries) {
          run_tile(b, g, kv_head * p_.group + g, first, i, std::min(kTileQueries, count - i), block, begun, w);
        }
      }
      begun = true;
    }
    for (Index g = 0; g < p_.group; ++g) finish(b, g, kv_head * p_.group + g, first, count, begun, w);
  }

  void pack(Index b, Index kv_head, KeyRange block, const Workspace& w) const {
    const Index n = block.end - block.begin, row = p_.keys.begin(b) + block.begin;
    pack_panels<T>(p_.head_dim, n, p_.k.row(row) + kv_head * p_.head_dim, 1, p_.k.row_stride(), w.keys);
    pack_panels<T>(n, p_.value_dim, p_.v.row(row) + kv_head * p_.value_dim, p_.v.row_stride(), 1, w.values);
  }

  /// Queries [first + i, first + i + rows) of head h against one block of keys. The first block of an item sets y.
  void run_tile(Index b, Index g, Index h, Index first, Index i, Index rows, KeyRange block, bool begun,
                const Workspace& w) const {
    T* y = y_.row(p_.queries.begin(b) + first + i) + h * p_.value_dim;
    KeyRange seen = p_.visible(b, first + i, first + i + rows - 1, block);
    if (seen.empty()) {
      if (!begun) {
        for (Index r = 0; r < rows; ++r) std::fill_n(y + r * y_.row_stride(), p_.value_dim, T(0));
      }
      return;
    }
    // Whole panels: products of keys that no query of the tile sees are hidden with the rest.
    const Index skipped = (seen.begin - block.begin) / kPanelCols<T> * kPanelCols<T>;
    seen.begin = block.begin + skipped;
    const Index n = seen.end - seen.begin;
    const T* q = p_.q.row(p_.queries.begin(b) + first + i) + h * p_.head_dim;
    multiply_panels<T>(rows, panel_width<T>(n), p_.head_dim, q, p_.q.row_stride(), 1, w.keys + skipped * p_.head_dim,
                       p_.head_dim, w.scores, kBlockKeys, MatmulStart::zero);
    for (Index r = 0; r < rows; ++r) {
      T* scores = w.scores + r * kBlockKeys;
      p_.score(b, h, first + i + r, seen, scores, nullptr);
      const Index statistic = g * kItemQueries + i + r;
      const T decay = exponentiate(n, scores, w.highest[statistic], w.sums[statistic]);
      p_.drop(b, h, first + i + r, seen, scores);
      if (begun && decay != T(1)) scale_row(y + r * y_.row_stride(), decay);
    }
    const Index packed_rows = block.end - block.begin;
    multiply_panels<T>(rows, p_.value_dim, n, w.scores, kBlockKeys, 1, w.values + skipped * kPanelCols<T>, packed_rows,
                       y, y_.row_stride(), begun ? MatmulStart::add : MatmulStart::zero);
  }

  /// Scores become exp(score - highest); returns what the sums so far must be multiplied by.
  [[nodiscard]] static T exponentiate(Index n, T* scores, T& highest, T& sum) {
    using simd::Pack;
    const T before = highest;
    const T now = std::max(before, simd::largest_of(n, scores));
    if (now == -std::numeric_limits<T>::infinity()) {
      // Nothing to attend to yet; unless a NaN, which the maximum passes over, is hidden among the scores.
      const T total = simd::sum_of(n, scores);
      const T weight = std::isnan(total) ? total : T(0);
      std::fill_n(scores, n, weight);
      sum += weight;
      return T(1);
    }
    const Pack<T> shift = simd::broadcast(now);
    simd::map(
        n, scores, [&](Pack<T> s) { return simd::exp(s - shift); }, static_cast<const T*>(scores));
    const T decay = before == now ? T(1) : std::exp(before - now);
    highest = now;
    sum = sum * decay + simd::sum_of(n, scores);
    return decay;
  }

  void scale_row(T* y, T factor) const {
    const simd::Pack<T> f = simd::broadcast(factor);
    simd::map(
        p_.value_dim, y, [&](simd::Pack<T> a) { return a * f; }, static_cast<const T*>(y));
  }

  /// Divides by the sums, and keeps them for the backward pass.
  void finish(Index b, Index g, Index h, Index first, Index count, bool begun, const Workspace& w) const {
    for (Index i = 0; i < count; ++i) {
      const Index row = p_.queries.begin(b) + first + i;
      const T sum = w.sums[g * kItemQueries + i];
      T* y = y_.row(row) + h * p_.value_dim;
      highest_(h, row) = w.highest[g * kItemQueries + i];
      log_sum_(h, row) = std::log(sum);
      if (!begun) {
        std::fill_n(y, p_.value_dim, T(0));
      } else if (sum != T(0)) {
        scale_row(y, T(1) / sum);
      }
    }
  }

  const AttentionProblem<T>& p_;
  MatrixView<T> y_;
  MatrixView<T> highest_, log_sum_;
  MatrixView<T> workspace_;
};

}  // namespace detail
}  // namespace MAT_ABI
}  // namespace mat
