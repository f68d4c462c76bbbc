// A layer of one's own: a depthwise convolution over three tokens, with what every layer of mat has (Config,
// Parameters, Cache, forward, backward). Parameters with a `visit` are all that optimisers, files and gradient checks
// ask for.
#include <mat/core/sequences.hpp>
#include <mat/layers/initialize.hpp>
#include <mat/training/adamw.hpp>

#include <cmath>
#include <cstdio>

using mat::ConstMatrixView;
using mat::Index;
using mat::Matrix;

/// Mixes each feature of a token with that of its neighbours in the same sequence.
///
///     y_t = x_t + w_0 x_{t-1} + w_1 x_t + w_2 x_{t+1}                       (per feature; 0 beyond the ends)
///     dx_t = dy_t + w_0 dy_{t+1} + w_1 dy_t + w_2 dy_{t-1},   dw_k += sum_t dy_t x_{t+k-1}
///
/// Shapes: x, y [tokens, features]; weight [3, features].
template <class T>
class TokenConvolution {
 public:
  struct Config {
    Index features = 0;
  };

  struct Parameters {
    Matrix<T> weight;  // [3, features]

    template <class Visitor, class... P>
    static void visit(Visitor&& visitor, P&... p) {
      mat::visit_tensor("weight", visitor, p.weight...);
    }
  };

  /// What one forward leaves for its backward; x and the sequences stay with the caller and must live until then.
  struct Cache {
    ConstMatrixView<T> x;  // [tokens, features]
    const mat::Sequences* sequences = nullptr;
    Matrix<T> y, dx;  // [tokens, features]
  };

  TokenConvolution(const Config& config, const mat::Random& random) : config_(config) {
    parameters_.weight.resize({3, config.features});
    mat::initialize_uniform_fan_in<T>(parameters_.weight, 3, random);
  }

  [[nodiscard]] const Parameters& parameters() const { return parameters_; }
  [[nodiscard]] Parameters& parameters() { return parameters_; }

  ConstMatrixView<T> forward(ConstMatrixView<T> x, const mat::Sequences& sequences, Cache& cache) const {
    mat::check_shape("TokenConvolution::forward: x", x, {sequences.rows(), config_.features});
    cache.x = x;
    cache.sequences = &sequences;
    cache.y.assign(x);
    for_each_pair(sequences, [&](Index t, Index neighbour, Index k) {
      for (Index j = 0; j < x.cols(); ++j) cache.y(t, j) += parameters_.weight(k, j) * x(neighbour, j);
    });
    return cache.y;
  }

  ConstMatrixView<T> backward(ConstMatrixView<T> dy, Cache& cache, Parameters& grads) const {
    mat::check_shape("TokenConvolution::backward: dy", dy, cache.y.shape());
    cache.dx.assign(dy);
    for_each_pair(*cache.sequences, [&](Index t, Index neighbour, Index k) {
      for (Index j = 0; j < dy.cols(); ++j) {
        cache.dx(neighbour, j) += parameters_.weight(k, j) * dy(t, j);
        grads.weight(k, j) += dy(t, j) * cache.x(neighbour, j);
      }
    });
    return cache.dx;
  }

 private:
  template <class Function>
  static void for_each_pair(const mat::Sequences& sequences, const Function& fn) {
    for (Index b = 0; b < sequences.count(); ++b) {
      for (Index t = sequences.begin(b); t < sequences.end(b); ++t) {
        for (Index k = 0; k < 3; ++k) {
          const Index neighbour = t + k - 1;
          if (neighbour >= sequences.begin(b) && neighbour < sequences.end(b)) fn(t, neighbour, k);
        }
      }
    }
  }

  Config config_;
  Parameters parameters_;
};

using Layer = TokenConvolution<double>;

// Half the squared distance of y to a target, and its gradient by y.
double squared_error(ConstMatrixView<double> y, const Matrix<double>& target, Matrix<double>& dy) {
  double loss = 0;
  dy.resize(target.shape());
  for (Index i = 0; i < target.size(); ++i) {
    dy.data()[i] = y.data()[i] - target.data()[i];
    loss += 0.5 * dy.data()[i] * dy.data()[i];
  }
  return loss;
}

// The largest difference between a gradient and central differences of the loss.
template <class Loss>
double gradient_error(const Loss& loss, Matrix<double>& values, ConstMatrixView<double> gradient) {
  double worst = 0;
  for (Index i = 0; i < values.size(); ++i) {
    const double value = values.data()[i], step = 1e-5;
    values.data()[i] = value + step;
    const double above = loss();
    values.data()[i] = value - step;
    const double below = loss();
    values.data()[i] = value;
    const double error = std::abs((above - below) / (2 * step) - gradient.data()[i]);
    if (!(error <= worst)) worst = error;  // a NaN counts
  }
  return worst;
}

int main() {
  const mat::Random random(1);
  const mat::Sequences sequences({4, 1, 6});  // three sequences of different lengths, without padding
  Matrix<double> x({11, 5}), target({11, 5}), dy;
  mat::initialize_normal<double>(x, 1.0, random.split(0));
  mat::initialize_normal<double>(target, 1.0, random.split(1));

  Layer::Config config;
  config.features = 5;
  Layer layer(config, random.split(2));
  Layer::Cache cache;
  Layer::Parameters grads = mat::zeros_like(layer.parameters());
  const auto loss = [&] { return squared_error(layer.forward(x, sequences, cache), target, dy); };

  const double before = loss();
  const Matrix<double> dx(layer.backward(dy, cache, grads));
  const double x_error = gradient_error(loss, x, dx);
  const double weight_error = gradient_error(loss, layer.parameters().weight, grads.weight);
  std::printf("parameters:               %s\n", mat::parameter_names(layer.parameters())[0].c_str());
  std::printf("dx agrees to 1e-8:        %s\n", x_error < 1e-8 ? "yes" : "no");
  std::printf("dweight agrees to 1e-8:   %s\n", weight_error < 1e-8 ? "yes" : "no");

  mat::AdamWConfig adamw;
  adamw.learning_rate = 0.05;
  mat::AdamW<Layer::Parameters> optimizer(layer.parameters(), adamw);
  optimizer.step(layer.parameters(), grads);
  std::printf("loss before and after:    %.4f %.4f\n", before, loss());
  return x_error < 1e-8 && weight_error < 1e-8 ? 0 : 1;
}
