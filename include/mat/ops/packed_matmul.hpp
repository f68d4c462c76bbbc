#pragma once

#include <mat/core/parallel.hpp>
#include <mat/ops/packed_tile.hpp>
#include <mat/ops/packed_weights.hpp>

namespace mat {
inline namespace MAT_ABI {
namespace detail {

/// One product y = x W^T + bias with packed weights of one stored type.
template <class T, class Stored>
class PackedMatmul {
 public:
  /// Panels that are read at once.
  static constexpr Index kGroup = 4;
  /// From so many rows on, a panel is converted to T once and multiplied by the kernel of matmul.
  static constexpr Index kManyRows = 9;

  PackedMatmul(ConstMatrixView<T> x, const PackedWeights<T>& weights, const Stored* panels, MatrixView<T> y,
               const T* bias)
      : x_(x),
        panels_(panels),
        y_(y),
        bias_(bias),
        scales_(weights.scales()),
        inputs_(weights.inputs()),
        depth_(weights.depth()) {}

  void run() const {
    constexpr Index kItemRows = 240, kItemCols = kGroup * kPanelCols<T>;
    const Index row_items = (x_.rows() + kItemRows - 1) / kItemRows;
    const Index col_items = (y_.cols() + kItemCols - 1) / kItemCols;
    parallel_for(row_items * col_items, x_.rows() * y_.cols() * inputs_, [&](Index item, int) {
      const Index row = item / col_items * kItemRows, col = item % col_items * kItemCols;
      run_item(row, std::min(kItemRows, x_.rows() - row), col, std::min(kItemCols, y_.cols() - col));
    });
  }

 private:
  using Pack = simd::Pack<T>;

  /// As in matmul, the inner dimension is walked in steps of kPanelDepth, so that the bits are the same.
  void run_item(Index row, Index rows, Index col, Index cols) const {
    for (Index k = 0; k == 0 || k < inputs_; k += kPanelDepth) {
      const Index depth = std::min(kPanelDepth, inputs_ - k);
      if (rows >= kManyRows) {
        for (Index j = 0; j < cols; j += kPanelCols<T>) many_rows(row, rows, col + j, k, depth);
      } else if (rows < 4 && cols > (kGroup - 1) * kPanelCols<T>) {
        few_rows<kGroup>(row, rows, col, k, depth);
      } else {
        for (Index j = 0; j < cols; j += kPanelCols<T>) few_rows<1>(row, rows, col + j, k, depth);
      }
    }
  }

  [[nodiscard]] const Stored* panel(Index col, Index k) const { return panels_ + col * depth_ + k * kPanelCols<T>; }

  void many_rows(Index row, Index rows, Index col, Index k, Index depth) const {
    const Index cols = std::min(kPanelCols<T>, y_.cols() - col);
    const T* x = x_.row(row) + k;
    if constexpr (std::is_same_v<T, Stored>) {
      T* y = y_.row(row) + col;
      const MatmulStart<T> bias{bias_ ? bias_ + col : nullptr}, add{y, y_.row_stride()};
      matmul_panel<T>(
          rows, cols,
          {depth, x, x_.row_stride(), 1, panel(col, k), kPanelCols<T>, y, y_.row_stride(), k > 0 ? add : bias});
    } else {
      alignas(64) T converted[kPanelDepth * kPanelCols<T>];
      alignas(64) T sums[kTileRows * kPanelCols<T>];
      convert(depth, panel(col, k), converted);
      for (Index r = 0; r < rows; r += kTileRows) {
        const Index count = std::min(kTileRows, rows - r);
        matmul_panel<T>(
            count, kPanelCols<T>,
            {depth, x + r * x_.row_stride(), x_.row_stride(), 1, converted, kPanelCols<T>, sums, kPanelCols<T>, {}});
        for (Index i = 0; i < count; ++i) add_sums(row + r + i, col, cols, k, sums + i * kPanelCols<T>);
      }
    }
  }

  /// `depth` rows of a panel, and one more where a reader gives two.
  static void convert(Index depth, const Stored* panel, T* converted) {
    using Reader = PanelReader<T, Stored>;
    for (Index k = 0; k < depth; k += Reader::kRows) {
      Pack w[Reader::kRows][kPanelPacks<T>];
      Reader::read(panel + k * kPanelCols<T>, w);
      for (Index i = 0; i < Reader::kRows; ++i) {
        for (Index p = 0; p < kPanelPacks<T>; ++p) {
          simd::store(converted + (k + i) * kPanelCols<T> + p * Pack::kSize, w[i][p]);
        }
      }
    }
  }

  template <Index kPanels>
  void few_rows(Index row, Index rows, Index col, Index k, Index depth) const {
    constexpr Index kWide = kPanels * kPanelCols<T>;
    // As many rows at once as leave registers for the weights.
    constexpr Index kMost = simd::kRegisters >= 32 ? (kPanels == 1 ? 8 : 2) : (kPanels == 1 ? 4 : 1);
    alignas(64) T sums[kMost * kWide];
    const Index cols = std::min(kWide, y_.cols() - col);
    const auto step = [&](auto tile_rows, Index& done) {
      constexpr Index kRows = decltype(tile_rows)::value;
      for (; done + kRows <= rows; done += kRows) {
        packed_tile<T, Stored, kRows, kPanels>(depth, x_.row(row + done) + k, x_.row_stride(), panel(col, k),
                                               depth_ * kPanelCols<T>, sums);
        for (Index r = 0; r < kRows; ++r) add_sums(row + done + r, col, cols, k, sums + r * kWide);
      }
    };
    Index done = 0;
    step(std::integral_constant<Index, kMost>(), done);
    step(std::integral_constant<Index, 1>(), done);
  }

  /// y = (bias, or what the steps before left) + scale * sums.
  void add_sums(Index row, Index col, Index cols, Index k, const T* sums) const {
    T* y = y_.row(row) + col;
    const T* before = k > 0 ? y : bias_ ? bias_ + col : nullptr;
    if (!scales_.empty()) {
      const T* scales = scales_.data() + col;
      if (before == nullptr) {
        simd::map(cols, y, std::multiplies<>(), sums, scales);
      } else {
        simd::map(
            cols, y, [](Pack b, Pack s, Pack scale) { return simd::fma(s, scale, b); }, before, sums, scales);
      }
    } else if (before == nullptr) {
      std::copy_n(sums, cols, y);
    } else {
      simd::map(cols, y, std::plus<>(), before, sums);
    }
  }

  ConstMatrixView<T> x_;
  const Stored* panels_;
  MatrixView<T> y_;
  const T* bias_;
  ConstVectorView<T> scales_;
  Index inputs_, depth_;  // depth: rows of a panel
};

}  // namespace detail

/// y = x W^T + bias for weights that were packed once: for inference, and there for few rows above all.
///
/// With WeightStorage::full the bits are those of matmul(x, transposed(W), y, bias).
///
/// Shapes:  x [m, inputs]; y [m, outputs]; bias [outputs] or empty.
/// Errors:  ShapeError if they do not fit.
/// Threads: uses parallel_for; the bits of y do not depend on the number of threads, nor a row's on the other rows.
template <class T>
void packed_matmul(ConstMatrixView<T> x, const PackedWeights<T>& weights, MatrixView<T> y,
                   ConstVectorView<T> bias = {}) {
  check_shape("packed_matmul: x", x, {kAny, weights.inputs()});
  check_shape("packed_matmul: y", y, {x.rows(), weights.outputs()});
  if (!bias.empty()) check_shape("packed_matmul: bias", bias, {weights.outputs()});
  weights.visit([&](const auto* panels) {
    using Stored = std::remove_const_t<std::remove_pointer_t<decltype(panels)>>;
    detail::PackedMatmul<T, Stored>(x, weights, panels, y, bias.empty() ? nullptr : bias.data()).run();
  });
}

}  // namespace MAT_ABI
}  // namespace mat
