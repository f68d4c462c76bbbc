#include "support/catch.hpp"
#include "training/toy_model.hpp"

#include <mat/core/random.hpp>
#include <mat/layers/initialize.hpp>
#include <mat/training/adam.hpp>

namespace adam_test {

using namespace mat;
using namespace mat::test;

namespace {

using Optimizer = Adam<Pair<double>>;

}  // namespace

// Expected numbers: PyTorch 2.13.0, torch.optim.Adam in double.
TEST_CASE("Adam follows PyTorch's trajectories", "[training]") {
  AdamConfig config;
  SECTION("with the defaults") {
    Optimizer adam(start());
    CHECK(difference(three_steps(adam), {0.9990935336596989, -1.9992885248075944, 0.49801500248670433,
                                         2.9977368288817248, 0.2517933577926919, -1.0025028769461601}) < 1e-15);
    CHECK(parameter_names(adam.state()) ==
          std::vector<std::string>{"exp_avg.weight", "exp_avg.bias", "exp_avg_sq.weight", "exp_avg_sq.bias"});
  }
  SECTION("with weight decay, which passes through the moments") {
    config.learning_rate = 0.01;
    config.weight_decay = 0.1;
    Optimizer adam(start(), config);
    CHECK(difference(three_steps(adam), {0.9880146783419443, -1.9775159583530642, 0.4781000288962947, 2.974184975395207,
                                         0.2673861320109897, -1.0243331514680436}) < 1e-15);
    CHECK(difference(numbers(adam.state().exp_avg_sq),
                     {0.004607902179365979, 0.0002016528214193994, 0.00021597024657042687, 0.0022659217165994917,
                      0.0017489580699500754, 0.003761828680570673}) < 1e-15);
  }
  SECTION("amsgrad") {
    config.learning_rate = 0.02;
    config.beta1 = 0.8;
    config.beta2 = 0.9;
    config.amsgrad = true;
    Optimizer adam(start(), config);
    CHECK(difference(three_steps(adam), {0.9817264939471846, -1.9874875235553375, 0.4622727729700583,
                                         2.9558788564488077, 0.284853701701953, -1.0480906104695389}) < 1e-15);
    CHECK(difference(numbers(adam.state().max_exp_avg_sq),
                     {0.4233099999999999, 0.009849999999999998, 0.017696249999999993, 0.13895999999999997,
                      0.15974999999999998, 0.3999999999999999}) < 1e-15);
  }
}

TEST_CASE("Adam gives a parameter the same bits wherever it lies in its tensor", "[training]") {
  const Index n = 70001;
  Pair<float> p{Matrix<float>({1, n}), Vector<float>({1})}, g = p;
  initialize_normal<float>(p.weight, 1.0, Random(1));
  initialize_normal<float>(g.weight, 1.0, Random(2));
  Pair<float> one{Matrix<float>({1, 1}), Vector<float>({1})}, one_g = one;
  const Index at = GENERATE(0, 7, 32768, 69999, 70000);
  one.weight(0, 0) = p.weight(0, at);
  one_g.weight(0, 0) = g.weight(0, at);
  Adam<Pair<float>> adam(p), adam_one(one);
  for (int i = 0; i < 3; ++i) {
    adam.step(p, g);
    adam_one.step(one, one_g);
  }
  CHECK(p.weight(0, at) == one.weight(0, 0));
}

TEST_CASE("Adam goes on from a copied state with the same bits", "[training]") {
  Pair<double> p = start(), q = start();
  Optimizer straight(p), first(q);
  const std::vector<Pair<double>> g = three_gradients();
  for (const Pair<double>& gradient : g) straight.step(p, gradient);
  first.step(q, g[0]);
  Optimizer second(q);
  second.state() = first.state();
  second.step(q, g[1]);
  second.step(q, g[2]);
  CHECK(p == q);
}

TEST_CASE("Adam takes learning rates and decays by name", "[training]") {
  AdamConfig config;
  config.learning_rate = 0.1;
  const auto rule = [](std::string_view name, std::size_t rank) {
    ParameterGroup group;
    if (name == "bias") group.learning_rate = 0.5;
    if (rank == 2) group.learning_rate = 0.0;
    return group;
  };
  Pair<double> p = start(), g = zeros_like(p);
  g.weight.fill(1.0);
  g.bias.fill(1.0);
  Optimizer(p, config, rule).step(p, g);
  CHECK(p.weight == start().weight);
  CHECK(difference(numbers(p), {1.0, -2.0, 0.5, 3.0, 0.25 - 0.05, -1.0 - 0.05}) < 1e-8);
}

TEST_CASE("Adam refuses what does not fit before anything changes", "[training]") {
  const auto refused = [](auto change) {
    AdamConfig config;
    change(config);
    Optimizer adam(start(), config);
  };
  CHECK_THROWS_WITH(refused([](AdamConfig& c) { c.learning_rate = -1.0; }),
                    "Adam: learning_rate is -1, expected at least 0");
  CHECK_THROWS_WITH(refused([](AdamConfig& c) { c.beta1 = 1.0; }), "Adam: beta1 is 1, expected in [0, 1)");
  CHECK_THROWS_WITH(refused([](AdamConfig& c) { c.beta2 = -0.1; }), "Adam: beta2 is -0.1, expected in [0, 1)");
  CHECK_THROWS_WITH(refused([](AdamConfig& c) { c.epsilon = -1.0; }), "Adam: epsilon is -1, expected at least 0");
  CHECK_THROWS_WITH(refused([](AdamConfig& c) { c.weight_decay = -1.0; }),
                    "Adam: weight_decay is -1, expected at least 0");

  Pair<double> p = start();
  Optimizer adam(p);
  CHECK_THROWS_WITH(adam.set_learning_rate(-1.0), "Adam::set_learning_rate: rate is -1, expected at least 0");
  Pair<double> g = zeros_like(p);
  g.weight.resize({2, 3});
  CHECK_THROWS_WITH(adam.step(p, g), "Adam::step: grads.weight is [2, 3], expected [2, 2]");
  g = zeros_like(p);
  g.bias = {};
  CHECK_THROWS_WITH(adam.step(p, g), "Adam::step: grads is 1 tensors, expected 2, one for each parameter");
  g = zeros_like(p);
  adam.state().exp_avg.bias.resize({1});
  CHECK_THROWS_WITH(adam.step(p, g), "Adam::step: state.exp_avg.bias is [1], expected [2]");
  CHECK(p == start());
  CHECK(adam.state().step == 0);
}

}  // namespace adam_test
