#pragma once

#include <mat/core/simd.hpp>
#include <mat/core/tensor.hpp>
#include <mat/ops/rows.hpp>

#include <algorithm>
#include <optional>
#include <string>

namespace mat {
inline namespace MAT_ABI {

namespace detail {

/// Throws ValueError unless every id lies in [0, rows).
inline void check_ids(Where what, ConstVectorView<Index> ids, Index rows) {
  for (Index t = 0; t < ids.size(); ++t) {
    const Index id = ids.data()[t];
    if (id >= 0 && id < rows) continue;
    throw_value_error(what.str() + "[" + std::to_string(t) + "]", std::to_string(id),
                      "in [0, " + std::to_string(rows) + ")");
  }
}

}  // namespace detail

/// y_t = table_{ids_t}.
///
/// Shapes:  table [n, d]; ids [tokens]; y [tokens, d].
/// Errors:  ShapeError if they do not fit; ValueError for an id outside of [0, n).
/// Threads: uses parallel_for; rows are independent.
template <class T>
void gather_rows(ConstMatrixView<T> table, ConstVectorView<Index> ids, MatrixView<T> y) {
  check_shape("gather_rows: y", y, {ids.size(), table.cols()});
  detail::check_ids("gather_rows: ids", ids, table.rows());
  detail::for_each_row(ids.size(), table.cols(),
                       [&](Index t) { std::copy_n(table.row(ids.data()[t]), table.cols(), y.row(t)); });
}

/// counts_i = how often i is among the ids.
///
/// Shapes: ids [tokens]; counts [n].
/// Errors: ValueError for an id outside of [0, n).
inline void count_ids(ConstVectorView<Index> ids, VectorView<Index> counts) {
  detail::check_ids("count_ids: ids", ids, counts.size());
  std::fill_n(counts.data(), counts.size(), Index{0});
  for (Index t = 0; t < ids.size(); ++t) ++counts.data()[ids.data()[t]];
}

/// What scatter_add_rows leaves out or weakens.
struct ScatterOptions {
  std::optional<Index> padding_id;  ///< Rows of this id are not added.
  ConstVectorView<Index> counts;    ///< [n] from count_ids: each row is divided by its id's count; empty: it is not.
};

/// table_{ids_t} += y_t, tokens in order: the gradient of gather_rows.
///
/// Shapes:  ids [tokens]; y [tokens, d]; table [n, d].
/// Errors:  ShapeError if they do not fit; ValueError for an id outside of [0, n).
/// Threads: uses parallel_for; sums are in the order of the tokens, for any number of threads.
template <class T>
void scatter_add_rows(ConstVectorView<Index> ids, ConstMatrixView<T> y, MatrixView<T> table,
                      const ScatterOptions& options = {}) {
  check_shape("scatter_add_rows: y", y, {ids.size(), table.cols()});
  if (!options.counts.empty()) check_shape("scatter_add_rows: counts", options.counts, {table.rows()});
  detail::check_ids("scatter_add_rows: ids", ids, table.rows());
  detail::for_each_column_block(table.cols(), ids.size(), [&](Index first, Index count) {
    for (Index t = 0; t < ids.size(); ++t) {
      const Index id = ids.data()[t];
      if (options.padding_id == id) continue;
      const T scale = options.counts.empty() ? T(1) : T(1) / static_cast<T>(options.counts.data()[id]);
      simd::add_scaled(count, table.row(id) + first, scale, y.row(t) + first);
    }
  });
}

}  // namespace MAT_ABI
}  // namespace mat
