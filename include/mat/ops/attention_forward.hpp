#pragma once

#include <mat/ops/attention_problem.hpp>
#include <mat/ops/packed_tile.hpp>

namespace mat {
inline namespace MAT_ABI {
namespace detail {

/// The forward pass of attention; one work item is a block of queries of one sequence and one key/value head.
template <class T>
class AttentionForward {
 public:
  /// Queries of a work item: enough to pay for packing the keys again, few enough to share a long sequence. About 1024.
  static constexpr Index kItemQueries = 43 * kTileQueries;
  /// Keys that are packed at once, to be read again by every tile: they should stay in the second-level cache.
  static constexpr Index kPackedKeys = 4 * kBlockKeys;
  /// Up to so many queries that share their keys, packing the keys would cost more than it saves: decoding.
  static constexpr Index kFewQueries = 4;
  static constexpr T kNothing = -std::numeric_limits<T>::infinity();

  AttentionForward(const AttentionProblem<T>& problem, AttentionCache<T>& cache)
      : p_(problem),
        packed_keys_(most_packed_keys(problem)),
        item_queries_(std::min(kItemQueries, problem.queries.longest())),
        y_(cache.y),
        highest_(cache.highest),
        log_sum_(cache.log_sum) {
    const Index packed = packed_keys_ * (p_.head_dim + panel_width<T>(p_.value_dim));
    const Index tiles = kTileQueries * (kScoreStride + query_stride());
    // Few queries are an item with all heads.
    statistics_ = std::max(p_.group * item_queries_, p_.kv_heads * kFewQueries);
    cache.workspace.resize({max_threads(), packed + tiles + 2 * statistics_});
    workspace_ = cache.workspace;
  }

  void run() const {
    const Index blocks_per_sequence = (p_.queries.longest() + kItemQueries - 1) / kItemQueries;
    const Index items = p_.queries.count() * p_.kv_heads * blocks_per_sequence;
    parallel_for(items, p_.work(), [&](Index item, Index thread) {
      const Index block = item % blocks_per_sequence, rest = item / blocks_per_sequence;
      const Index b = rest / p_.kv_heads, first = block * kItemQueries;
      const Index kv_head = rest % p_.kv_heads, count = std::min(kItemQueries, p_.queries.length(b) - first);
      if (count <= 0) return;
      if (p_.group * count > kFewQueries) {
        run_item(b, kv_head, first, count, workspace(thread));
      } else if (kv_head == 0) {
        run_few(b, first, count, workspace(thread));
      }
    });
  }

 private:
  /// Whole blocks, of all keys that there is room for: a sequence that grows token by token must not need more memory
  /// with each.
  [[nodiscard]] static Index most_packed_keys(const AttentionProblem<T>& p) {
    const Index keys = p.packed_keys == nullptr ? p.keys.longest() : p.packed_keys->config().capacity;
    return std::min(kPackedKeys, (keys + kBlockKeys - 1) / kBlockKeys * kBlockKeys);
  }

  /// Scratch memory of one thread.
  struct Workspace {
    T* keys;     // packed, transposed: [panels][head_dim][kPanelCols]
    T* values;   // packed: [panels][keys][kPanelCols]
    T* scores;   // [kTileQueries, kScoreStride]
    T* queries;  // of a tile: [kTileQueries, query_stride()]
    T* highest;  // [heads of the item, item_queries]: the largest score so far, before exponent_factor()
    T* sums;     // [heads of the item, item_queries]: the sum of 2^((score - highest) factor) so far
  };

  /// The queries of one tile.
  struct Tile {
    Index b, h;         // sequence and head
    Index first, rows;  // [first, first + rows) of the sequence
    T* y;               // the first row's output for this head
    T* highest;         // [rows]
    T* sums;            // [rows]
  };

  [[nodiscard]] Workspace workspace(Index thread) const {
    T* keys = workspace_.row(thread);
    T* values = keys + packed_keys_ * p_.head_dim;
    T* scores = values + packed_keys_ * panel_width<T>(p_.value_dim);
    T* queries = scores + kTileQueries * kScoreStride;
    T* highest = queries + kTileQueries * query_stride();
    return {keys, values, scores, queries, highest, highest + statistics_};
  }
  /// Between the copied queries: not a power of two, as kScoreStride.
  [[nodiscard]] Index query_stride() const { return p_.head_dim + 16; }

  void run_item(Index b, Index kv_head, Index first, Index count, const Workspace& w) const {
    const Index first_head = kv_head * p_.group;
    begin(b, first_head, p_.group, first, count, w);
    for (Index j = 0; j < p_.keys.length(b); j += packed_keys_) {
      const KeyRange keys{j, std::min(j + packed_keys_, p_.keys.length(b))};
      if (p_.visible(b, first, first + count - 1, keys).empty()) continue;
      pack_values(b, kv_head, keys, w);
      if (p_.packed_keys == nullptr) pack_keys(b, kv_head, keys, w);
      for (Index g = 0; g < p_.group; ++g) {
        for (Index i = 0; i < count; i += kTileQueries) {
          run_tile(tile(b, first_head + g, first + i, std::min(kTileQueries, count - i), g * count + i, w), keys, w);
        }
      }
    }
    finish(b, first_head, p_.group, first, count, w);
  }

  /// A few queries of all heads: values are read where they are, in the order in which they lie there, and keys too if
  /// they are packed. The bits are those of run_item.
  void run_few(Index b, Index first, Index count, const Workspace& w) const {
    begin(b, 0, p_.heads, first, count, w);
    const Index rows_of_head = p_.group * count, most_heads = std::max<Index>(1, kTileQueries / rows_of_head);
    for (Index j = 0; j < p_.keys.length(b); j += kBlockKeys) {
      const KeyRange block{j, std::min(j + kBlockKeys, p_.keys.length(b))};
      KeyRange seen = p_.visible(b, first, first + count - 1, block);
      if (seen.empty()) continue;
      seen.begin = block.begin + (seen.begin - block.begin) / kPanelCols<T> * kPanelCols<T>;
      for (Index kv_head = 0; kv_head < p_.kv_heads; kv_head += most_heads) {
        const Index kv_heads = std::min(most_heads, p_.kv_heads - kv_head);
        few_scores(b, kv_head, kv_heads, first, count, seen, w);
        for (Index i = 0; i < kv_heads * p_.group; ++i) {
          const Index h = kv_head * p_.group + i;
          weigh(tile(b, h, first, count, h * count, w), seen, w.scores + i * count * kScoreStride);
        }
        few_values(b, kv_head, kv_heads, first, count, seen, w);
      }
    }
    finish(b, 0, p_.heads, first, count, w);
  }

  /// The products of the queries of heads [kv_head, kv_head + kv_heads), [heads * count, kScoreStride], with the keys
  /// of `seen`.
  void few_scores(Index b, Index kv_head, Index kv_heads, Index first, Index count, KeyRange seen,
                  const Workspace& w) const {
    const Index n = seen.end - seen.begin, d = p_.head_dim, stride = p_.q.row_stride();
    const auto query = [&](Index h) { return p_.q.row(p_.queries.begin(b) + first) + h * d; };
    const auto keys = [&](Index head) { return p_.packed_keys->panels(b, head, seen.begin); };
    if (p_.packed_keys != nullptr && p_.group * count == 1) {  // a query of each head, with keys of its own
      const Index keys_row = kv_heads > 1 ? keys(kv_head + 1) - keys(kv_head) : 0;
      return score_rows(kv_heads, query(kv_head), d, keys(kv_head), keys_row, n, w.scores);
    }
    for (Index i = 0; i < kv_heads; ++i) {
      if (p_.packed_keys == nullptr) pack_keys(b, kv_head + i, seen, w);
      const T* shared = p_.packed_keys == nullptr ? w.keys : keys(kv_head + i);
      T* scores = w.scores + i * p_.group * count * kScoreStride;
      if (count == 1) {
        score_rows(p_.group, query((kv_head + i) * p_.group), d, shared, 0, n, scores);
        continue;
      }
      for (Index g = 0; g < p_.group; ++g) {
        score_rows(count, query((kv_head + i) * p_.group + g), stride, shared, 0, n, scores + g * count * kScoreStride);
      }
    }
  }

  /// Scores [rows, kScoreStride] of queries `q_row` apart with n keys each, those of a query `keys_row` apart from
  /// those of the one before. Few sums at once would wait for each other: four queries, or four panels of one.
  void score_rows(Index rows, const T* q, Index q_row, const T* keys, Index keys_row, Index n, T* scores) const {
    constexpr Index kGroup = 4;
    const Index d = p_.head_dim;
    Index r = 0;
    for (; r + kGroup <= rows; r += kGroup) {
      for (Index j = 0; j < n; j += kPanelCols<T>) {
        packed_rows<T, kGroup>(d, q + r * q_row, q_row, keys + r * keys_row + j * d, keys_row,
                               scores + r * kScoreStride + j, kScoreStride);
      }
    }
    for (; r < rows; ++r) {
      const T* x = q + r * q_row;
      const T* panels = keys + r * keys_row;
      T* row = scores + r * kScoreStride;
      Index j = 0;
      for (; j + kGroup * kPanelCols<T> <= panel_width<T>(n); j += kGroup * kPanelCols<T>) {
        packed_tile<T, T, 1, kGroup>(d, x, 0, panels + j * d, d * kPanelCols<T>, row + j);
      }
      for (; j < n; j += kPanelCols<T>) packed_tile<T, T, 1, 1>(d, x, 0, panels + j * d, 0, row + j);
    }
  }

  /// Adds the weighted values of heads [kv_head, kv_head + kv_heads), whose weights lie in the scores.
  void few_values(Index b, Index kv_head, Index kv_heads, Index first, Index count, KeyRange seen,
                  const Workspace& w) const {
    const Index n = seen.end - seen.begin;
    const T* v = p_.v.row(p_.keys.begin(b) + seen.begin) + kv_head * p_.value_dim;
    if (p_.group * count == 1) {  // then the values of all heads are as many columns as y has
      T* y = y_.row(p_.queries.begin(b) + first) + kv_head * p_.value_dim;
      return simd::add_weighted_rows(n, {kv_heads, p_.value_dim}, w.scores, kScoreStride, v, p_.v.row_stride(), y);
    }
    for (Index r = 0; r < kv_heads * p_.group * count; ++r) {
      const Index head = r / count, of = head / p_.group;
      T* y = y_.row(p_.queries.begin(b) + first + r % count) + (kv_head * p_.group + head) * p_.value_dim;
      simd::add_weighted_rows(n, {1, p_.value_dim}, w.scores + r * kScoreStride, 0, v + of * p_.value_dim,
                              p_.v.row_stride(), y);
    }
  }

  /// Queries [first, first + rows) of a head, whose statistics lie at `at`.
  [[nodiscard]] Tile tile(Index b, Index h, Index first, Index rows, Index at, const Workspace& w) const {
    T* y = y_.row(p_.queries.begin(b) + first) + h * p_.value_dim;
    return {b, h, first, rows, y, w.highest + at, w.sums + at};
  }

  void pack_keys(Index b, Index kv_head, KeyRange keys, const Workspace& w) const {
    const T* k = p_.k.row(p_.keys.begin(b) + keys.begin) + kv_head * p_.head_dim;
    pack_panels<T>(p_.head_dim, keys.end - keys.begin, k, 1, p_.k.row_stride(), w.keys);
  }
  void pack_values(Index b, Index kv_head, KeyRange keys, const Workspace& w) const {
    const T* v = p_.v.row(p_.keys.begin(b) + keys.begin) + kv_head * p_.value_dim;
    pack_panels<T>(keys.end - keys.begin, p_.value_dim, v, p_.v.row_stride(), 1, w.values);
  }

  /// A tile of queries against all packed keys.
  void run_tile(const Tile& tile, KeyRange keys, const Workspace& w) const {
    if (p_.visible(tile.b, tile.first, tile.first + tile.rows - 1, keys).empty()) return;
    const T* q = p_.q.row(p_.queries.begin(tile.b) + tile.first) + tile.h * p_.head_dim;
    for (Index r = 0; r < tile.rows; ++r) {
      simd::copy(p_.head_dim, q + r * p_.q.row_stride(), w.queries + r * query_stride());
    }
    const T* packed =
        p_.packed_keys == nullptr ? w.keys : p_.packed_keys->panels(tile.b, tile.h / p_.group, keys.begin);
    for (Index j = keys.begin; j < keys.end; j += kBlockKeys) {
      const KeyRange block{j, std::min(j + kBlockKeys, keys.end)};
      KeyRange seen = p_.visible(tile.b, tile.first, tile.first + tile.rows - 1, block);
      if (seen.empty()) continue;
      // Whole panels: products of keys that no query of the tile sees are hidden with the rest.
      seen.begin = block.begin + (seen.begin - block.begin) / kPanelCols<T> * kPanelCols<T>;
      const Index n = seen.end - seen.begin, at = seen.begin - keys.begin;
      multiply_panels<T>(tile.rows, panel_width<T>(n), p_.head_dim, w.queries, query_stride(),
                         packed + at * p_.head_dim, p_.head_dim, w.scores, kScoreStride, {});
      weigh(tile, seen, w.scores);
      multiply_panels<T>(tile.rows, p_.value_dim, n, w.scores, kScoreStride, w.values + at * kPanelCols<T>,
                         keys.end - keys.begin, tile.y, y_.row_stride(), {tile.y, y_.row_stride()});
    }
  }

  /// Products become the weights 2^((score - highest) factor); sums and outputs so far are scaled to the new highest.
  /// Rows of `scores` have room up to whole packs: the weights there are 0.
  void weigh(const Tile& tile, KeyRange seen, T* scores) const {
    const Index n = seen.end - seen.begin, end = pack_width<T>(n);
    const bool plain = p_.is_plain(tile.b, tile.first, tile.first + tile.rows - 1, seen);
    const T factor = p_.exponent_factor();
    // The maxima of all rows first: then no exponential waits for its row's maximum.
    T before[kTileQueries];
    for (Index r = 0; r < tile.rows; ++r) {
      T* row = scores + r * kScoreStride;
      if (!plain) p_.prepare(tile.b, tile.h, tile.first + r, seen, row, nullptr);
      std::fill(row + n, row + end, kNothing);
      before[r] = tile.highest[r];
      tile.highest[r] = std::max(before[r], simd::largest_of(end, row));
    }
    T decay[kTileQueries];
    const simd::Pack<T> factors = simd::broadcast(factor);
    const auto decays = [factors](simd::Pack<T> old, simd::Pack<T> now) { return simd::exp2((old - now) * factors); };
    simd::map(tile.rows, decay, decays, static_cast<const T*>(before), static_cast<const T*>(tile.highest));
    for (Index r = 0; r < tile.rows; ++r) {
      T* row = scores + r * kScoreStride;
      if (tile.highest[r] == kNothing) {
        tile.sums[r] += weigh_nothing(n, row);
        continue;
      }
      // Exactly 1, so that blocks in which a row sees nothing leave its bits alone.
      if (before[r] == tile.highest[r]) decay[r] = T(1);
      tile.sums[r] = tile.sums[r] * decay[r] + exponentiate(end, row, factor, tile.highest[r]);
      T* y = tile.y + r * y_.row_stride();
      if (before[r] != kNothing) simd::set_scaled(p_.value_dim, y, decay[r], y);
    }
    p_.drop(tile.b, tile.h, tile.first, tile.rows, seen, scores, kScoreStride);
  }

  /// Of scores that are all hidden: 0, unless a NaN, which the maximum passes over, is among them.
  [[nodiscard]] static T weigh_nothing(Index n, T* scores) {
    const T total = simd::sum_of(n, scores);
    const T weight = std::isnan(total) ? total : T(0);
    std::fill_n(scores, n, weight);
    return weight;
  }

  /// Scores [n], whole packs, become 2^((score - highest) factor); returns their sum. The difference comes first: it is
  /// exact for the highest score, however large it is.
  [[nodiscard]] static T exponentiate(Index n, T* scores, T factor, T highest) {
    using simd::Pack;
    const Pack<T> factors = simd::broadcast(factor), shift = simd::broadcast(highest);
    Pack<T> total = simd::broadcast(T(0));
    for (Index j = 0; j < n; j += Pack<T>::kSize) {
      const Pack<T> weight = simd::exp2((simd::load(scores + j) - shift) * factors);
      simd::store(scores + j, weight);
      total = total + weight;
    }
    return simd::sum(total);
  }

  /// Nothing is attended to yet by queries [first, first + count) of heads [first_head, first_head + heads).
  void begin(Index b, Index first_head, Index heads, Index first, Index count, const Workspace& w) const {
    std::fill_n(w.highest, heads * count, kNothing);
    std::fill_n(w.sums, heads * count, T(0));
    for (Index i = 0; i < count; ++i) {
      T* y = y_.row(p_.queries.begin(b) + first + i);
      std::fill_n(y + first_head * p_.value_dim, heads * p_.value_dim, T(0));
    }
  }

  /// Divides by the sums, and keeps them for the backward pass.
  void finish(Index b, Index first_head, Index heads, Index first, Index count, const Workspace& w) const {
    for (Index g = 0; g < heads; ++g) {
      for (Index i = 0; i < count; ++i) {
        const Index row = p_.queries.begin(b) + first + i, h = first_head + g;
        const T sum = w.sums[g * count + i];
        highest_(h, row) = w.highest[g * count + i];
        log_sum_(h, row) = std::log2(sum);
        T* y = y_.row(row) + h * p_.value_dim;
        if (sum != T(0)) simd::set_scaled(p_.value_dim, y, T(1) / sum, y);
      }
    }
  }

  const AttentionProblem<T>& p_;
  Index packed_keys_;   // most keys that are packed at once
  Index item_queries_;  // most queries of an item
  Index statistics_;    // most queries of an item, all its heads together
  MatrixView<T> y_;
  MatrixView<T> highest_, log_sum_;
  MatrixView<T> workspace_;
};

}  // namespace detail
}  // namespace MAT_ABI
}  // namespace mat
