#pragma once

#include <mat/memory/recurrence.hpp>
#include <mat/training/adamw.hpp>
#include <mat/training/clip.hpp>
#include <mat/training/cross_entropy.hpp>
#include <mat/training/schedule.hpp>

#include <bench/tasks/models.hpp>
#include <ctime>

namespace bench {

/// How many answers were right.
struct Score {
  Index right = 0, asked = 0;

  /// Of a row of logits the largest counts.
  void add(mat::ConstMatrixView<float> logits, const std::vector<Index>& targets) {
    for (Index t = 0; t < logits.rows(); ++t) {
      const Index target = targets[static_cast<std::size_t>(t)];
      if (target == kNoTarget) continue;
      const float* row = logits.row(t);
      ++asked;
      right += std::max_element(row, row + logits.cols()) - row == target ? 1 : 0;
    }
  }
  [[nodiscard]] double accuracy() const {
    return static_cast<double>(right) / static_cast<double>(std::max<Index>(1, asked));
  }
};

/// What one training did.
struct Run {
  std::string task, memory;
  Index seed = 0, layers = 0, parameters = 0;
  Index state_bytes = 0;           // of one stream, after a test episode
  Index steps = 0, mastered = -1;  // the step with 99% over the last kWindow of them at full size; -1: none
  double seconds = 0;              // of training, on one core
  Index stage = 0;                 // of the curriculum, from 0
  std::vector<std::pair<std::string, double>> accuracies;  // of each test, under its name
};

/// What a training tells while it goes on.
struct StepReport {
  Index step = 0, size = 0;
  double loss = 0, accuracy = 0;
};

/// Trains one model on a task and tests it.
class TaskTraining {
 public:
  using Parameters = Model::Parameters;
  using State = Model::State;
  static constexpr Index kWindow = 10;  // steps that "mastered" looks back on

  TaskTraining(const Task& task, const Model::Config& config, Index seed)
      : task_(task),
        random_(static_cast<std::uint64_t>(seed)),
        model_(config, random_.split(0)),
        grads_(mat::zeros_like(model_.parameters())),
        optimizer_(model_.parameters(), optimizer_config()),
        recurrence_(mat::Recurrence<Model>::Config{}) {
    run_.task = task.name;
    run_.seed = seed;
    run_.layers = task.layers;
    run_.parameters = mat::parameter_count(model_.parameters());
    mat::CrossEntropy<float>::Config loss;
    loss.ignore_index = kNoTarget;
    loss_ = mat::CrossEntropy<float>(loss);
  }

  /// observe(Run so far, StepReport) after every step.
  template <class Observe>
  Run run(const Observe& observe) {
    const std::clock_t start = std::clock();
    const mat::Schedule schedule = make_schedule();
    std::vector<Score> window;
    for (run_.steps = 0; run_.steps < task_.steps && flawless_ < kFlawless; ++run_.steps) {
      const Index size = task_.stages[static_cast<std::size_t>(run_.stage)];
      optimizer_.set_learning_rate(schedule.rate(run_.steps));
      Score score;
      const double loss = step(batch(size), score);
      const bool whole = run_.stage + 1 == static_cast<Index>(task_.stages.size());
      flawless_ = whole && score.right == score.asked ? flawless_ + 1 : 0;
      window.push_back(score);
      if (static_cast<Index>(window.size()) > kWindow) window.erase(window.begin());
      advance(window);
      observe(run_, StepReport{run_.steps, size, loss, score.accuracy()});
    }
    run_.seconds = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
    for (const TaskTest& test : task_.tests) run_.accuracies.emplace_back(test.name, evaluate(test));
    return run_;
  }

  [[nodiscard]] const Model& model() const { return model_; }
  [[nodiscard]] Model& model() { return model_; }

 private:
  static constexpr double kMasters = 0.95, kMastered = 0.99;
  static constexpr Index kFlawless = 50;  // steps without an error at full size: there is nothing left to learn

  [[nodiscard]] static mat::AdamWConfig optimizer_config() {
    mat::AdamWConfig config;
    config.beta2 = 0.99;
    return config;
  }
  [[nodiscard]] mat::Schedule make_schedule() const {
    mat::ScheduleConfig schedule;
    schedule.learning_rate = task_.learning_rate;
    schedule.warmup_steps = std::min<Index>(50, task_.steps / 10);
    schedule.total_steps = std::max<Index>(1, task_.steps);
    schedule.final_learning_rate = 0.1 * task_.learning_rate;
    return mat::Schedule::cosine_annealing(schedule);
  }

  [[nodiscard]] std::vector<SegmentBatch> batch(Index size) const {
    const mat::Random random = random_.split(1).split(static_cast<std::uint64_t>(run_.steps));
    std::vector<Episode> episodes;
    for (Index b = 0; b < task_.batch; ++b) {
      episodes.push_back(task_.episode(size, random.split(static_cast<std::uint64_t>(b))));
    }
    return batch_of(episodes);
  }

  double step(const std::vector<SegmentBatch>& batches, Score& score) {
    Index asked = 0;
    for (const SegmentBatch& batch : batches) asked += batch.target_count();
    double loss = 0;
    mat::set_zero(grads_);
    recurrence_.backward(
        model_, static_cast<Index>(batches.size()),
        [&](Index i) { return segment_of(batches[static_cast<std::size_t>(i)]); }, {},
        [&](Index i, mat::ConstMatrixView<float> logits) {
          const std::vector<Index>& targets = batches[static_cast<std::size_t>(i)].targets;
          loss += loss_.forward(logits, targets, loss_cache_, static_cast<double>(asked));
          score.add(logits, targets);
          return loss_.backward(loss_cache_);
        },
        mat::Dropout{}, cache_, grads_);
    mat::clip_grad_norm(grads_);
    optimizer_.step(model_.parameters(), grads_);
    return loss;
  }

  /// The next size when this one is mastered; of the last size, the step at which it was.
  void advance(std::vector<Score>& window) {
    if (static_cast<Index>(window.size()) < kWindow) return;
    Score sum;
    for (const Score& score : window) sum.right += score.right, sum.asked += score.asked;
    const bool last = run_.stage + 1 == static_cast<Index>(task_.stages.size());
    if (!last && sum.accuracy() >= kMasters) {
      ++run_.stage;
      window.clear();
    } else if (last && run_.mastered < 0 && sum.accuracy() >= kMastered) {
      run_.mastered = run_.steps + 1;
    }
  }

  [[nodiscard]] double evaluate(const TaskTest& test) {
    constexpr Index kBatch = 50;
    Score score;
    State state, next;
    Model::Cache cache;
    for (Index first = 0; first < test.count; first += kBatch) {
      std::vector<Episode> episodes;
      for (Index i = first; i < std::min(test.count, first + kBatch); ++i) episodes.push_back(test.episode(i));
      model_.initial(static_cast<Index>(episodes.size()), state);
      for (const SegmentBatch& batch : batch_of(episodes)) {
        score.add(model_.forward(segment_of(batch), state, &next, mat::Dropout{}, cache), batch.targets);
        std::swap(state, next);
      }
      run_.state_bytes = mat::state_bytes(state) / static_cast<Index>(episodes.size());
    }
    return score.accuracy();
  }

  Task task_;
  mat::Random random_;
  Model model_;
  Parameters grads_;
  mat::AdamW<Parameters> optimizer_;
  mat::Recurrence<Model> recurrence_;
  mat::Recurrence<Model>::Cache cache_;
  mat::CrossEntropy<float> loss_;
  mat::CrossEntropy<float>::Cache loss_cache_;
  Index flawless_ = 0;
  Run run_;
};

}  // namespace bench
