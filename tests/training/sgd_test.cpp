#include "support/catch.hpp"
#include "training/toy_model.hpp"

#include <mat/training/sgd.hpp>

namespace sgd_test {

using namespace mat;
using namespace mat::test;

namespace {

using Optimizer = Sgd<Pair<double>>;

}  // namespace

// Expected numbers: PyTorch 2.13.0, torch.optim.SGD in double.
TEST_CASE("Sgd follows PyTorch's trajectories", "[training]") {
  SgdConfig config;
  config.learning_rate = 0.1;
  SECTION("plain, with weight decay") {
    config.weight_decay = 0.01;
    Optimizer sgd(start(), config);
    CHECK(difference(three_steps(sgd), {0.8369729890000001, -1.999020978, 0.4860739694999999, 2.911188957,
                                        0.37410084974999996, -1.256553199}) < 1e-15);
    CHECK(parameter_count(sgd.state().momentum_buffer) == 0);
  }
  SECTION("momentum with dampening and weight decay") {
    config.momentum = 0.9;
    config.dampening = 0.3;
    config.weight_decay = 0.01;
    Optimizer sgd(start(), config);
    CHECK(difference(three_steps(sgd), {0.89466524461, -1.96961723922, 0.420792485055, 2.7865448289299994,
                                        0.5055743363775, -1.61020674751}) < 1e-15);
    CHECK(difference(numbers(sgd.state().momentum_buffer), {1.1874245539, -0.046981607800000005, 0.12178864945000004,
                                                            0.5968527107000001, -1.012941613775, 1.9794604750999998}) <
          1e-15);
    CHECK(parameter_names(sgd.state()) == std::vector<std::string>{"momentum_buffer.weight", "momentum_buffer.bias"});
  }
  SECTION("nesterov") {
    config.momentum = 0.8;
    config.nesterov = true;
    Optimizer sgd(start(), config);
    CHECK(difference(three_steps(sgd), {0.7324799999999999, -2.00196, 0.43494, 2.74592, 0.5582, -1.7304000000000002}) <
          1e-15);
  }
}

TEST_CASE("Sgd decays matrices only, if asked to", "[training]") {
  SgdConfig config;
  config.learning_rate = 0.5;
  config.weight_decay = 0.5;
  config.decay = DecayRule::matrices_only;
  Pair<double> p = start();
  Optimizer(p, config).step(p, zeros_like(p));
  CHECK(numbers(p) == std::vector<double>{0.75, -1.5, 0.375, 2.25, 0.25, -1.0});
}

TEST_CASE("Sgd refuses what does not fit", "[training]") {
  SgdConfig config;
  config.nesterov = true;
  CHECK_THROWS_WITH(Optimizer(start(), config), "Sgd: momentum with nesterov is 0, expected more than 0");
  config.momentum = 0.9;
  config.dampening = 0.1;
  CHECK_THROWS_WITH(Optimizer(start(), config), "Sgd: dampening with nesterov is 0.1, expected 0");
  config = {};
  config.momentum = -1.0;
  CHECK_THROWS_WITH(Optimizer(start(), config), "Sgd: momentum is -1, expected at least 0");
  config = {};
  config.learning_rate = -0.5;
  CHECK_THROWS_WITH(Optimizer(start(), config), "Sgd: learning_rate is -0.5, expected at least 0");
  config = {};
  config.weight_decay = -0.5;
  CHECK_THROWS_WITH(Optimizer(start(), config), "Sgd: weight_decay is -0.5, expected at least 0");

  Pair<double> p = start();
  Optimizer sgd(p);
  CHECK_THROWS_WITH(sgd.set_learning_rate(-1.0), "Sgd::set_learning_rate: rate is -1, expected at least 0");
  Pair<double> g = zeros_like(p);
  g.bias.resize({3});
  CHECK_THROWS_WITH(sgd.step(p, g), "Sgd::step: grads.bias is [3], expected [2]");
  CHECK(p == start());
  CHECK(sgd.state().step == 0);
}

}  // namespace sgd_test
