#include "conformance/torch_train.hpp"
#include "conformance/torch_training.hpp"
#include "parity/fixtures.hpp"

using mat::conformance::torch_train;
using mat::conformance::torch_training;
using mat::test::check_parity;

TEST_CASE("CrossEntropy and its gradient are those of PyTorch's cross_entropy", "[parity]") {
  check_parity<float>("cross_entropy.weight_ignore_smoothing", torch_training<float>());
  check_parity<double>("cross_entropy.weight_ignore_smoothing", torch_training<double>());
}

TEST_CASE("AdamW with clipping and a schedule takes PyTorch's steps", "[parity]") {
  check_parity<float>("optimizer.adamw_clip_lrs", torch_training<float>());
  check_parity<double>("optimizer.adamw_clip_lrs", torch_training<double>());
}

TEST_CASE("MAT trains through PyTorch's losses, norms and parameters for 20 steps", "[parity]") {
  check_parity<float>("train.mat", torch_train<float>());
  check_parity<double>("train.mat", torch_train<double>());
}
