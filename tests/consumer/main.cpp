// A user's first program: one model, one forward, one backward.
#include <mat/mat.hpp>

#include <cstdio>

int main() {
  mat::MAT<float>::Config config;
  config.input_dim = 4;
  config.hidden_dim = 8;
  config.nhead = 2;
  const mat::MAT<float> model(config, mat::Random(1));
  const mat::Matrix<float> x({5, 4});
  mat::MAT<float>::Cache cache;
  const mat::ConstMatrixView<float> y = model.forward(x, mat::Sequences({2, 3}), cache);

  auto grads = mat::zeros_like(model.parameters());
  const mat::ConstMatrixView<float> dx = model.backward(y, cache, grads);
  std::printf("mat %s: y [%d, %d]\n", MAT_VERSION_STRING, static_cast<int>(y.rows()), static_cast<int>(y.cols()));
  return y.rows() == 5 && dx.cols() == 4 ? 0 : 1;
}
