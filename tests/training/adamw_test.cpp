#include "support/catch.hpp"
#include "training/toy_model.hpp"

#include <mat/training/adamw.hpp>

namespace adamw_test {

using namespace mat;
using namespace mat::test;

// Expected numbers: PyTorch 2.13.0, torch.optim.AdamW in double.
TEST_CASE("AdamW follows PyTorch's trajectories", "[training]") {
  AdamWConfig config;
  SECTION("with the defaults") {
    AdamW<Pair<double>> adamw(start());
    CHECK(difference(three_steps(adamw), {0.9990635479760543, -1.9992285437801691, 0.4980000316845829,
                                          2.9976468591786958, 0.25178583520442155, -1.002472848940284}) < 1e-15);
  }
  SECTION("with amsgrad and a strong decay") {
    config.learning_rate = 0.05;
    config.weight_decay = 0.2;
    config.amsgrad = true;
    AdamW<Pair<double>> adamw(start(), config);
    CHECK(difference(three_steps(adamw), {0.9256715058026812, -1.9059347286037294, 0.3873470232850222,
                                          2.7992032977729586, 0.3311144711263988, -1.0940325485490066}) < 1e-15);
  }
  SECTION("with a group that has a learning rate of its own and no decay") {
    config.learning_rate = 0.05;
    config.weight_decay = 0.2;
    const auto rule = [](std::string_view name, std::size_t) {
      ParameterGroup group;
      if (name == "bias") group = {0.1, 0.0};
      return group;
    };
    AdamW<Pair<double>> adamw(start(), config, rule);
    CHECK(difference(three_steps(adamw), {0.9256715058026812, -1.9059378742027335, 0.3873470232850222,
                                          2.7992032977729586, 0.2589667889634594, -1.0125143847308018}) < 1e-15);
  }
}

TEST_CASE("AdamW with a learning rate of 0 changes nothing but its moments", "[training]") {
  AdamW<Pair<double>> adamw(start());
  adamw.set_learning_rate(0.0);
  CHECK(three_steps(adamw) == numbers(start()));
  CHECK(adamw.state().step == 3);
  CHECK(adamw.state().exp_avg.bias(0) != 0.0);
}

}  // namespace adamw_test
