#pragma once

#include <mat/layers/linear.hpp>
#include <mat/ops/activation.hpp>
#include <mat/ops/max_over_tokens.hpp>
#include <mat/ops/windows.hpp>

namespace mat {
inline namespace MAT_ABI {

/// How strongly a sequence has each of many short patterns, wherever it has it: filters over `width` neighbouring
/// tokens, of each the largest answer.
///
///     c_t = [x_{t-l} ... x_{t-l+width-1}] F^T + f,    l = (width - 1) / 2, 0 beyond the ends of the sequence
///     y   = relu(max over the tokens of a sequence of c_t)                 0 for a sequence without tokens
///
/// Source:  Kim (2014), "Convolutional neural networks for sentence classification", eq. 2 and 3. Windows reach over
///          the ends of the sequence, so that it may be shorter than a filter.
/// Shapes:  x [tokens, features]; y [sequences, filters]; filters.weight [filters, width features].
/// Errors:  ValueError for a size below 1; ShapeError if x, dy or the sequences do not fit.
/// Threads: const; one layer serves any number of threads, each with a cache of its own.
template <class T>
class MaxConvolution {
 public:
  struct Config {
    Index features = 0;
    Index filters = 0;
    Index width = 3;
  };

  struct Parameters {
    Linear<T> filters;  // width features -> filters

    template <class Visitor, class... P>
    static void visit(Visitor&& visitor, P&... p) {
      visit_layer("filters", visitor, p.filters...);
    }
  };

  /// What one forward leaves for its backward.
  struct Cache {
    Sequences sequences;
    Matrix<T> windows;  // [tokens, width features]
    typename Linear<T>::Cache filters;
    Matrix<Index> largest;       // the token of each answer: [sequences, filters]
    Matrix<T> answers, y, dmax;  // before and after relu, and a gradient: [sequences, filters]
    Matrix<T> danswers;          // of every token: [tokens, filters]
    Matrix<T> dx;                // [tokens, features]
  };

  MaxConvolution(const Config& config, const Random& random)
      : config_(checked(config)),
        parameters_{Linear<T>({config.width * config.features, config.filters}, random.split(0))} {}

  [[nodiscard]] const Config& config() const { return config_; }
  [[nodiscard]] const Parameters& parameters() const { return parameters_; }
  [[nodiscard]] Parameters& parameters() { return parameters_; }

  ConstMatrixView<T> forward(ConstMatrixView<T> x, const Sequences& sequences, Cache& cache) const {
    check_shape("MaxConvolution::forward: x", x, {kAny, config_.features});
    check_sequences("MaxConvolution::forward: x", x.rows(), sequences);
    cache.sequences = sequences;
    cache.windows.resize({x.rows(), config_.width * config_.features});
    windows_forward<T>(x, sequences, config_.width, cache.windows);
    const auto answers = parameters_.filters.forward(cache.windows, cache.filters);
    cache.answers.resize({sequences.count(), config_.filters});
    cache.largest.resize(cache.answers.shape());
    max_over_tokens_forward<T>(answers, sequences, cache.answers, cache.largest);
    cache.y.resize(cache.answers.shape());
    activation_forward<T>(Activation::relu, cache.answers, cache.y);
    return cache.y;
  }

  ConstMatrixView<T> backward(ConstMatrixView<T> dy, Cache& cache, Parameters& grads) const {
    check_shape("MaxConvolution::backward: dy", dy, cache.y.shape());
    cache.dmax.resize(dy.shape());
    activation_backward<T>(Activation::relu, cache.answers, cache.y, dy, cache.dmax);
    cache.danswers.resize(cache.filters.y.shape());
    max_over_tokens_backward<T>(cache.dmax, cache.largest, cache.danswers);
    const auto dwindows = parameters_.filters.backward(cache.danswers, cache.filters, grads.filters.parameters());
    cache.dx.resize({dwindows.rows(), config_.features});
    cache.dx.fill(T(0));
    windows_backward<T>(dwindows, cache.sequences, config_.width, cache.dx);
    return cache.dx;
  }

 private:
  [[nodiscard]] static const Config& checked(const Config& config) {
    check_value(config.features >= 1, "MaxConvolution: features", config.features, "at least 1");
    check_value(config.filters >= 1, "MaxConvolution: filters", config.filters, "at least 1");
    check_value(config.width >= 1, "MaxConvolution: width", config.width, "at least 1");
    return config;
  }

  Config config_;
  Parameters parameters_;
};

}  // namespace MAT_ABI
}  // namespace mat
