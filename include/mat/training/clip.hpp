#pragma once

#include <mat/layers/parameters.hpp>
#include <mat/ops/rows.hpp>

#include <cmath>
#include <limits>

namespace mat {
inline namespace MAT_ABI {

struct ClipConfig {
  double max_norm = 1.0;
  double norm_type = 2.0;  // p of the p-norm; infinity for the largest absolute value
};

namespace detail {

/// The sum of fn(x[i]) in double, in lanes that are the same wherever x lies.
template <class T, class Function>
[[nodiscard]] double sum_in_lanes(const T* x, Index n, const Function& fn) {
  constexpr Index kLanes = 8;
  double lanes[kLanes] = {};
  Index i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (Index lane = 0; lane < kLanes; ++lane) lanes[lane] += fn(static_cast<double>(x[i + lane]));
  }
  for (; i < n; ++i) lanes[i % kLanes] += fn(static_cast<double>(x[i]));
  double sum = 0.0;
  for (const double lane : lanes) sum += lane;
  return sum;
}

/// The same for large arrays: in pieces on several threads, whose sums are added up in their order.
template <class T, class Function>
[[nodiscard]] double sum_in_pieces(const T* x, Index n, const Function& fn) {
  constexpr Index kPiece = 1 << 15, kPieces = 64;
  double sum = 0.0, sums[kPieces];
  for (Index first = 0; first < n; first += kPieces * kPiece) {
    const Index count = std::min(n - first, kPieces * kPiece), pieces = (count + kPiece - 1) / kPiece;
    parallel_for(pieces, kReadWork * count, [&](Index i, int) {
      const Index begin = i * kPiece;
      sums[i] = sum_in_lanes(x + first + begin, std::min(kPiece, count - begin), fn);
    });
    for (Index i = 0; i < pieces; ++i) sum += sums[i];
  }
  return sum;
}

}  // namespace detail

/// The norm of all gradients together, as if they were one vector; NaN if one of them is.
///
/// Errors: ValueError for a norm_type of 0 or less.
template <class P>
[[nodiscard]] double grad_norm(const P& grads, double norm_type = 2.0) {
  check_value(norm_type > 0.0, "grad_norm: norm_type", norm_type, "more than 0");
  double total = 0.0;
  for_each_parameter(
      [&](const ParameterName&, const auto& g) {
        if (norm_type == 2.0) {
          total += detail::sum_in_pieces(g.data(), g.size(), [](double x) { return x * x; });
        } else if (norm_type == 1.0) {
          total += detail::sum_in_pieces(g.data(), g.size(), [](double x) { return std::abs(x); });
        } else if (norm_type < std::numeric_limits<double>::infinity()) {
          total +=
              detail::sum_in_pieces(g.data(), g.size(), [=](double x) { return std::pow(std::abs(x), norm_type); });
        } else {
          for (Index i = 0; i < g.size(); ++i) {
            const double x = std::abs(static_cast<double>(g.data()[i]));
            if (x > total || std::isnan(x)) total = x;
          }
        }
      },
      grads);
  if (norm_type == 2.0) return std::sqrt(total);
  return norm_type == std::numeric_limits<double>::infinity() ? total : std::pow(total, 1.0 / norm_type);
}

/// Scales all gradients together so that their norm is at most max_norm, and returns the norm they had.
///
///     g *= min(1, max_norm / (norm + 1e-6))
///
/// A norm that is not finite spoils every gradient: look at the result before the optimiser's step.
///
/// Source: PyTorch nn.utils.clip_grad_norm_.
/// Errors: ValueError for a negative max_norm or a norm_type of 0 or less.
template <class P>
double clip_grad_norm(P& grads, const ClipConfig& config = {}) {
  check_value(config.max_norm >= 0.0, "clip_grad_norm: max_norm", config.max_norm, "at least 0");
  const double norm = grad_norm(grads, config.norm_type);
  const double factor = config.max_norm / (norm + 1e-6);
  if (factor >= 1.0) return norm;
  for_each_parameter(
      [&](const ParameterName&, auto& g) {
        using T = typename std::decay_t<decltype(g)>::Scalar;
        const T f = static_cast<T>(factor);
        detail::for_each_piece(g.size(), 1, [&](Index begin, Index count) {
          for (Index i = begin; i < begin + count; ++i) g.data()[i] *= f;
        });
      },
      grads);
  return norm;
}

/// Limits every gradient to [-limit, limit].
///
/// Source: PyTorch nn.utils.clip_grad_value_.
/// Errors: ValueError for a negative limit.
template <class P>
void clip_grad_value(P& grads, double limit) {
  check_value(limit >= 0.0, "clip_grad_value: limit", limit, "at least 0");
  for_each_parameter(
      [&](const ParameterName&, auto& g) {
        using T = typename std::decay_t<decltype(g)>::Scalar;
        const T most = static_cast<T>(limit);
        for (Index i = 0; i < g.size(); ++i) {
          T& x = g.data()[i];
          x = x > most ? most : x < -most ? -most : x;
        }
      },
      grads);
}

}  // namespace MAT_ABI
}  // namespace mat
