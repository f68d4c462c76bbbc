#include "support/catch.hpp"

#include <mat/training/translator_trainer.hpp>

namespace translator_trainer_test {

using namespace mat;

namespace {

/// Sequences of the tokens 3 to 7, whose translation is their reverse.
TranslationExamples reversals(Index count) {
  TranslationExamples examples;
  for (Index i = 0; i < count; ++i) {
    const Random random = Random(7).split(static_cast<std::uint64_t>(i));
    std::vector<Index> source;
    for (Index t = 0; t < 1 + random.below(0, 4); ++t)
      source.push_back(3 + random.below(1 + static_cast<std::uint64_t>(t), 5));
    examples.sources.push_back(source);
    examples.targets.emplace_back(source.rbegin(), source.rend());
  }
  return examples;
}

Translator<double> small_model() {
  Translator<double>::Config config;
  config.source_vocabulary = config.target_vocabulary = 8;
  config.layer.d_model = 16;
  config.layer.nhead = 2;
  config.layer.dim_feedforward = 16;
  config.num_encoder_layers = config.num_decoder_layers = 1;
  return Translator<double>(config, Random(1));
}

TranslatorTraining short_training() {
  TranslatorTraining training;
  training.epochs = 3;
  training.token_budget = 60;
  training.learning_rate = 5e-3;
  training.warmup = 20;
  training.dropout = 0.1;
  training.average_decay = 0.9;
  return training;
}

/// The tokens that follow the right ones before them, most probable: what is right of all targets.
double accuracy(const Translator<double>& model, const TranslationExamples& examples) {
  Index right = 0, all = 0;
  Translator<double>::Cache cache;
  for (std::size_t i = 0; i < examples.sources.size(); ++i) {
    std::vector<Index> target = examples.targets[i];
    target.insert(target.begin(), 1);
    const auto sources = Sequences::single(static_cast<Index>(examples.sources[i].size()));
    const auto targets = Sequences::single(static_cast<Index>(target.size()));
    const auto logits = model.forward(
        {{examples.sources[i], {sources.rows()}}, {target, {targets.rows()}}, &sources, &targets}, {}, cache);
    for (Index t = 0; t < targets.rows(); ++t) {
      Index best = 0;
      for (Index j = 0; j < logits.cols(); ++j) best = logits(t, j) > logits(t, best) ? j : best;
      right += best == (t + 1 < targets.rows() ? target[static_cast<std::size_t>(t + 1)] : 2) ? 1 : 0;
      ++all;
    }
  }
  return static_cast<double>(right) / static_cast<double>(all);
}

}  // namespace

TEST_CASE("A translator learns to reverse sequences, and equal trainings give the same bits", "[training]") {
  const TranslationExamples examples = reversals(300);
  TranslatorTraining training = short_training();
  training.epochs = 50;
  training.label_smoothing = 0.0;
  Translator<double> model = small_model();
  TranslatorTrainer<double> trainer(model, examples, training);
  const TrainReport report = trainer.fit(model);
  CHECK(report.finished);
  CHECK(report.history.size() == 50);
  CHECK(report.history.back().loss < 0.3 * report.history.front().loss);
  CHECK(accuracy(model, examples) > 0.95);

  Translator<double> one = small_model(), two = small_model();
  TranslatorTrainer<double>(one, examples, short_training()).fit(one);
  TranslatorTrainer<double>(two, examples, short_training()).fit(two);
  for_each_parameter([](const ParameterName&, const auto& a, const auto& b) { CHECK(a == b); }, one.parameters(),
                     two.parameters());
}

TEST_CASE("A translator's training keeps the epoch that validates best", "[training]") {
  const TranslationExamples examples = reversals(60);
  Translator<double> model = small_model(), second = small_model();
  int epoch = 0;
  const auto validate = [&](const Translator<double>& m) {
    ++epoch;
    if (epoch == 2) second = m;
    return epoch == 2 ? 10.0 : 1.0;
  };
  TranslatorTrainer<double> trainer(model, examples, short_training());
  const TrainReport report = trainer.fit(model, validate);
  CHECK(report.best_epoch == 2);
  for_each_parameter([](const ParameterName&, const auto& a, const auto& b) { CHECK(a == b); }, model.parameters(),
                     second.parameters());
}

TEST_CASE("A translator's rate rises, then falls as asked", "[training]") {
  const TranslationExamples examples = reversals(60);
  const Translator<double> model = small_model();
  TranslatorTraining training = short_training();
  using Decline = TranslatorTraining::Decline;
  for (const Decline decline : {Decline::cosine, Decline::linear, Decline::inverse_sqrt}) {
    training.decline = decline;
    const TranslatorTrainer<double> trainer(model, examples, training);
    const Schedule& schedule = trainer.trainer().config().schedule;
    const Index warmup = schedule.config().warmup_steps, total = schedule.config().total_steps;
    CHECK(warmup <= total / 2);
    CHECK(schedule.rate(0) == 0.0);
    CHECK(schedule.rate(warmup) == training.learning_rate);
    CHECK(schedule.rate(total - 1) < training.learning_rate);
  }
}

TEST_CASE("TranslatorTrainer refuses pairs that are none and tokens that are not there", "[training]") {
  Translator<double> model = small_model();
  TranslationExamples examples = reversals(3);
  examples.targets.pop_back();
  CHECK_THROWS_WITH(TranslatorTrainer<double>(model, examples, short_training()),
                    "TranslatorTrainer: the number of targets is 2, expected 3, one for each source");
  examples = reversals(1);
  examples.targets[0] = {9};
  TranslatorTrainer<double> trainer(model, examples, short_training());
  CHECK_THROWS_AS(trainer.fit(model), ValueError);
}

}  // namespace translator_trainer_test
