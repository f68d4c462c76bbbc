#pragma once

#include <mat/layers/linear.hpp>
#include <mat/ops/activation.hpp>

namespace mat {
inline namespace MAT_ABI {

/// The article's memory: a network of two linear maps that turns each token into a row of memory.
///
///     M = relu(x W1^T + b1) W2^T + b2
///
/// As the article's code has it, this keeps nothing from one call to the next: the same x gives the same M.
///
/// Source:  the article's MemoryLayer (fc1, relu, fc2), with its names.
/// Shapes:  x, M [tokens, input_dim]; fc1.weight [hidden_dim, input_dim]; fc2.weight [input_dim, hidden_dim].
/// Errors:  ValueError for a size below 1; ShapeError if x or dM has another number of columns.
/// Threads: const; one layer serves any number of threads, each with a cache of its own.
template <class T>
class MemoryLayer {
 public:
  struct Config {
    Index input_dim = 0;
    Index hidden_dim = 0;
  };

  struct Parameters {
    Linear<T> fc1, fc2;

    template <class Visitor, class... P>
    static void visit(Visitor&& visitor, P&... p) {
      visit_layer("fc1", visitor, p.fc1...);
      visit_layer("fc2", visitor, p.fc2...);
    }
  };

  struct Cache {
    typename Linear<T>::Cache fc1, fc2;
    Matrix<T> hidden;   // relu(fc1(x)): [tokens, hidden_dim]
    Matrix<T> dhidden;  // [tokens, hidden_dim]
  };

  MemoryLayer(const Config& config, const Random& random)
      : config_(config),
        parameters_{Linear<T>({config.input_dim, config.hidden_dim}, random.split(0)),
                    Linear<T>({config.hidden_dim, config.input_dim}, random.split(1))} {}

  [[nodiscard]] const Config& config() const { return config_; }
  [[nodiscard]] const Parameters& parameters() const { return parameters_; }
  [[nodiscard]] Parameters& parameters() { return parameters_; }

  ConstMatrixView<T> forward(ConstMatrixView<T> x, Cache& cache) const {
    const auto before = parameters_.fc1.forward(x, cache.fc1);
    cache.hidden.resize(before.shape());
    activation_forward<T>(Activation::relu, before, cache.hidden);
    return parameters_.fc2.forward(cache.hidden, cache.fc2);
  }

  ConstMatrixView<T> backward(ConstMatrixView<T> dmemory, Cache& cache, Parameters& grads) const {
    const auto dhidden = parameters_.fc2.backward(dmemory, cache.fc2, grads.fc2.parameters());
    cache.dhidden.resize(dhidden.shape());
    activation_backward<T>(Activation::relu, cache.fc1.y, cache.hidden, dhidden, cache.dhidden);
    return parameters_.fc1.backward(cache.dhidden, cache.fc1, grads.fc1.parameters());
  }

 private:
  Config config_;
  Parameters parameters_;
};

}  // namespace MAT_ABI
}  // namespace mat
