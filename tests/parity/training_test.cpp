#include "parity/fixtures.hpp"

namespace training_test {

using mat::test::check_parity;

TEST_CASE("CrossEntropy and its gradient are those of PyTorch's cross_entropy", "[parity]") {
  check_parity<float>("cross_entropy.weight_ignore_smoothing");
  check_parity<double>("cross_entropy.weight_ignore_smoothing");
}

TEST_CASE("AdamW with clipping and a schedule takes PyTorch's steps", "[parity]") {
  check_parity<float>("optimizer.adamw_clip_lrs");
  check_parity<double>("optimizer.adamw_clip_lrs");
}

TEST_CASE("MAT trains through PyTorch's losses, norms and parameters for 20 steps", "[parity]") {
  check_parity<float>("train.mat");
  check_parity<double>("train.mat");
}

}  // namespace training_test
