#pragma once

#include <mat/models/text_classifier.hpp>
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

/// How a TextClassifier is trained.
struct ClassifierTraining {
  Index epochs = 15;
  Index token_budget = 1024;  ///< Most tokens of a batch.
  Index max_examples = 64;    ///< Most texts of a batch.
  double learning_rate = 1e-3;
  double warmup = 0.1;  ///< Part of the steps in which the rate rises; then it falls along a cosine to 0.
  double weight_decay = 0.01;
  double embedding_decay = 1.0, embedding_rate = 1.0, beta2 = 0.999;
  double label_smoothing = 0.1;
  double max_norm = 1.0;
  double average_decay = 0.0;
  ClassifierDropout dropout;  ///< Its random is not used: masks are a function of the seed.
  bool keep_best = true;
  std::uint64_t seed = 0;
};

/// The logits of the texts `batch` of `examples`.
template <class T>
ConfusionMatrix evaluate_classifier(const TextClassifier<T>& model, const ClassifierExamples& examples) {
  ConfusionMatrix confusion(model.config().classes);
  BatchPlan::Config plan;
  typename TextClassifier<T>::Cache cache;
  TokenBatch texts;
  for (const Batch& batch : BatchPlan(examples.texts.lengths, plan).in_order()) {
    texts.clear();
    for (const Index i : batch) texts.append(examples.texts, i);
    const auto logits = model.forward(texts, cache);
    for (std::size_t r = 0; r < batch.size(); ++r) {
      confusion.add(examples.labels[static_cast<std::size_t>(batch[r])],
                    argmax(logits.row(static_cast<Index>(r)), logits.cols()));
    }
  }
  return confusion;
}

template <class T, class Observe = NoObserver>
TrainReport fit_classifier(TextClassifier<T>& model, const ClassifierExamples& train, const ClassifierExamples& valid,
                           const ClassifierTraining& config, Observe&& observe = {}) {
  using Trainer = mat::Trainer<TextClassifier<T>>;
  typename Trainer::Config c;
  c.epochs = config.epochs;
  c.batches.token_budget = config.token_budget;
  c.batches.max_examples = config.max_examples;
  c.optimizer.weight_decay = config.weight_decay;
  c.optimizer.beta2 = config.beta2;
  c.optimizer.decay = DecayRule::matrices_only;
  c.max_norm = config.max_norm;
  c.average_decay = config.average_decay;
  c.goal = Trainer::Goal::highest;
  c.keep_best = config.keep_best;
  c.seed = config.seed;
  ScheduleConfig schedule;
  schedule.learning_rate = config.learning_rate;
  schedule.total_steps = std::max<Index>(1, Trainer::count_steps(train.texts.lengths, c));
  schedule.warmup_steps = static_cast<Index>(config.warmup * static_cast<double>(schedule.total_steps));
  c.schedule = Schedule::cosine(schedule);
  typename CrossEntropy<T>::Config loss_config;
  loss_config.label_smoothing = static_cast<T>(config.label_smoothing);
  const CrossEntropy<T> loss(loss_config);
  typename CrossEntropy<T>::Cache loss_cache;
  typename TextClassifier<T>::Cache cache;
  TokenBatch texts;
  std::vector<Index> labels;
  const auto rule = [&config](std::string_view name, std::size_t) {
    ParameterGroup group;
    if (name == "embedding.feature_weight" || name == "embedding.weight") group = {config.embedding_rate, config.embedding_decay};
    return group;
  };
  Trainer trainer(model, c, AdamW<typename TextClassifier<T>::Parameters>(model.parameters(), c.optimizer, rule));
  Examples examples;
  examples.lengths = train.texts.lengths;
  return trainer.fit(
      model, examples,
      [&](const Batch& batch, typename TextClassifier<T>::Parameters& grads, double normalizer, const Random& random) {
        texts.clear();
        labels.clear();
        for (const Index i : batch) {
          texts.append(train.texts, i);
          labels.push_back(train.labels[static_cast<std::size_t>(i)]);
        }
        ClassifierDropout dropout = config.dropout;
        dropout.random = random;
        const auto logits = model.forward(texts, dropout, cache);
        loss.forward(logits, labels, loss_cache, normalizer);
        model.backward(loss.backward(loss_cache), cache, grads);
        return loss_cache.sum;
      },
      [&](const TextClassifier<T>& m) { return evaluate_classifier(m, valid).accuracy(); }, observe);
}

}  // namespace MAT_ABI
}  // namespace mat
