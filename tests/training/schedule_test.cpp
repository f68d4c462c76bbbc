#include "support/catch.hpp"

#include <mat/training/schedule.hpp>

#include <vector>

namespace schedule_test {

using namespace mat;

namespace {

double worst_error(const Schedule& schedule, const std::vector<double>& expected) {
  double worst = 0.0;
  for (std::size_t t = 0; t < expected.size(); ++t) {
    worst = std::fmax(worst, std::abs(schedule.rate(static_cast<Index>(t)) - expected[t]));
  }
  return worst;
}

Schedule::Config base() {
  Schedule::Config config;
  config.learning_rate = 0.1;
  return config;
}

}  // namespace

TEST_CASE("Schedule: a constant rate, after a warm-up if there is one", "[training]") {
  CHECK(Schedule().rate(1000) == 1e-3);
  CHECK(Schedule::constant(0.5).rate(0) == 0.5);
  Schedule::Config config = base();
  config.warmup_steps = 4;
  CHECK(worst_error(Schedule::constant(config), {0.0, 0.025, 0.05, 0.075, 0.1, 0.1}) < 1e-16);
  config.warmup_steps = 3;
  config.start_factor = 0.25;
  CHECK(worst_error(Schedule::constant(config), {0.025, 0.05, 0.075, 0.1, 0.1}) < 1e-16);
}

TEST_CASE("Schedule: linear warm-up and decay to 0", "[training]") {
  Schedule::Config config = base();
  config.warmup_steps = 2;
  config.total_steps = 6;
  CHECK(worst_error(Schedule::linear(config), {0.0, 0.05, 0.1, 0.075, 0.05, 0.025, 0.0, 0.0}) < 1e-16);
  config.total_steps = 2;  // nothing but the warm-up
  CHECK(worst_error(Schedule::linear(config), {0.0, 0.05, 0.0, 0.0}) < 1e-16);
}

TEST_CASE("Schedule: half a cosine after a warm-up", "[training]") {
  Schedule::Config config = base();
  config.warmup_steps = 2;
  config.total_steps = 6;
  const double quarter = std::sqrt(0.5);
  CHECK(worst_error(Schedule::cosine(config), {0.0, 0.05, 0.1, 0.05 * (1 + quarter), 0.05, 0.05 * (1 - quarter), 0.0}) <
        1e-16);
  config.cycles = 1.0;
  CHECK(worst_error(Schedule::cosine(config), {0.0, 0.05, 0.1, 0.05, 0.0, 0.05, 0.1}) < 1e-16);
}

// Expected numbers: PyTorch 2.13.0, torch.optim.lr_scheduler.
TEST_CASE("Schedule: cosine annealing is PyTorch's, also past its end", "[training]") {
  Schedule::Config config = base();
  config.total_steps = 4;
  config.final_learning_rate = 0.01;
  CHECK(worst_error(Schedule::cosine_annealing(config),
                    {0.1, 0.08681980515339464, 0.05500000000000001, 0.023180194846605363, 0.01, 0.023180194846605363,
                     0.05500000000000002, 0.08681980515339469, 0.10000000000000006, 0.0868198051533947}) < 1e-15);
}

TEST_CASE("Schedule: cosine annealing with a warm-up is PyTorch's SequentialLR", "[training]") {
  Schedule::Config config = base();
  config.warmup_steps = 2;
  config.start_factor = 0.1;
  config.total_steps = 6;
  config.final_learning_rate = 0.001;
  CHECK(worst_error(Schedule::cosine_annealing(config), {0.010000000000000002, 0.05500000000000001, 0.1,
                                                         0.0855017856687341, 0.0505, 0.0154982143312659, 0.001}) <
        1e-15);
}

TEST_CASE("Schedule: one cycle is PyTorch's", "[training]") {
  Schedule::Config config = base();
  config.total_steps = 6;
  const Schedule schedule = Schedule::one_cycle(config);
  CHECK(worst_error(schedule, {0.0040000000000000036, 0.09944154354509119, 0.0811745653949763, 0.046263710266697504,
                               0.01334775301888306, 4e-07}) < 1e-15);
  CHECK(schedule.rate(100) == 0.1 / 25 / 1e4);
  config.peak_fraction = 0.0;
  CHECK(Schedule::one_cycle(config).rate(5) == 0.1 / 25 / 1e4);
  config.peak_fraction = 1.0;
  CHECK(Schedule::one_cycle(config).rate(5) == 0.1);
  config.total_steps = 1;
  CHECK(Schedule::one_cycle(config).rate(0) == 0.1);
}

TEST_CASE("Schedule: inverse square root", "[training]") {
  Schedule::Config config = base();
  config.warmup_steps = 4;
  CHECK(worst_error(Schedule::inverse_sqrt(config), {0.0, 0.025, 0.05, 0.075, 0.1}) < 1e-16);
  CHECK(std::abs(Schedule::inverse_sqrt(config).rate(16) - 0.05) < 1e-16);
  config.warmup_steps = 0;
  config.timescale = 3;
  CHECK(std::abs(Schedule::inverse_sqrt(config).rate(9) - 0.05) < 1e-16);
}

TEST_CASE("Schedule: noam rises for the warm-up steps and falls with the square root", "[training]") {
  Schedule::Config config = base();
  config.learning_rate = 2.0;
  config.features = 64;
  config.warmup_steps = 4;
  const Schedule schedule = Schedule::noam(config);
  CHECK(std::abs(schedule.rate(0) - 2.0 / 64) < 1e-16);
  CHECK(std::abs(schedule.rate(3) - 2.0 / 16) < 1e-16);
  CHECK(std::abs(schedule.rate(15) - 2.0 / 32) < 1e-16);
}

TEST_CASE("Schedule refuses settings out of range", "[training]") {
  Schedule::Config c = base();
  CHECK_THROWS_WITH(Schedule::linear(c),
                    "Schedule: total_steps is 0, expected at least 1 and at least warmup_steps, 0");
  CHECK_THROWS_WITH(Schedule::noam(c), "Schedule: warmup_steps of noam is 0, expected at least 1");
  CHECK_THROWS_WITH(Schedule::inverse_sqrt(c), "Schedule: timescale without warmup_steps is 0, expected at least 1");
  CHECK_THROWS_WITH(Schedule::one_cycle(c), "Schedule: total_steps is 0, expected at least 1");
  c.warmup_steps = 5;
  c.total_steps = 4;
  CHECK_THROWS_WITH(Schedule::cosine(c),
                    "Schedule: total_steps is 4, expected at least 1 and at least warmup_steps, 5");
  c.features = 0;
  CHECK_THROWS_WITH(Schedule::noam(c), "Schedule: features is 0, expected at least 1");
  c.timescale = -1;
  CHECK_THROWS_WITH(Schedule::inverse_sqrt(c), "Schedule: timescale is -1, expected at least 0");
  c.peak_fraction = 1.5;
  CHECK_THROWS_WITH(Schedule::one_cycle(c), "Schedule: peak_fraction is 1.5, expected in [0, 1]");
  c.peak_fraction = 0.5;
  c.final_div_factor = 0.0;
  CHECK_THROWS_WITH(Schedule::one_cycle(c), "Schedule: final_div_factor is 0, expected more than 0");
  c.div_factor = 0.0;
  CHECK_THROWS_WITH(Schedule::one_cycle(c), "Schedule: div_factor is 0, expected more than 0");
  c = base();
  c.total_steps = 4;
  c.final_learning_rate = -1.0;
  CHECK_THROWS_WITH(Schedule::cosine_annealing(c), "Schedule: final_learning_rate is -1, expected at least 0");
  c.warmup_steps = -1;
  CHECK_THROWS_WITH(Schedule::constant(c), "Schedule: warmup_steps is -1, expected at least 0");
  c = base();
  c.start_factor = 2.0;
  CHECK_THROWS_WITH(Schedule::constant(c), "Schedule: start_factor is 2, expected in [0, 1]");
  CHECK_THROWS_WITH(Schedule::constant(-0.1), "Schedule: learning_rate is -0.1, expected at least 0");
  CHECK_THROWS_WITH(Schedule().rate(-1), "Schedule::rate: step is -1, expected at least 0");
}

}  // namespace schedule_test
