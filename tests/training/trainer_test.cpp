#include "support/catch.hpp"
#include "training/toy_training.hpp"

#include <mat/training/sgd.hpp>

namespace trainer_test {

using namespace mat;
using namespace mat::test;

TEST_CASE("Trainer lowers the loss and reports each epoch", "[training]") {
  const ToyData data(60);
  ToyModel model;
  const double before = data.mean_loss(model);
  ToyTrainer::Config config = toy_config();
  config.epochs = 20;
  ToyTrainer trainer(model, config);
  const TrainReport report = trainer.fit(model, data.examples, step_of(data, model));
  CHECK(report.finished);
  CHECK(report.history.size() == 20);
  CHECK(report.history[0].epoch == 1);
  CHECK(std::isnan(report.history[0].validation));
  CHECK(report.best_epoch == 0);
  CHECK(report.history.back().loss < 0.5 * report.history.front().loss);
  CHECK(data.mean_loss(model) < 0.5 * before);
  CHECK(report.steps == ToyTrainer::count_steps(data.examples.lengths, config));
}

TEST_CASE("Accumulated batches make the step of one big batch", "[training]") {
  const ToyData data(24);
  ToyModel whole;
  Trainer<ToyModel, Sgd<ToyModel::Parameters>>::Config sgd;
  sgd.epochs = 1;
  sgd.schedule = Schedule::constant(1.0);
  sgd.batches.token_budget = 1000;
  const auto step = [&](const ToyModel& model) {
    return [&](const Batch& batch, ToyModel::Parameters& grads, double normalizer, const Random&) {
      return data.run(model, batch, &grads, normalizer);
    };
  };
  Trainer<ToyModel, Sgd<ToyModel::Parameters>> big(whole, sgd);
  const TrainReport one = big.fit(whole, data.examples, step(whole));
  CHECK(one.steps == 1);

  ToyModel parts;
  sgd.batches.token_budget = 5;
  sgd.accumulate = 1000;
  Trainer<ToyModel, Sgd<ToyModel::Parameters>> small(parts, sgd);
  const TrainReport accumulated = small.fit(parts, data.examples, step(parts));
  CHECK(accumulated.steps == 1);
  CHECK(std::abs(accumulated.history[0].loss - one.history[0].loss) < 1e-15);
  CHECK(difference(numbers(parts.parameters()), numbers(whole.parameters())) < 1e-15);
  CHECK(!(whole.parameters() == ToyModel().parameters()));
}

TEST_CASE("A stopped, saved and restored training gives the bits of one that was not stopped", "[training]") {
  const ToyData data(40);
  ToyTrainer::Config config = toy_config();
  config.average_decay = 0.9;
  config.accumulate = 2;
  const auto validate = [&](const ToyModel& model) { return data.mean_loss(model); };
  ToyModel straight;
  ToyTrainer reference(straight, config);
  const TrainReport expected = reference.fit(straight, data.examples, step_of(data, straight), validate);

  ToyModel model;
  ToyTrainer::State state;
  std::vector<double> tensors, parameters = numbers(model.parameters());
  bool finished = false;
  for (int run = 0; run < 100 && !finished; ++run) {
    ToyTrainer trainer(model, config);
    std::size_t i = 0;
    if (run > 0) {
      for_each_parameter(
          [&](const ParameterName&, auto& tensor) {
            for (Index j = 0; j < tensor.size(); ++j) tensor.data()[j] = tensors[i++];
          },
          trainer);
      CHECK(i == tensors.size());
      trainer.restore(state);
    }
    int events = 0;
    finished = trainer
                   .fit(model, data.examples, step_of(data, model), validate,
                        [&](const Progress&) { return ++events == 4 ? Next::stop : Next::go_on; })
                   .finished;
    state = trainer.state();
    tensors.clear();
    for_each_parameter(
        [&](const ParameterName&, const auto& tensor) {
          tensors.insert(tensors.end(), tensor.data(), tensor.data() + tensor.size());
        },
        trainer);
  }
  CHECK(finished);
  CHECK(state == reference.state());
  CHECK(state.step == expected.steps);
  CHECK(state.best_validation == expected.best_validation);
  CHECK(model.parameters() == straight.parameters());
}

TEST_CASE("A training that its observer stopped can be ended where it is", "[training]") {
  const ToyData data(40);
  ToyTrainer::Config config = toy_config();
  config.average_decay = 0.9;
  const auto validate = [&](const ToyModel& m) { return data.mean_loss(m); };
  ToyModel model, kept;
  ToyTrainer trainer(model, config);
  const auto observe = [&](const Progress& progress) {
    if (progress.event != Progress::Event::epoch) return Next::go_on;
    trainer.finish(kept);  // the parameters of the only validation so far
    return Next::stop;
  };
  const TrainReport report = trainer.fit(model, data.examples, step_of(data, model), validate, observe);
  CHECK(report.best_epoch == 1);
  CHECK(trainer.state().finished);
  CHECK(data.mean_loss(kept) == report.best_validation);
  const ToyModel after = kept;
  trainer.finish(kept);  // twice is once
  CHECK(kept.parameters() == after.parameters());
}

TEST_CASE("Trainer names the tensors of its state", "[training]") {
  const ToyModel model;
  ToyTrainer::Config config = toy_config();
  CHECK(parameter_names(ToyTrainer(model, config)) ==
        std::vector<std::string>{"optimizer.exp_avg.weight", "optimizer.exp_avg.bias", "optimizer.exp_avg_sq.weight",
                                 "optimizer.exp_avg_sq.bias", "best.weight", "best.bias"});
  config.keep_best = false;
  config.average_decay = 0.5;
  const std::vector<std::string> names = parameter_names(ToyTrainer(model, config));
  CHECK(names.size() == 6);
  CHECK(names.back() == "average.bias");
}

TEST_CASE("Trainer stops when validation no longer gets better and keeps the best parameters", "[training]") {
  const ToyData data(30);
  ToyTrainer::Config config = toy_config();
  config.epochs = 50;
  config.patience = 2;
  const std::vector<double> scores{3.0, 2.0, 2.5, 2.0, 0.0};
  std::vector<ToyModel::Parameters> seen;
  const auto validate = [&](const ToyModel& model) {
    seen.push_back(model.parameters());
    return scores[seen.size() - 1];
  };
  ToyModel model;
  SECTION("the lowest") {
    ToyTrainer trainer(model, config);
    const TrainReport report = trainer.fit(model, data.examples, step_of(data, model), validate);
    CHECK(report.finished);
    CHECK(report.history.size() == 4);
    CHECK(report.best_epoch == 2);
    CHECK(report.best_validation == 2.0);
    CHECK(model.parameters() == seen[1]);
    const TrainReport again = trainer.fit(model, data.examples, step_of(data, model), validate);
    CHECK(again.history.empty());
    CHECK(model.parameters() == seen[1]);
  }
  SECTION("the highest") {
    config.goal = ToyTrainer::Goal::highest;
    ToyTrainer trainer(model, config);
    const TrainReport report = trainer.fit(model, data.examples, step_of(data, model), validate);
    CHECK(report.history.size() == 3);
    CHECK(report.best_epoch == 1);
    CHECK(model.parameters() == seen[0]);
  }
  SECTION("but with keep_best off it ends with the last") {
    config.keep_best = false;
    ToyTrainer trainer(model, config);
    trainer.fit(model, data.examples, step_of(data, model), validate);
    CHECK(model.parameters() == seen.back());
  }
}

TEST_CASE("Trainer validates and keeps the moving average, and trains on the parameters", "[training]") {
  const ToyData data(30);
  ToyTrainer::Config config = toy_config();
  ToyModel plain, averaged;
  ToyTrainer(plain, config).fit(plain, data.examples, step_of(data, plain));
  config.average_decay = 0.8;
  ToyModel::Parameters last, validated = averaged.parameters();
  ToyTrainer trainer(averaged, config);
  trainer.fit(
      averaged, data.examples, step_of(data, averaged),
      [&](const ToyModel& model) {
        validated = model.parameters();
        return -static_cast<double>(trainer.state().step);
      },
      [&](const Progress&) { last = averaged.parameters(); });
  CHECK(last == plain.parameters());
  CHECK(averaged.parameters() == validated);
  CHECK(!(validated == last));
}

TEST_CASE("A validation that throws leaves the model its parameters, not their average", "[training]") {
  const ToyData data(30);
  ToyTrainer::Config config = toy_config();
  config.average_decay = 0.8;
  ToyModel model;
  ToyModel::Parameters last;
  ToyTrainer trainer(model, config);
  const auto validate = [](const ToyModel&) -> double { throw ValueError("no data"); };
  const auto observe = [&](const Progress&) { last = model.parameters(); };
  CHECK_THROWS_WITH(trainer.fit(model, data.examples, step_of(data, model), validate, observe), "no data");
  CHECK(model.parameters() == last);
}

TEST_CASE("Trainer reports its progress after every step and every epoch", "[training]") {
  const ToyData data(30);
  ToyTrainer::Config config = toy_config();
  Schedule::Config schedule;
  schedule.learning_rate = 0.5;
  schedule.total_steps = ToyTrainer::count_steps(data.examples.lengths, config);
  config.schedule = Schedule::linear(schedule);
  ToyModel model;
  ToyTrainer trainer(model, config);
  Index steps = 0, epochs = 0;
  trainer.fit(model, data.examples, step_of(data, model), NoValidation{}, [&](const Progress& p) {
    CHECK(p.epochs == 3);
    CHECK(p.seconds >= 0.0);
    CHECK(p.seconds_left >= 0.0);
    if (p.event == Progress::Event::epoch) {
      CHECK(p.epoch == ++epochs);
      CHECK(std::isnan(p.grad_norm));
      return;
    }
    CHECK(p.step == ++steps);
    CHECK(p.epoch == epochs + 1);
    CHECK(p.learning_rate == config.schedule.rate(steps - 1));
    CHECK(p.grad_norm > 0.0);
    CHECK(p.loss > 0.0);
    CHECK(p.batch <= p.batches);
    CHECK(p.tokens_per_second > 0.0);
  });
  CHECK(epochs == 3);
  CHECK(steps == schedule.total_steps);
}

TEST_CASE("Trainer refuses what cannot be right and leaves the parameters as they were", "[training]") {
  const ToyData data(5);
  ToyModel model;
  ToyTrainer::Config config = toy_config();
  config.batches.token_budget = 1000;
  const auto fit = [&](const Examples& examples, auto step) { ToyTrainer(model, config).fit(model, examples, step); };
  const auto returning = [](const LossSum& sum, double gradient) {
    return [=](const Batch&, ToyModel::Parameters& grads, double, const Random&) {
      grads.weight.fill(gradient);
      return sum;
    };
  };
  Examples examples;
  examples.lengths = {1, 1, 1};
  examples.weights = {1.0};
  CHECK_THROWS_WITH(fit(examples, returning({}, 1.0)),
                    "Trainer::fit: weights is 1 numbers, expected 3, one for each example");
  examples.weights = {0.0, 0.0, 0.0};
  CHECK_THROWS_WITH(fit(examples, returning({}, 1.0)),
                    "Trainer::fit, step 0: weight of the targets is 0, expected more than 0");
  examples.weights = {};
  CHECK_THROWS_WITH(
      fit(examples, returning({1.0, 5.0}, 1.0)),
      "Trainer::fit, step 0: weight of the targets that the step function reports is 5, expected 3, the sum "
      "of the weights of the examples");
  CHECK_THROWS_WITH(fit(examples, returning({1.0, 3.0}, std::numeric_limits<double>::infinity())),
                    "Trainer::fit, step 0: norm of the gradients is inf, expected a finite number");
  CHECK(model.parameters() == ToyModel().parameters());

  const auto refused = [&](auto change) {
    ToyTrainer::Config wrong;
    change(wrong);
    ToyTrainer trainer(model, wrong);
  };
  CHECK_THROWS_WITH(refused([](auto& c) { c.epochs = -1; }), "Trainer: epochs is -1, expected at least 0");
  CHECK_THROWS_WITH(refused([](auto& c) { c.accumulate = 0; }), "Trainer: accumulate is 0, expected at least 1");
  CHECK_THROWS_WITH(refused([](auto& c) { c.max_norm = -1; }), "Trainer: max_norm is -1, expected at least 0");
  CHECK_THROWS_WITH(refused([](auto& c) { c.average_decay = 1; }), "Trainer: average_decay is 1, expected in [0, 1)");
  CHECK_THROWS_WITH(refused([](auto& c) { c.patience = -1; }), "Trainer: patience is -1, expected at least 0");
}

}  // namespace trainer_test
