#pragma once

#include <mat/training/classifier_run.hpp>
#include <mat/training/cross_entropy.hpp>
#include <mat/training/metrics.hpp>
#include <mat/training/trainer.hpp>

namespace mat {
inline namespace MAT_ABI {

/// Texts and the class of each.
struct ClassifierExamples {
  TokenBatch texts;
  std::vector<Index> labels;  // [texts]
};

/// How a classifier is trained: AdamW, its rate rising along a line and falling along a cosine.
struct ClassifierTraining {
  Index epochs = 6;
  Index max_examples = 64;       ///< Most texts of a batch.
  Index token_budget = 2048;     ///< Most tokens of a batch.
  double learning_rate = 1e-3;   ///< The highest.
  double embedding_rate = 5.0;   ///< Times learning_rate is that of the embedding, whose rows learn rarely.
  double warmup = 0.1;           ///< Part of the steps in which the rate rises.
  double weight_decay = 0.01;    ///< Of matrices.
  double label_smoothing = 0.0;  ///< See CrossEntropy.
  double max_norm = 1.0;         ///< Of the gradients; 0: no clipping.
  double average_decay = 0.0;    ///< Of a moving average of the parameters; 0: none.
  Index patience = 0;            ///< Epochs without a better validation until it stops; 0: never.
  bool keep_best = true;         ///< Ends with the epoch that does best on the validation examples, if there are any.
  ClassifierDropout dropout = default_dropout();  ///< Its random is not used: it is a function of the seed.
  std::uint64_t seed = 0;                         ///< Of the order of the examples and of dropout.

  [[nodiscard]] static ClassifierDropout default_dropout() {
    ClassifierDropout dropout;
    dropout.embedding = 0.3;
    dropout.encoder = 0.1;
    dropout.pooled = 0.3;
    return dropout;
  }
};

namespace detail {

inline void check_examples(const char* where, const ClassifierExamples& examples, Index classes) {
  const auto labels = static_cast<Index>(examples.labels.size());
  check_value(labels == examples.texts.size(), std::string(where) + ": the number of labels", labels,
              std::to_string(examples.texts.size()) + ", one for each text");
  for (Index i = 0; i < labels; ++i) {
    const Index label = examples.labels[static_cast<std::size_t>(i)];
    if (label >= 0 && label < classes) continue;
    check_value(false, std::string(where) + ": label " + std::to_string(i), label,
                "in [0, " + std::to_string(classes) + ")");
  }
}

/// Replaces `texts` and `labels` by those of `batch`.
inline void select_examples(const ClassifierExamples& from, const Batch& batch, ClassifierExamples& to) {
  to.texts.clear();
  to.labels.clear();
  for (const Index i : batch) {
    to.texts.append(from.texts, i);
    to.labels.push_back(from.labels[static_cast<std::size_t>(i)]);
  }
}

}  // namespace detail

/// Counts what a classifier takes each example for; Model is a TextClassifier or a SegmentClassifier.
/// Errors: ValueError for a label it does not have.
template <class Model>
[[nodiscard]] ConfusionMatrix evaluate_classifier(const Model& model, const ClassifierExamples& examples) {
  const Index classes = model.classes();
  detail::check_examples("evaluate_classifier", examples, classes);
  ConfusionMatrix confusion(classes);
  ClassifierRun<Model> run;
  ClassifierExamples part;
  for (const Batch& batch : BatchPlan(examples.texts.lengths, BatchPlan::Config{}).in_order()) {
    detail::select_examples(examples, batch, part);
    const auto logits = run.forward(model, part.texts);
    for (Index i = 0; i < logits.rows(); ++i) {
      confusion.add(part.labels[static_cast<std::size_t>(i)], argmax(logits.row(i), logits.cols()));
    }
  }
  return confusion;
}

namespace detail {

/// The settings of the trainer behind fit_classifier, for these examples.
template <class Model>
[[nodiscard]] typename Trainer<Model>::Config trainer_config(const ClassifierTraining& training,
                                                             const std::vector<Index>& lengths) {
  using ClassifierTrainer = Trainer<Model>;
  check_value(training.warmup >= 0 && training.warmup <= 1, "fit_classifier: warmup", training.warmup, "in [0, 1]");
  typename ClassifierTrainer::Config config;
  config.epochs = training.epochs;
  config.batches.token_budget = training.token_budget;
  config.batches.max_examples = training.max_examples;
  config.optimizer.weight_decay = training.weight_decay;
  config.optimizer.decay = DecayRule::matrices_only;
  config.max_norm = training.max_norm;
  config.average_decay = training.average_decay;
  config.goal = ClassifierTrainer::Goal::highest;
  config.patience = training.patience;
  config.keep_best = training.keep_best;
  config.seed = training.seed;
  ScheduleConfig schedule;
  schedule.learning_rate = training.learning_rate;
  schedule.total_steps = std::max<Index>(1, ClassifierTrainer::count_steps(lengths, config));
  schedule.warmup_steps = static_cast<Index>(training.warmup * static_cast<double>(schedule.total_steps));
  config.schedule = Schedule::cosine(schedule);
  return config;
}

}  // namespace detail

/// Trains a TextClassifier or a SegmentClassifier on `train`. With validation examples, their accuracy after each epoch
/// is Progress::validation. Equal arguments give the same bits. `observe` is Trainer::fit's.
///
/// Errors: ValueError for a setting out of range or a label that the model does not have.
template <class Model, class Observe = NoObserver>
TrainReport fit_classifier(Model& model, const ClassifierExamples& train, const ClassifierExamples& validation,
                           const ClassifierTraining& training = {}, Observe&& observe = {}) {
  using Parameters = typename Model::Parameters;
  using T = typename Model::Scalar;
  detail::check_examples("fit_classifier: train", train, model.classes());
  detail::check_examples("fit_classifier: validation", validation, model.classes());
  const auto config = detail::trainer_config<Model>(training, train.texts.lengths);
  const auto rule = [&](std::string_view name, std::size_t) {
    ParameterGroup group;
    if (name.substr(0, 10) == "embedding.") group.learning_rate = training.embedding_rate;
    return group;
  };
  typename CrossEntropy<T>::Config loss_config;
  loss_config.label_smoothing = static_cast<T>(training.label_smoothing);
  const CrossEntropy<T> loss(loss_config);
  typename CrossEntropy<T>::Cache loss_cache;
  ClassifierRun<Model> run;
  ClassifierExamples part;
  const auto step = [&](const Batch& batch, Parameters& grads, double normalizer, const Random& random) {
    detail::select_examples(train, batch, part);
    ClassifierDropout dropout = training.dropout;
    dropout.random = random;
    const auto gradient = [&](ConstMatrixView<T> logits) {
      loss.forward(logits, part.labels, loss_cache, normalizer);
      return loss.backward(loss_cache);
    };
    run.learn(model, part.texts, dropout, gradient, grads);
    return loss_cache.sum;
  };
  const auto validate = [&](const Model& m) { return evaluate_classifier(m, validation).accuracy(); };

  Trainer<Model> trainer(model, config, AdamW<Parameters>(model.parameters(), config.optimizer, rule));
  Examples examples;
  examples.lengths = train.texts.lengths;
  if (validation.labels.empty()) return trainer.fit(model, examples, step, NoValidation{}, observe);
  return trainer.fit(model, examples, step, validate, observe);
}

}  // namespace MAT_ABI
}  // namespace mat
