#include "support/catch.hpp"
#include "training/toy_model.hpp"

#include <mat/training/moving_average.hpp>

namespace moving_average_test {

using namespace mat;
using namespace mat::test;

namespace {

Pair<double> constant(double value) {
  Pair<double> p = start();
  p.weight.fill(value);
  p.bias.fill(value);
  return p;
}
MovingAverageConfig config_of(double decay, bool bias_correction) {
  MovingAverageConfig config;
  config.decay = decay;
  config.bias_correction = bias_correction;
  return config;
}

}  // namespace

TEST_CASE("MovingAverage moves by 1 - decay towards the parameters", "[training]") {
  MovingAverage<Pair<double>> average(constant(8.0), config_of(0.75, false));
  average.update(constant(4.0));
  CHECK(average.state().average == constant(7.0));
  average.update(constant(3.0));
  CHECK(average.state().average == constant(6.0));
  CHECK(average.state().updates == 2);
}

TEST_CASE("MovingAverage with bias correction forgets where it started", "[training]") {
  MovingAverage<Pair<double>> average(constant(1000.0), config_of(0.5, true));
  average.update(constant(4.0));
  CHECK(average.state().average == constant(4.0));
  average.update(constant(1.0));
  // Weights 1/4 and 1/2, divided by their sum.
  CHECK(difference(numbers(average.state().average), numbers(constant(2.0))) < 1e-15);
}

TEST_CASE("MovingAverage is swapped in for an evaluation and out again without a copy", "[training]") {
  Pair<double> p = constant(4.0);
  const double* memory = p.weight.data();
  MovingAverage<Pair<double>> average(constant(8.0), config_of(0.5, false));
  average.swap(p);
  CHECK(p == constant(8.0));
  average.swap(p);
  CHECK(p == constant(4.0));
  CHECK(p.weight.data() == memory);
  CHECK(average.state().average == constant(8.0));
}

TEST_CASE("MovingAverage refuses what does not fit", "[training]") {
  CHECK_THROWS_WITH(MovingAverage<Pair<double>>(start(), config_of(1.0, false)),
                    "MovingAverage: decay is 1, expected in [0, 1)");
  MovingAverage<Pair<double>> average(start());
  Pair<double> other = start();
  other.bias.resize({5});
  CHECK_THROWS_WITH(average.update(other), "MovingAverage::update: parameters.bias is [5], expected [2]");
  CHECK_THROWS_WITH(average.swap(other), "MovingAverage::swap: parameters.bias is [5], expected [2]");
  CHECK(average.state().updates == 0);
}

}  // namespace moving_average_test
