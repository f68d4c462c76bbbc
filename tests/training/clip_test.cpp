#include "support/catch.hpp"
#include "training/toy_model.hpp"

#include <mat/training/clip.hpp>

namespace clip_test {

using namespace mat;
using namespace mat::test;

namespace {

Pair<double> gradients() { return {Matrix<double>({2, 2}, {0.2, -0.4, 0.6, 0.8}), Vector<double>({2}, {-2.0, 4.0})}; }
ClipConfig config_of(double max_norm, double norm_type) {
  ClipConfig config;
  config.max_norm = max_norm;
  config.norm_type = norm_type;
  return config;
}

}  // namespace

// Expected numbers: PyTorch 2.13.0, torch.nn.utils.clip_grad_norm_ in double.
TEST_CASE("clip_grad_norm scales all gradients by their common norm", "[training]") {
  Pair<double> g = gradients();
  SECTION("the Euclidean norm") {
    CHECK(std::abs(clip_grad_norm(g) - 4.604345773288536) < 1e-15);
    CHECK(difference(numbers(g), {0.04343721484234672, -0.08687442968469344, 0.13031164452704014, 0.1737488593693869,
                                  -0.43437214842346716, 0.8687442968469343}) < 1e-15);
  }
  SECTION("the sum of absolute values") {
    CHECK(std::abs(clip_grad_norm(g, config_of(1.0, 1.0)) - 8.0) < 1e-15);
    CHECK(std::abs(g.bias(1) - 0.4999999375000079) < 1e-15);
  }
  SECTION("another p") {
    CHECK(std::abs(clip_grad_norm(g, config_of(1.0, 3.0)) - 4.175518957326897) < 2e-15);
    CHECK(std::abs(g.bias(1) - 0.9579645267845247) < 1e-15);
  }
  SECTION("the largest absolute value") {
    CHECK(clip_grad_norm(g, config_of(1.0, std::numeric_limits<double>::infinity())) == 4.0);
    CHECK(std::abs(g.bias(1) - 0.9999997500000625) < 1e-15);
  }
}

TEST_CASE("clip_grad_norm leaves gradients below the limit as they are, to the bit", "[training]") {
  Pair<double> g = gradients();
  CHECK(clip_grad_norm(g, config_of(5.0, 2.0)) > 4.6);
  CHECK(g == gradients());
  set_zero(g);
  CHECK(clip_grad_norm(g) == 0.0);
  CHECK(g == zeros_like(gradients()));
}

TEST_CASE("grad_norm of float does not overflow, and is NaN if a gradient is", "[training]") {
  Pair<float> g{Matrix<float>({1, 2}, {3e30f, 4e30f}), Vector<float>({1}, {0.0f})};
  CHECK(std::abs(grad_norm(g) / 5e30 - 1.0) < 1e-6);
  g.weight(0, 0) = std::numeric_limits<float>::quiet_NaN();
  CHECK(std::isnan(grad_norm(g)));
  CHECK(std::isnan(grad_norm(g, std::numeric_limits<double>::infinity())));
}

TEST_CASE("clip_grad_value limits each gradient by itself", "[training]") {
  Pair<double> g = gradients();
  clip_grad_value(g, 0.5);
  CHECK(numbers(g) == std::vector<double>{0.2, -0.4, 0.5, 0.5, -0.5, 0.5});
}

TEST_CASE("Clipping refuses settings out of range", "[training]") {
  Pair<double> g = gradients();
  CHECK_THROWS_WITH(clip_grad_norm(g, config_of(-1.0, 2.0)), "clip_grad_norm: max_norm is -1, expected at least 0");
  CHECK_THROWS_WITH(clip_grad_norm(g, config_of(1.0, 0.0)), "grad_norm: norm_type is 0, expected more than 0");
  CHECK_THROWS_WITH(clip_grad_value(g, -1.0), "clip_grad_value: limit is -1, expected at least 0");
  CHECK(g == gradients());
}

}  // namespace clip_test
