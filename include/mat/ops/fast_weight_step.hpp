#pragma once

#include <mat/ops/fast_weights.hpp>

#include <cmath>

namespace mat {
inline namespace MAT_ABI {

/// How a surprise becomes the next weights. See fast_weight_step_forward.
template <class T>
struct FastWeightStep {
  T momentum = 0;        ///< mu: what is kept of the step before.
  T forgetting = 0;      ///< lambda: how far the weights return to where they started.
  double max_norm = 0;   ///< N of the soft clip; 0 is none.
  double curvature = 0;  ///< A bound on the curvature of the inner loss.
  double limit = 0;      ///< Of how far a stable step may go, in (0, 1]; 0 is none.
  double scale = 1;      ///< Of the step, before the limit.
  double norm = 0;       ///< |g|
};

/// The weights of a sequence before a step; `start` is what forgetting returns to.
template <class T>
struct FastWeightStepInputs {
  FastWeights<const T> weights, momentum, start, gradient;
};

/// What fast_weight_step_backward finds out beside the gradients of tensors.
struct FastWeightStepGradients {
  double dmomentum = 0, dforgetting = 0, dcurvature = 0;
};

namespace detail {

/// The soft clip of a norm, c(n) = N tanh(n / N) / n, and c'(n) / n.
struct SoftClip {
  double factor = 1, bend = 0;

  SoftClip(double norm, double max_norm) {
    if (max_norm == 0) return;
    const double q = norm / max_norm, square = q * q;
    if (q < 0.02) {  // where the differences below cancel
      factor = 1 - square / 3 + square * square * 2 / 15;
      bend = (-2.0 / 3 + square * 8 / 15 - square * square * 34 / 105) / (max_norm * max_norm);
      return;
    }
    const double t = std::tanh(q);
    factor = t / q;
    bend = ((1 - t * t) * q - t) / (square * q) / (max_norm * max_norm);
  }
};

/// The factors of g in a step: s, and then the clip of s |g|.
template <class T>
struct StepFactors {
  double mu, lambda;
  double limit;  // L
  double step;   // s
  SoftClip clip;

  explicit StepFactors(const FastWeightStep<T>& o)
      : mu(static_cast<double>(o.momentum)),
        lambda(static_cast<double>(o.forgetting)),
        limit(o.limit * (2 - lambda) * (1 + mu) / (1 - mu)),
        step(o.limit == 0 ? o.scale : o.scale / (1 + o.scale * o.curvature / limit)),
        clip(step * o.norm, o.max_norm) {}
  [[nodiscard]] double value() const { return step * clip.factor; }
  /// The share of L in a gradient of s, where there is a limit.
  [[nodiscard]] double limit_gradient(double dstep, double curvature) const {
    return dstep * step * step * curvature / (limit * limit);
  }
};

}  // namespace detail

/// One step of the weights along the surprise g, with momentum and forgetting.
///
///     L  = limit (2 - lambda) (1 + mu) / (1 - mu),   s = scale / (1 + scale curvature / L)
///     S' = mu S - (1 - mu) c s g,   theta' = theta + lambda (start - theta) + S',   c = N tanh(s |g| / N) / (s |g|)
///
/// Along a direction with curvature h this is stable if kappa = (1 - mu) c s h < (2 - lambda) (1 + mu). However large
/// the curvature is, s curvature < L, so it is. Momentum repeats a step 1 / (1 - mu) times in all, hence the factor 1 -
/// mu.
///
/// Source:  Behrouz, Zhong & Mirrokni (2025), "Titans", eq. 13-14, whose weights decay to 0 instead of to `start`, and
///          whose step has no bound.
/// Shapes:  networks of one size; next_weights and next_momentum must not be the inputs.
template <class T>
void fast_weight_step_forward(const FastWeightStep<T>& o, const FastWeightStepInputs<T>& in,
                              FastWeights<T> next_weights, FastWeights<T> next_momentum) {
  using simd::Pack;
  const detail::StepFactors<T> f(o);
  const Pack<T> mu = simd::broadcast(o.momentum), lambda = simd::broadcast(o.forgetting);
  const Pack<T> step = simd::broadcast(static_cast<T>((1 - f.mu) * f.value()));
  detail::for_each_fast_weight(
      [&](Index n, T* to, const T* s, const T* g) {
        simd::map(
            n, to, [mu, step](Pack<T> before, Pack<T> a) { return simd::fma(-step, a, mu * before); }, s, g);
      },
      next_momentum, in.momentum, in.gradient);
  detail::for_each_fast_weight(
      [&](Index n, T* to, const T* w, const T* w0, const T* s) {
        simd::map(
            n, to, [lambda](Pack<T> a, Pack<T> a0, Pack<T> d) { return simd::fma(lambda, a0 - a, a) + d; }, w, w0, s);
      },
      next_weights, in.weights, in.start, FastWeights<const T>(next_momentum));
}

/// The backward of fast_weight_step_forward. `dweights` and `dmomentum` hold the gradients of theta' and S' and receive
/// those of theta and S; dstart is added to, dg is set.
///
///     dS' += dtheta',   dmu = <dS', S + c s g>,   dlambda = <dtheta', start - theta>,   dstart += lambda dtheta'
///     dc^ = -(1 - mu) dS',   p = <dc^, g>,   dg = c s dc^ + p (c'(n) / n) s^3 g  with n = s |g|
///     ds = p (c + c'(n) n),   dcurvature = -ds s^2 / L,   dL = ds s^2 curvature / L^2, on to mu and lambda
///     dtheta = (1 - lambda) dtheta',   dS = mu dS'
///
/// Source, shapes: as there.
template <class T>
FastWeightStepGradients fast_weight_step_backward(const FastWeightStep<T>& o, const FastWeightStepInputs<T>& in,
                                                  FastWeights<T> dweights, FastWeights<T> dmomentum,
                                                  FastWeights<T> dstart, FastWeights<T> dg) {
  using simd::Pack;
  const detail::StepFactors<T> f(o);
  FastWeightStepGradients result;
  const Pack<T> lambda = simd::broadcast(o.forgetting), kept = simd::broadcast(T(1) - o.forgetting);
  detail::for_each_fast_weight(
      [&](Index n, T* dw, T* ds, T* dw0, const T* w, const T* w0) {
        simd::add_scaled(n, ds, T(1), static_cast<const T*>(dw));
        result.dforgetting += static_cast<double>(simd::sum_of(
            n, [](Pack<T> d, Pack<T> a, Pack<T> a0) { return d * (a0 - a); }, static_cast<const T*>(dw), w, w0));
        simd::map(
            n, dw0, [lambda](Pack<T> b, Pack<T> d) { return simd::fma(lambda, d, b); }, static_cast<const T*>(dw0),
            static_cast<const T*>(dw));
        simd::map(
            n, dw, [kept](Pack<T> d) { return kept * d; }, static_cast<const T*>(dw));
      },
      dweights, dmomentum, dstart, in.weights, in.start);

  const double kept_step = 1 - f.mu, n = f.step * o.norm;
  const double along = detail::fast_weights_dot<T>(dmomentum, in.gradient), p = -kept_step * along;
  result.dmomentum = detail::fast_weights_dot<T>(dmomentum, in.momentum) + f.value() * along;
  if (o.limit > 0) {
    const double dstep = p * (f.clip.factor + f.clip.bend * n * n), dlimit = f.limit_gradient(dstep, o.curvature);
    result.dcurvature = -dstep * f.step * f.step / f.limit;
    result.dmomentum += dlimit * o.limit * (2 - f.lambda) * 2 / (kept_step * kept_step);
    result.dforgetting -= dlimit * f.limit / (2 - f.lambda);
  }
  const Pack<T> direct = simd::broadcast(static_cast<T>(-kept_step * f.value()));
  const Pack<T> bend = simd::broadcast(static_cast<T>(p * f.clip.bend * f.step * f.step * f.step));
  const Pack<T> mu = simd::broadcast(o.momentum);
  detail::for_each_fast_weight(
      [&](Index count, T* to, T* ds, const T* g) {
        simd::map(
            count, to, [direct, bend](Pack<T> d, Pack<T> a) { return simd::fma(direct, d, bend * a); },
            static_cast<const T*>(ds), g);
        simd::map(
            count, ds, [mu](Pack<T> d) { return mu * d; }, static_cast<const T*>(ds));
      },
      dg, dmomentum, in.gradient);
  return result;
}

}  // namespace MAT_ABI
}  // namespace mat
