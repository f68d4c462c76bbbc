#pragma once

#include <mat/core/simd.hpp>
#include <mat/ops/rows.hpp>
#include <mat/training/loss_sum.hpp>
#include <mat/training/targets.hpp>

namespace mat {
inline namespace MAT_ABI {

/// What becomes of the losses of the tokens.
enum class Reduction { mean, sum, none };

/// The loss of a classifier: the negative log-probability of the right class, forward and gradient in one pass.
///
///     log p = x - max(x) - log sum exp(x - max(x)),   r = (1 - s) q + s / classes      (s = label_smoothing)
///     loss_t = -sum_j w_j r_tj log p_tj,              dx_tj = (p_tj sum_k w_k r_tk - w_j r_tj) dloss_t
///
/// A target that is a class y means q = 1 at y with w_y for its part (1 - s), and w_j s / classes for the rest. The
/// mean divides by the sum of w_y of the tokens that are not ignored (by the tokens, for soft targets); with nothing
/// left it is NaN. An ignored token has loss 0 and gradient 0. This is the one place where a mean is taken.
///
/// The log-probabilities alone are log_softmax_forward's.
///
/// Source:  PyTorch nn.CrossEntropyLoss, with its defaults; Input::log_probabilities is nn.NLLLoss.
/// Shapes:  logits [tokens, classes]; targets [tokens] or [tokens, classes]; weight [classes].
/// Errors:  ValueError for a class outside of [0, classes) that is not ignore_index; ShapeError.
/// Threads: const; each thread needs a cache of its own.
template <class T>
class CrossEntropy {
 public:
  enum class Input { logits, log_probabilities };
  struct Config {
    Index ignore_index = -100;
    T label_smoothing = T(0);
    Vector<T> weight;  // [classes], or empty: every class weighs 1
    Reduction reduction = Reduction::mean;
    Input input = Input::logits;
  };

  struct Cache {
    Vector<T> losses;          // [tokens], before any mean
    Matrix<T> dlogits;         // [tokens, classes], for an upstream gradient of 1
    Matrix<T> dlogits_scaled;  // [tokens, classes], for another one
    LossSum sum;               // of this batch
  };

  CrossEntropy() : CrossEntropy(Config{}) {}
  explicit CrossEntropy(const Config& config) : config_(config) {
    check_value(config.label_smoothing >= T(0) && config.label_smoothing <= T(1), "CrossEntropy: label_smoothing",
                static_cast<double>(config.label_smoothing), "in [0, 1]");
    total_weight_ = simd::sum_of(config_.weight.size(), config_.weight.data());
  }

  [[nodiscard]] const Config& config() const { return config_; }

  /// What the mean divides by. The sum over micro-batches is the normalizer that makes their gradients add up to that
  /// of one big batch.
  [[nodiscard]] double weight_sum(const Targets<T>& targets) const {
    if (targets.is_soft()) return static_cast<double>(targets.tokens());
    const bool weighted = !config_.weight.empty();
    if (weighted) check_classes("CrossEntropy::weight_sum", targets, config_.weight.size());
    double sum = 0.0;
    for (Index t = 0; t < targets.tokens(); ++t) {
      const Index y = targets.target(t);
      if (y != config_.ignore_index) sum += weighted ? static_cast<double>(config_.weight.data()[y]) : 1.0;
    }
    return sum;
  }

  /// The loss, reduced (with Reduction::none: summed, the parts are in cache.losses), and its gradient in the cache.
  double forward(ConstMatrixView<T> logits, const Targets<T>& targets, Cache& cache) const {
    check("CrossEntropy::forward", logits, targets);
    return run<true>(logits, targets, cache, config_.reduction == Reduction::mean ? weight_sum(targets) : 1.0);
  }
  /// As above with the divisor of the mean given: the weight_sum of all micro-batches of a step. Reduction::mean only.
  double forward(ConstMatrixView<T> logits, const Targets<T>& targets, Cache& cache, double normalizer) const {
    check("CrossEntropy::forward", logits, targets);
    check_value(normalizer >= 0.0, "CrossEntropy::forward: normalizer", normalizer, "at least 0");
    if (config_.reduction != Reduction::mean) {
      detail::throw_value_error("CrossEntropy::forward: normalizer", "given with another reduction", "Reduction::mean");
    }
    return run<true>(logits, targets, cache, normalizer);
  }
  /// The loss without its gradient: no memory beyond cache.losses.
  double evaluate(ConstMatrixView<T> logits, const Targets<T>& targets, Cache& cache) const {
    check("CrossEntropy::evaluate", logits, targets);
    return run<false>(logits, targets, cache, config_.reduction == Reduction::mean ? weight_sum(targets) : 1.0);
  }

  /// The gradient by the logits of what `forward` returned.
  ConstMatrixView<T> backward(const Cache& cache) const { return cache.dlogits; }
  /// The same times `dloss`.
  ConstMatrixView<T> backward(T dloss, Cache& cache) const {
    return scaled(cache, [dloss](Index) { return dloss; });
  }
  /// The gradient by the logits of sum_t dlosses_t * losses_t, for Reduction::none.
  ConstMatrixView<T> backward(ConstVectorView<T> dlosses, Cache& cache) const {
    check_shape("CrossEntropy::backward: dlosses", dlosses, {cache.dlogits.rows()});
    if (config_.reduction != Reduction::none) {
      detail::throw_value_error("CrossEntropy::backward: dlosses", "given with another reduction", "Reduction::none");
    }
    return scaled(cache, [dlosses](Index t) { return dlosses.data()[t]; });
  }

 private:
  using Pack = simd::Pack<T>;

  // log p_j = x_j - top - log_sum; two numbers, so that huge logits do not lose the small one.
  struct Partition {
    T top = T(0), sum = T(1), log_sum = T(0);
  };

  void check(const char* where, ConstMatrixView<T> logits, const Targets<T>& targets) const {
    const std::array<Index, 2> sizes{logits.rows(), logits.cols()};
    if (targets.tokens() != sizes[0]) {
      detail::throw_shape_error(std::string(where) + ": targets", std::to_string(targets.tokens()) + " tokens",
                                std::to_string(sizes[0]) + ", the rows of logits " + shape_to_string(sizes.data(), 2));
    }
    if (!config_.weight.empty() && config_.weight.size() != sizes[1]) {
      detail::throw_shape_error(std::string(where) + ": logits", shape_to_string(sizes.data(), 2),
                                "[*, " + std::to_string(config_.weight.size()) + "], one column for each class weight");
    }
    if (!targets.is_soft()) {
      check_classes(where, targets, sizes[1]);
      return;
    }
    if (targets.soft().cols() != sizes[1]) check_shape(std::string(where) + ": targets", targets.soft(), sizes);
    if (config_.ignore_index >= 0) {
      check_value(false, std::string(where) + ": ignore_index", config_.ignore_index, "negative for soft targets");
    }
  }
  void check_classes(const char* where, const Targets<T>& targets, Index classes) const {
    for (Index t = 0; t < targets.tokens(); ++t) {
      const Index y = targets.target(t);
      if ((y >= 0 && y < classes) || y == config_.ignore_index) continue;
      check_value(false, std::string(where) + ": target of row " + std::to_string(t), y,
                  "in [0, " + std::to_string(classes) + ") or ignore_index " + std::to_string(config_.ignore_index));
    }
  }

  template <bool kGradient>
  double run(ConstMatrixView<T> logits, const Targets<T>& targets, Cache& cache, double divisor) const {
    constexpr Index kWork = 16;  // multiplications that the exponential of one logit costs, about
    const Index classes = logits.cols();
    const T scale = static_cast<T>(1.0 / divisor);
    cache.losses.resize({logits.rows()});
    if constexpr (kGradient) cache.dlogits.resize({logits.rows(), classes});
    detail::for_each_row(logits.rows(), kWork * classes, [&](Index t) {
      T* dx = kGradient ? cache.dlogits.data() + t * classes : nullptr;
      cache.losses.data()[t] = targets.is_soft()
                                   ? soft_row<kGradient>(logits.row(t), targets.distribution(t), classes, scale, dx)
                                   : hard_row<kGradient>(logits.row(t), targets.target(t), classes, scale, dx);
    });
    cache.sum = {0.0, weight_sum(targets)};
    for (Index t = 0; t < logits.rows(); ++t) cache.sum.loss += static_cast<double>(cache.losses.data()[t]);
    return cache.sum.loss / divisor;
  }

  // With a gradient, `exponentials` receives exp(x - top), from which the row of the gradient is made in place.
  template <bool kGradient>
  static Partition partition(const T* x, T* exponentials, Index classes) {
    Partition z;
    z.top = simd::largest_of(classes, x);
    const Pack top = simd::broadcast(z.top);
    const auto exponential = [top](Pack a) { return simd::exp(a - top); };
    if constexpr (kGradient) {
      simd::map(classes, exponentials, exponential, x);
      z.sum = simd::sum_of(classes, static_cast<const T*>(exponentials));
    } else {
      z.sum = simd::sum_of(classes, exponential, x);
    }
    z.log_sum = std::log(z.sum);
    return z;
  }
  template <bool kGradient>
  Partition start(const T* x, T* dx, Index classes) const {
    if (config_.input == Input::logits) return partition<kGradient>(x, dx, classes);
    if constexpr (kGradient) std::fill_n(dx, classes, T(0));
    return {};
  }

  // The part of label smoothing: -sum_j w_j log p_j.
  [[nodiscard]] T smooth_loss(const T* x, Index classes, const Partition& z) const {
    const Pack top = simd::broadcast(z.top), log_sum = simd::broadcast(z.log_sum);
    if (config_.weight.empty()) {
      return simd::sum_of(
          classes, [=](Pack a) { return log_sum - (a - top); }, x);
    }
    return simd::sum_of(
        classes, [=](Pack a, Pack w) { return w * (log_sum - (a - top)); }, x, config_.weight.data());
  }

  template <bool kGradient>
  T hard_row(const T* x, Index y, Index classes, T scale, [[maybe_unused]] T* dx) const {
    if (y == config_.ignore_index) {
      if constexpr (kGradient) std::fill_n(dx, classes, T(0));
      return T(0);
    }
    const Partition z = start<kGradient>(x, dx, classes);
    const T smoothing = config_.label_smoothing / static_cast<T>(classes);
    const T right = (T(1) - config_.label_smoothing) * (config_.weight.empty() ? T(1) : config_.weight.data()[y]);
    if constexpr (kGradient) {
      const T total = right + smoothing * (config_.weight.empty() ? static_cast<T>(classes) : total_weight_);
      const Pack f = simd::broadcast(scale * total / z.sum), s = simd::broadcast(scale * smoothing);
      const T* e = dx;
      if (smoothing == T(0)) {
        simd::set_scaled(classes, dx, scale * total / z.sum, e);
      } else if (config_.weight.empty()) {
        simd::map(
            classes, dx, [f, s](Pack a) { return f * a - s; }, e);
      } else {
        simd::map(
            classes, dx, [f, s](Pack a, Pack w) { return f * a - s * w; }, e, config_.weight.data());
      }
      dx[y] -= scale * right;
    }
    const T loss = right * (z.log_sum - (x[y] - z.top));
    return smoothing > T(0) ? loss + smoothing * smooth_loss(x, classes, z) : loss;
  }

  template <bool kGradient>
  T soft_row(const T* x, const T* q, Index classes, T scale, [[maybe_unused]] T* dx) const {
    const Partition z = start<kGradient>(x, dx, classes);
    const T* weight = config_.weight.data();
    const Pack k = simd::broadcast(T(1) - config_.label_smoothing);
    const Pack s = simd::broadcast(config_.label_smoothing / static_cast<T>(classes));
    const Pack top = simd::broadcast(z.top), log_sum = simd::broadcast(z.log_sum);
    T loss, total;
    if (config_.weight.empty()) {
      loss = simd::sum_of(
          classes, [=](Pack a, Pack p) { return (k * p + s) * (log_sum - (a - top)); }, x, q);
      total = simd::sum_of(
          classes, [=](Pack p) { return k * p + s; }, q);
    } else {
      loss = simd::sum_of(
          classes, [=](Pack a, Pack p, Pack w) { return w * (k * p + s) * (log_sum - (a - top)); }, x, q, weight);
      total = simd::sum_of(
          classes, [=](Pack p, Pack w) { return w * (k * p + s); }, q, weight);
    }
    if constexpr (kGradient) {
      const Pack f = simd::broadcast(scale * total / z.sum), d = simd::broadcast(scale);
      const T* e = dx;
      if (config_.weight.empty()) {
        simd::map(
            classes, dx, [=](Pack a, Pack p) { return f * a - d * (k * p + s); }, e, q);
      } else {
        simd::map(
            classes, dx, [=](Pack a, Pack p, Pack w) { return f * a - d * (w * (k * p + s)); }, e, q, weight);
      }
    }
    return loss;
  }

  template <class Factor>
  static ConstMatrixView<T> scaled(Cache& cache, const Factor& factor) {
    const Index classes = cache.dlogits.cols();
    cache.dlogits_scaled.resize(cache.dlogits.shape());
    for (Index t = 0; t < cache.dlogits.rows(); ++t) {
      const T f = factor(t);
      const T* from = cache.dlogits.data() + t * classes;
      T* to = cache.dlogits_scaled.data() + t * classes;
      for (Index j = 0; j < classes; ++j) to[j] = f * from[j];
    }
    return cache.dlogits_scaled;
  }

  Config config_;
  T total_weight_ = T(0);  // sum of config_.weight
};

}  // namespace MAT_ABI
}  // namespace mat
