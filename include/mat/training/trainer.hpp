#pragma once

#include <mat/training/adamw.hpp>
#include <mat/training/batching.hpp>
#include <mat/training/clip.hpp>
#include <mat/training/loss_sum.hpp>
#include <mat/training/moving_average.hpp>
#include <mat/training/progress.hpp>
#include <mat/training/schedule.hpp>

#include <chrono>
#include <optional>
#include <utility>

namespace mat {
inline namespace MAT_ABI {

/// What a training needs to know of its examples; what they are stays with the caller.
struct Examples {
  std::vector<Index> lengths;   // tokens of each, for the batches
  std::vector<double> weights;  // weight of the targets of each, their number if all weigh 1; empty: 1 each
};

/// What an observer of a training wants next.
enum class Next { go_on, stop };

struct EpochReport {
  Index epoch = 0;                      // from 1
  double loss = Progress::kNone;        // mean over the targets of the epoch
  double validation = Progress::kNone;  // NaN without a validation
};

/// What one `fit` did.
struct TrainReport {
  bool finished = false;  // false if the observer stopped it
  Index steps = 0;        // of the whole training
  Index best_epoch = 0;   // 0 without a validation
  double best_validation = Progress::kNone;
  std::vector<EpochReport> history;  // the epochs that ended in this `fit`
};

/// For fit without a validation, or without an observer.
struct NoValidation {};
struct NoObserver {};

/// Trains a model that it knows only by its parameters: epochs of shuffled batches, gradient accumulation, clipping,
/// optimiser, schedule, moving average, validation with early stopping. It prints nothing.
///
/// The gradient of a step is that of the mean over all targets of its `accumulate` batches, as if they were one batch.
/// A trainer that is stopped, saved (`visit` for its tensors, `state` for the rest), restored and continued gives the
/// same bits as one that is not.
///
/// Errors: ValueError for a setting out of range, a step without targets, example weights that are not those the step
///         function reports, or a gradient norm that is not finite; the parameters are those before the step then.
template <class Model, class Optimizer = AdamW<typename Model::Parameters>>
class Trainer {
 public:
  using Parameters = typename Model::Parameters;
  enum class Goal { lowest, highest };

  struct Config {
    Index epochs = 1;
    Index accumulate = 1;  // batches per step of the optimiser
    BatchPlan::Config batches;
    typename Optimizer::Config optimizer;  // its learning rate is the schedule's
    Schedule schedule;
    double max_norm = 1.0;       // of the gradients; 0: no clipping
    double average_decay = 0.0;  // of a moving average, which is then validated and kept; 0: none
    Goal goal = Goal::lowest;    // the better validation
    Index patience = 0;          // epochs without a better validation until it stops; 0: never
    bool keep_best = true;       // ends with the parameters of the best validation
    std::uint64_t seed = 0;
  };

  /// Where the training stands, beside its tensors: a plain value to save and to restore.
  struct State {
    Index epoch = 0;     // epochs that ended
    Index batch = 0;     // batches of the current epoch that are done
    Index step = 0;      // steps of the optimiser
    LossSum epoch_loss;  // of the current epoch
    Index best_epoch = 0;
    double best_validation = Progress::kNone;
    bool finished = false;

    friend bool operator==(const State& a, const State& b) {
      const bool same_best = a.best_validation == b.best_validation || (a.best_epoch == 0 && b.best_epoch == 0);
      return a.epoch == b.epoch && a.batch == b.batch && a.step == b.step && a.epoch_loss == b.epoch_loss &&
             a.best_epoch == b.best_epoch && same_best && a.finished == b.finished;
    }
    friend bool operator!=(const State& a, const State& b) { return !(a == b); }
  };

  Trainer(const Model& model, const Config& config)
      : Trainer(model, config, Optimizer(model.parameters(), config.optimizer)) {}
  /// With an optimiser made by the caller, for one that treats parameters differently.
  Trainer(const Model& model, const Config& config, Optimizer optimizer)
      : config_(check(config)),
        optimizer_(std::move(optimizer)),
        grads_(zeros_like(model.parameters())),
        best_(config.keep_best ? model.parameters() : detail::without_values(model.parameters())) {
    if (config.average_decay > 0.0) {
      MovingAverageConfig average;
      average.decay = config.average_decay;
      average.bias_correction = true;
      average_.emplace(model.parameters(), average);
    }
  }

  [[nodiscard]] const Config& config() const { return config_; }
  [[nodiscard]] const Optimizer& optimizer() const { return optimizer_; }
  [[nodiscard]] const State& state() const { return state_; }
  /// Goes on from a saved place; the tensors are restored through `visit`, the model's by its owner.
  void restore(const State& state) {
    state_ = state;
    optimizer_.state().step = state.step;
    if (average_) average_->state().updates = state.step;
  }

  /// Walks the tensors that a resumed training needs, as for_each_parameter(visitor, trainer).
  template <class Visitor, class... T>
  static void visit(Visitor&& visitor, T&... t) {
    detail::visit_with_prefix("optimizer", visitor, t.optimizer_.state()...);
    if ((t.average_.has_value() && ...)) Average::State::visit(visitor, t.average_->state()...);
    detail::visit_with_prefix("best", visitor, t.best_...);
  }

  /// The steps that a whole training will take, for the schedule.
  [[nodiscard]] static Index count_steps(const std::vector<Index>& lengths, const Config& config) {
    check(config);
    const BatchPlan plan(lengths, config.batches);
    Index steps = 0;
    for (Index epoch = 0; epoch < config.epochs; ++epoch) {
      const auto batches = static_cast<Index>(plan.shuffled(order(config, epoch)).size());
      steps += (batches + config.accumulate - 1) / config.accumulate;
    }
    return steps;
  }

  /// Trains from where `state` is to the end, or until the observer stops it.
  ///
  ///     step(const Batch&, Parameters& grads, double normalizer, const Random&) -> LossSum
  ///         adds the gradient of the batch's loss / normalizer, for example by CrossEntropy::forward(..., normalizer)
  ///     validate(const Model&) -> double                   after each epoch, or NoValidation
  ///     observe(const Progress&) -> Next or void           after each step and each epoch, or NoObserver
  template <class Step, class Validate = NoValidation, class Observe = NoObserver>
  TrainReport fit(Model& model, const Examples& examples, Step&& step, Validate&& validate = {},
                  Observe&& observe = {}) {
    check(examples);
    const BatchPlan plan(examples.lengths, config_.batches);
    Run run;
    TrainReport report;
    bool stop = false;
    while (!stop && state_.epoch < config_.epochs && !out_of_patience()) {
      const std::vector<Batch> batches = plan.shuffled(order(config_, state_.epoch));
      run.begin(part_done(batches));
      while (!stop && state_.batch < static_cast<Index>(batches.size())) {
        Progress progress = optimise(model, examples, plan, batches, step);
        run.measure(progress, part_done(batches));
        stop = notify(observe, progress) == Next::stop;
      }
      if (stop) break;
      Progress progress = end_epoch(model, validate, static_cast<Index>(batches.size()));
      run.measure(progress, static_cast<double>(state_.epoch));
      report.history.push_back({progress.epoch, progress.loss, progress.validation});
      stop = notify(observe, progress) == Next::stop;
    }
    if (!stop) finish(model);
    report.finished = state_.finished;
    report.steps = state_.step;
    report.best_epoch = state_.best_epoch;
    report.best_validation = state_.best_validation;
    return report;
  }

  /// Ends a training, as `fit` does after its last epoch: the model gets the parameters of the best validation, else
  /// the average. For one that its observer stopped, because its time was over.
  void finish(Model& model) {
    if (state_.finished) return;
    if (config_.keep_best && state_.best_epoch > 0) {
      copy(best_, model.parameters());
    } else if (average_) {
      average_->swap(model.parameters());
    }
    state_.finished = true;
  }

 private:
  using Average = MovingAverage<Parameters>;

  // The model has the average for its parameters in this scope, however it ends.
  class Averaged {
   public:
    Averaged(std::optional<Average>& average, Parameters& parameters) : average_(average), parameters_(parameters) {
      if (average_) average_->swap(parameters_);
    }
    Averaged(const Averaged&) = delete;
    Averaged& operator=(const Averaged&) = delete;
    ~Averaged() {
      if (average_) average_->swap(parameters_);
    }

   private:
    std::optional<Average>& average_;
    Parameters& parameters_;
  };

  // The clock of one `fit`: what it measures is reported, never used.
  class Run {
   public:
    void begin(double part) {
      if (first_ < 0.0) first_ = part;
    }
    void measure(Progress& progress, double part) {
      const std::chrono::steady_clock::time_point now = std::chrono::steady_clock::now();
      const double seconds = std::chrono::duration<double>(now - last_).count();
      progress.seconds = std::chrono::duration<double>(now - start_).count();
      if (seconds > 0.0) progress.tokens_per_second /= seconds;
      const double left = static_cast<double>(progress.epochs) - part;
      if (part > first_) progress.seconds_left = progress.seconds * left / (part - first_);
      last_ = now;
    }

   private:
    std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now(), last_ = start_;
    double first_ = -1.0;
  };

  static const Config& check(const Config& c) {
    check_value(c.epochs >= 0, "Trainer: epochs", c.epochs, "at least 0");
    check_value(c.accumulate >= 1, "Trainer: accumulate", c.accumulate, "at least 1");
    check_value(c.max_norm >= 0.0, "Trainer: max_norm", c.max_norm, "at least 0");
    check_value(c.average_decay >= 0.0 && c.average_decay < 1.0, "Trainer: average_decay", c.average_decay,
                "in [0, 1)");
    check_value(c.patience >= 0, "Trainer: patience", c.patience, "at least 0");
    return c;
  }
  static void check(const Examples& examples) {
    if (!examples.weights.empty() && examples.weights.size() != examples.lengths.size()) {
      detail::throw_shape_error("Trainer::fit: weights", std::to_string(examples.weights.size()) + " numbers",
                                std::to_string(examples.lengths.size()) + ", one for each example");
    }
  }
  [[nodiscard]] static Random order(const Config& config, Index epoch) {
    return Random(config.seed).split(static_cast<std::uint64_t>(epoch)).split(0);
  }
  [[nodiscard]] Random noise(Index batch) const {
    const Random random = Random(config_.seed).split(static_cast<std::uint64_t>(state_.epoch));
    return random.split(1 + static_cast<std::uint64_t>(batch));
  }
  [[nodiscard]] bool out_of_patience() const {
    return state_.finished ||
           (config_.patience > 0 && state_.best_epoch > 0 && state_.epoch - state_.best_epoch >= config_.patience);
  }
  // Epochs, with the done part of the current one.
  [[nodiscard]] double part_done(const std::vector<Batch>& batches) const {
    const double part = batches.empty() ? 1.0 : static_cast<double>(state_.batch) / static_cast<double>(batches.size());
    return static_cast<double>(state_.epoch) + part;
  }

  template <class Observe>
  static Next notify(Observe& observe, const Progress& progress) {
    if constexpr (std::is_same_v<std::decay_t<Observe>, NoObserver>) {
      return Next::go_on;
    } else if constexpr (std::is_void_v<decltype(observe(progress))>) {
      observe(progress);
      return Next::go_on;
    } else {
      return observe(progress);
    }
  }

  // One step of the optimiser. Nothing has changed if it throws.
  template <class Step>
  Progress optimise(Model& model, const Examples& examples, const BatchPlan& plan, const std::vector<Batch>& batches,
                    Step& step) {
    const Index size = static_cast<Index>(batches.size()), end = std::min(state_.batch + config_.accumulate, size);
    double normalizer = 0.0;
    Progress progress;
    for (Index b = state_.batch; b < end; ++b) {
      const Batch& batch = batches[static_cast<std::size_t>(b)];
      for (const Index i : batch) {
        normalizer += examples.weights.empty() ? 1.0 : examples.weights[static_cast<std::size_t>(i)];
      }
      progress.tokens_per_second += static_cast<double>(plan.tokens(batch));
    }
    if (!(normalizer > 0.0)) fail("weight of the targets", normalizer, "more than 0");

    set_zero(grads_);
    LossSum sum;
    for (Index b = state_.batch; b < end; ++b) {
      sum += step(batches[static_cast<std::size_t>(b)], grads_, normalizer, noise(b));
    }
    if (!(std::abs(sum.weight - normalizer) <= 1e-5 * normalizer)) {
      fail("weight of the targets that the step function reports", sum.weight,
           detail::number_to_string(normalizer) + ", the sum of the weights of the examples");
    }
    ClipConfig clip;
    clip.max_norm = config_.max_norm;
    progress.grad_norm = config_.max_norm > 0.0 ? clip_grad_norm(grads_, clip) : grad_norm(grads_);
    if (!std::isfinite(progress.grad_norm)) fail("norm of the gradients", progress.grad_norm, "a finite number");

    progress.learning_rate = config_.schedule.rate(state_.step);
    optimizer_.set_learning_rate(progress.learning_rate);
    optimizer_.step(model.parameters(), grads_);
    if (average_) average_->update(model.parameters());
    ++state_.step;
    state_.batch = end;
    state_.epoch_loss += sum;
    progress.loss = sum.mean();
    return place(progress, size);
  }

  [[noreturn]] void fail(const char* what, double actual, const std::string& expected) const {
    detail::throw_value_error("Trainer::fit, step " + std::to_string(state_.step) + ": " + what,
                              detail::number_to_string(actual), expected);
  }

  [[nodiscard]] Progress place(Progress progress, Index batches) const {
    progress.epoch = state_.epoch + 1;
    progress.epochs = config_.epochs;
    progress.step = state_.step;
    progress.batch = state_.batch;
    progress.batches = batches;
    return progress;
  }

  template <class Validate>
  Progress end_epoch(Model& model, Validate& validate, Index batches) {
    Progress progress = place({}, batches);
    progress.event = Progress::Event::epoch;
    progress.loss = state_.epoch_loss.mean();
    progress.learning_rate = optimizer_.learning_rate();
    if constexpr (!std::is_same_v<std::decay_t<Validate>, NoValidation>) {
      const Averaged averaged(average_, model.parameters());
      progress.validation = validate(static_cast<const Model&>(model));
      const double best = state_.best_validation, now = progress.validation;
      if ((state_.best_epoch == 0 && !std::isnan(now)) || (config_.goal == Goal::lowest ? now < best : now > best)) {
        state_.best_validation = now;
        state_.best_epoch = state_.epoch + 1;
        if (config_.keep_best) copy(model.parameters(), best_);
      }
    }
    ++state_.epoch;
    state_.batch = 0;
    state_.epoch_loss = {};
    return progress;
  }

  static void copy(const Parameters& from, Parameters& to) {
    for_each_parameter([](const ParameterName&, const auto& source, auto& target) { target.assign(source); }, from, to);
  }

  Config config_;
  Optimizer optimizer_;
  Parameters grads_;
  std::optional<Average> average_;
  Parameters best_;
  State state_;
};

}  // namespace MAT_ABI
}  // namespace mat
