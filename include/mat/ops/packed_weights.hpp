#pragma once

#include <mat/core/tensor.hpp>
#include <mat/ops/packed_panel.hpp>

#include <cmath>
#include <variant>

namespace mat {
inline namespace MAT_ABI {

/// How the weights of an inference are stored. What is computed with them is computed in T.
enum class WeightStorage {
  full,      ///< As they are, in T.
  bfloat16,  ///< 2 bytes: 8 significant bits.
  float16,   ///< 2 bytes: 11 significant bits, up to 65504.
  int8,      ///< 1 byte: steps of 1/127 of the largest weight of each row.
};

/// A weight matrix W laid out once for many products x W^T: panels of columns of W^T, one after the other.
///
/// Source:  Goto & van de Geijn (2008), "Anatomy of high-performance matrix multiplication", section 4.2 (packing);
///          Dettmers et al. (2022), "LLM.int8()", section 2 (one scale for each row).
/// Shapes:  weight [outputs, inputs].
/// Errors:  ValueError for weights that are not finite or too large for the storage.
/// Threads: a value; reading is safe.
template <class T>
class PackedWeights {
 public:
  PackedWeights() = default;
  explicit PackedWeights(ConstMatrixView<T> weight, WeightStorage storage = WeightStorage::full)
      : outputs_(weight.rows()), inputs_(weight.cols()), storage_(storage) {
    const Index panels = (outputs_ + detail::kPanelCols<T> - 1) / detail::kPanelCols<T>;
    const Index size = panels * depth() * detail::kPanelCols<T>;
    switch (storage) {
      case WeightStorage::full:
        fill(weight, numbers_.template emplace<Vector<T>>(Shape<1>{size}), [](T w, Index) { return w; });
        break;
      case WeightStorage::bfloat16:
        check_magnitude(weight, 0x1.FEp127);
        fill(weight, numbers_.template emplace<Vector<BFloat16>>(Shape<1>{size}),
             [](T w, Index) { return to_bfloat16(static_cast<float>(w)); });
        break;
      case WeightStorage::float16:
        check_magnitude(weight, 65504);
        fill(weight, numbers_.template emplace<Vector<Float16>>(Shape<1>{size}),
             [](T w, Index) { return to_float16(static_cast<float>(w)); });
        break;
      case WeightStorage::int8:
        check_magnitude(weight, std::numeric_limits<T>::max());
        set_scales(weight);
        fill(weight, numbers_.template emplace<Vector<std::int8_t>>(Shape<1>{size}), [this](T w, Index row) {
          const T steps = scales_(row) == T(0) ? T(0) : std::round(w / scales_(row));
          return static_cast<std::int8_t>(std::clamp(steps, T(-127), T(127)));
        });
    }
  }

  [[nodiscard]] Index outputs() const { return outputs_; }
  [[nodiscard]] Index inputs() const { return inputs_; }
  /// Rows of a panel: the inputs, rounded up to an even number, as int8 needs them.
  [[nodiscard]] Index depth() const { return inputs_ + inputs_ % 2; }
  [[nodiscard]] WeightStorage storage() const { return storage_; }
  /// Bytes of the numbers and the scales: what a product of one row reads.
  [[nodiscard]] Index bytes() const {
    const auto size_of = [](const auto& numbers) {
      return numbers.size() * static_cast<Index>(sizeof(*numbers.data()));
    };
    return std::visit(size_of, numbers_) + size_of(scales_);
  }
  /// Of each row, for int8; else empty.
  [[nodiscard]] ConstVectorView<T> scales() const { return scales_; }
  /// Calls fn(panels): of the stored type, [panels][depth()][kPanelCols], within a panel as PanelReader has it.
  template <class Function>
  void visit(const Function& fn) const {
    std::visit([&](const auto& numbers) { fn(numbers.data()); }, numbers_);
  }

 private:
  template <class Numbers, class Convert>
  void fill(ConstMatrixView<T> weight, Numbers& numbers, const Convert& convert) {
    using Reader = detail::PanelReader<T, std::remove_pointer_t<decltype(numbers.data())>>;
    constexpr Index kCols = detail::kPanelCols<T>;
    for (Index row = 0; row < outputs_; ++row) {
      auto* panel = numbers.data() + row / kCols * kCols * depth();
      for (Index k = 0; k < inputs_; ++k) panel[Reader::place(k, row % kCols)] = convert(weight(row, k), row);
    }
  }
  void set_scales(ConstMatrixView<T> weight) {
    scales_.resize({outputs_});
    for (Index row = 0; row < outputs_; ++row) {
      T largest = 0;
      for (Index k = 0; k < inputs_; ++k) largest = std::max(largest, std::abs(weight(row, k)));
      scales_(row) = largest / T(127);
    }
  }
  static void check_magnitude(ConstMatrixView<T> weight, double largest) {
    for (Index row = 0; row < weight.rows(); ++row) {
      for (Index k = 0; k < weight.cols(); ++k) {
        const double w = static_cast<double>(weight(row, k));
        check_value(std::abs(w) <= largest, "PackedWeights: a weight", w, "finite and within the storage's range");
      }
    }
  }

  Index outputs_ = 0, inputs_ = 0;
  WeightStorage storage_ = WeightStorage::full;
  std::variant<Vector<T>, Vector<BFloat16>, Vector<Float16>, Vector<std::int8_t>> numbers_;
  Vector<T> scales_;  // [outputs] for int8
};

}  // namespace MAT_ABI
}  // namespace mat
