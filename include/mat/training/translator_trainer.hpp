#pragma once

#include <mat/models/translator.hpp>
#include <mat/training/cross_entropy.hpp>
#include <mat/training/trainer.hpp>

namespace mat {
inline namespace MAT_ABI {

/// Sentences and their translations as tokens.
struct TranslationExamples {
  std::vector<std::vector<Index>> sources;  // as the encoder reads them: [examples]
  std::vector<std::vector<Index>> targets;  // without the tokens that begin and end a translation: [examples]
};

/// How a Translator is trained: AdamW on batches of about as many tokens, which are not sorted by length, for nothing
/// is padded.
struct TranslatorTraining {
  enum class Decline { cosine, linear, inverse_sqrt };

  Index begin_token = 1;              ///< What the decoder reads first.
  Index end_token = 2;                ///< What it is to say last.
  Index epochs = 20;                  ///< Passes over the examples.
  Index token_budget = 4096;          ///< Most tokens of a batch, those of both sides.
  double learning_rate = 1e-3;        ///< The highest.
  Index warmup = 1000;                ///< Steps in which the rate rises along a line.
  Decline decline = Decline::cosine;  ///< How it falls afterwards: to 0, or with the root of the steps.
  double beta2 = 0.98;                ///< Of AdamW.
  double weight_decay = 0.01;         ///< Of matrices.
  double dropout = 0.1;               ///< Everywhere in the model.
  double label_smoothing = 0.1;       ///< See CrossEntropy.
  double max_norm = 1.0;              ///< Of the gradients; 0: no clipping.
  double average_decay = 0.999;       ///< Of a moving average of the parameters, which is validated and kept; 0: none.
  bool keep_best = true;   ///< Ends with the epoch of the best validation, if there is one; else with the last.
  std::uint64_t seed = 0;  ///< Of the order of the examples and of dropout.
};

/// Trains a Translator with a Trainer, which a program saves and restores (see save_training). Equal arguments give the
/// same bits, for any number of threads.
///
/// The loss is that of each token of a translation, its end included, given the right ones before it; its mean is taken
/// over the tokens of a batch.
///
/// Source:  Vaswani et al. (2017), "Attention is all you need", section 5.
/// Errors:  ValueError for a setting out of range, another number of targets than of sources, or (in fit) a token that
///          the model does not have.
/// Threads: each object belongs to one thread. The examples must live as long as it does.
template <class T>
class TranslatorTrainer {
 public:
  using Model = Translator<T>;
  using Parameters = typename Model::Parameters;
  using Config = TranslatorTraining;

  TranslatorTrainer(const Model& model, const TranslationExamples& examples, const Config& config)
      : config_(config),
        examples_(examples),
        summary_(summarize(examples)),
        loss_(loss_config(config)),
        trainer_(model, trainer_config(config, summary_.lengths)) {}

  [[nodiscard]] const Config& config() const { return config_; }
  [[nodiscard]] const Trainer<Model>& trainer() const { return trainer_; }
  [[nodiscard]] Trainer<Model>& trainer() { return trainer_; }

  /// Trainer::fit, with its `validate` (the higher, the better) and `observe`.
  template <class Validate = NoValidation, class Observe = NoObserver>
  TrainReport fit(Model& model, Validate&& validate = {}, Observe&& observe = {}) {
    const auto step = [&](const Batch& batch, Parameters& grads, double normalizer, const Random& random) {
      collect(batch);
      typename Model::Batch tokens;
      tokens.source = {source_, {static_cast<Index>(source_.size())}};
      tokens.target = {target_, {static_cast<Index>(target_.size())}};
      tokens.source_sequences = &source_sequences_;
      tokens.target_sequences = &target_sequences_;
      const Dropout dropout{config_.dropout, random};
      loss_.forward(model.forward(tokens, dropout, cache_), labels_, loss_cache_, normalizer);
      model.backward(loss_.backward(loss_cache_), cache_, grads);
      return loss_cache_.sum;
    };
    return trainer_.fit(model, summary_, step, validate, observe);
  }

 private:
  [[nodiscard]] static Examples summarize(const TranslationExamples& examples) {
    const auto sources = static_cast<Index>(examples.sources.size());
    check_value(static_cast<Index>(examples.targets.size()) == sources, "TranslatorTrainer: the number of targets",
                static_cast<Index>(examples.targets.size()), std::to_string(sources) + ", one for each source");
    Examples summary;
    for (std::size_t i = 0; i < examples.sources.size(); ++i) {
      const auto labels = static_cast<Index>(examples.targets[i].size()) + 1;
      summary.lengths.push_back(static_cast<Index>(examples.sources[i].size()) + labels);
      summary.weights.push_back(static_cast<double>(labels));
    }
    return summary;
  }
  [[nodiscard]] static typename CrossEntropy<T>::Config loss_config(const Config& config) {
    typename CrossEntropy<T>::Config loss;
    loss.label_smoothing = static_cast<T>(config.label_smoothing);
    return loss;
  }
  [[nodiscard]] static typename Trainer<Model>::Config trainer_config(const Config& config,
                                                                      const std::vector<Index>& lengths) {
    typename Trainer<Model>::Config c;
    c.epochs = config.epochs;
    c.batches.token_budget = config.token_budget;
    c.batches.pool_size = 1;
    c.optimizer.beta2 = config.beta2;
    c.optimizer.weight_decay = config.weight_decay;
    c.optimizer.decay = DecayRule::matrices_only;
    c.max_norm = config.max_norm;
    c.average_decay = config.average_decay;
    c.goal = Trainer<Model>::Goal::highest;
    c.keep_best = config.keep_best;
    c.seed = config.seed;
    ScheduleConfig schedule;
    schedule.learning_rate = config.learning_rate;
    schedule.total_steps = std::max<Index>(1, Trainer<Model>::count_steps(lengths, c));
    // A short training rises in its first half only.
    schedule.warmup_steps = std::min(config.warmup, schedule.total_steps / 2);
    schedule.timescale = schedule.warmup_steps == 0 ? 1 : 0;
    c.schedule = config.decline == Config::Decline::cosine   ? Schedule::cosine(schedule)
                 : config.decline == Config::Decline::linear ? Schedule::linear(schedule)
                                                             : Schedule::inverse_sqrt(schedule);
    return c;
  }

  /// The examples of a batch one after the other: what the decoder reads begins with begin_token, what it is to say
  /// ends with end_token.
  void collect(const Batch& batch) {
    source_.clear();
    target_.clear();
    labels_.clear();
    source_lengths_.clear();
    target_lengths_.clear();
    for (const Index example : batch) {
      const std::vector<Index>& source = examples_.sources[static_cast<std::size_t>(example)];
      const std::vector<Index>& target = examples_.targets[static_cast<std::size_t>(example)];
      source_.insert(source_.end(), source.begin(), source.end());
      source_lengths_.push_back(static_cast<Index>(source.size()));
      target_.push_back(config_.begin_token);
      target_.insert(target_.end(), target.begin(), target.end());
      labels_.insert(labels_.end(), target.begin(), target.end());
      labels_.push_back(config_.end_token);
      target_lengths_.push_back(static_cast<Index>(target.size()) + 1);
    }
    source_sequences_.assign(source_lengths_);
    target_sequences_.assign(target_lengths_);
  }

  Config config_;
  const TranslationExamples& examples_;
  Examples summary_;
  CrossEntropy<T> loss_;
  Trainer<Model> trainer_;
  typename Model::Cache cache_;
  typename CrossEntropy<T>::Cache loss_cache_;
  std::vector<Index> source_, target_, labels_;  // [source tokens], [target tokens], [target tokens]
  std::vector<Index> source_lengths_, target_lengths_;
  Sequences source_sequences_, target_sequences_;
};

}  // namespace MAT_ABI
}  // namespace mat
