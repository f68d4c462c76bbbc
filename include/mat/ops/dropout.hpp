#pragma once

#include <mat/core/random.hpp>
#include <mat/core/simd.hpp>
#include <mat/core/tensor.hpp>
#include <mat/ops/rows.hpp>

#include <algorithm>

namespace mat {
inline namespace MAT_ABI {

/// Which numbers are dropped: a plain argument, so that the layers know no training mode. At rate 0 nothing happens.
///
/// Whether element `index` is kept is a function of (random, index): backward and a tiled attention compute the mask
/// again instead of storing it, and it does not depend on the number of threads. A training step uses a random of its
/// own, and every place of a model one of its own: `dropout.split(key)`.
///
/// Source: Srivastava et al. (2014), "Dropout"; what is kept is divided by 1 - rate, as in PyTorch.
struct Dropout {
  double rate = 0;  ///< In [0, 1).
  Random random;

  /// The same rate with an independent mask, a function of this one and `key`.
  [[nodiscard]] Dropout split(std::uint64_t key) const { return {rate, rate > 0 ? random.split(key) : random}; }
};

/// Throws ValueError unless the rate lies in [0, 1).
inline void check_dropout(std::string_view what, const Dropout& dropout) {
  check_value(dropout.rate >= 0 && dropout.rate < 1, {what, "dropout rate"}, dropout.rate, "in [0, 1)");
}

namespace detail {

/// Numbers below this are dropped.
[[nodiscard]] inline std::uint32_t dropout_threshold(const Dropout& dropout) {
  return static_cast<std::uint32_t>(std::min(dropout.rate * 0x1p32, 0x1p32 - 1));
}

}  // namespace detail

/// What element `index` is multiplied by: 0 with probability `rate`, else 1 / (1 - rate).
[[nodiscard]] inline double dropout_scale(const Dropout& dropout, std::uint64_t index) {
  return dropout.random.bits(index) < detail::dropout_threshold(dropout) ? 0.0 : 1.0 / (1.0 - dropout.rate);
}

/// y_i = x_i dropout_scale(first + i) for i < n, at a quarter of the cost of n calls; y may be x.
template <class T>
void dropout_row(const Dropout& dropout, std::uint64_t first, Index n, const T* x, T* y) {
  constexpr Index kBlocks = 8;
  T scales[4 * kBlocks];
  const std::uint32_t threshold = detail::dropout_threshold(dropout);
  const T kept = static_cast<T>(1.0 / (1.0 - dropout.rate));
  std::uint64_t block = first / 4;
  Index skip = static_cast<Index>(first % 4);
  for (Index done = 0; done < n; skip = 0) {
    const Index count = std::min(4 * kBlocks - skip, n - done);
    for (Index i = 0; i < (skip + count + 3) / 4; ++i) {
      const Random::Block bits = dropout.random.block(block++);
      for (Index j = 0; j < 4; ++j) scales[4 * i + j] = bits[static_cast<std::size_t>(j)] < threshold ? T(0) : kept;
    }
    simd::map(
        count, y + done, [](simd::Pack<T> a, simd::Pack<T> scale) { return a * scale; }, x + done,
        static_cast<const T*>(scales) + skip);
    done += count;
  }
}

/// y_ij = x_ij dropout_scale(i ceil4(cols) + j), where ceil4 rounds up to a multiple of 4; y may be x.
///
/// Shapes:  x, y [rows, cols].
/// Errors:  ShapeError if they differ; ValueError for a rate outside of [0, 1).
/// Threads: uses parallel_for; an element's scale is a function of its place alone.
template <class T>
void dropout_forward(const Dropout& dropout, ConstMatrixView<T> x, MatrixView<T> y) {
  check_shape("dropout_forward: y", y, x.shape());
  check_dropout("dropout_forward", dropout);
  constexpr Index kWork = 16;
  const Index n = x.cols(), stride = (n + 3) / 4 * 4;
  detail::for_each_row(x.rows(), n * kWork, [&](Index i) {
    if (dropout.rate > 0) {
      dropout_row<T>(dropout, static_cast<std::uint64_t>(i * stride), n, x.row(i), y.row(i));
    } else if (x.row(i) != y.row(i)) {
      std::copy_n(x.row(i), n, y.row(i));
    }
  });
}

/// dx_ij = dy_ij dropout_scale(index), the index as in dropout_forward; dx may be dy.
///
/// Shapes:  dy, dx [rows, cols].
/// Errors:  as dropout_forward.
/// Threads: as dropout_forward.
template <class T>
void dropout_backward(const Dropout& dropout, ConstMatrixView<T> dy, MatrixView<T> dx) {
  dropout_forward<T>(dropout, dy, dx);
}

}  // namespace MAT_ABI
}  // namespace mat
