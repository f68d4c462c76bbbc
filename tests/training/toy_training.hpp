#pragma once

#include "training/toy_model.hpp"

#include <mat/layers/initialize.hpp>
#include <mat/training/trainer.hpp>

namespace mat::test {

/// Logits of 3 classes from 2 features: what a Trainer needs of a model is its parameters alone.
class ToyModel {
 public:
  using Parameters = Pair<double>;

  ToyModel() : parameters_{Matrix<double>({3, 2}), Vector<double>({3})} {
    initialize_normal<double>(parameters_.weight, 0.1, Random(11));
  }
  [[nodiscard]] const Parameters& parameters() const { return parameters_; }
  [[nodiscard]] Parameters& parameters() { return parameters_; }

 private:
  Parameters parameters_;
};

/// Examples of 1 to 4 tokens, whose class is the sign pattern of their features.
struct ToyData {
  explicit ToyData(Index count) {
    for (Index i = 0; i < count; ++i) {
      const Random random = Random(5).split(static_cast<std::uint64_t>(i));
      const Index length = 1 + random.below(1000, 4);
      Matrix<double> x({length, 2});
      initialize_normal<double>(x, 1.0, random);
      std::vector<Index> y;
      for (Index t = 0; t < length; ++t) y.push_back(x(t, 0) > 0 ? (x(t, 1) > 0 ? 2 : 1) : 0);
      features.push_back(x);
      targets.push_back(y);
      examples.lengths.push_back(length);
      examples.weights.push_back(static_cast<double>(length));
    }
  }

  LossSum run(const ToyModel& model, const Batch& batch, ToyModel::Parameters* grads, double normalizer) const {
    const ToyModel::Parameters& p = model.parameters();
    const CrossEntropy<double> loss;
    LossSum sum;
    for (const Index example : batch) {
      const auto& x = features[static_cast<std::size_t>(example)];
      const auto& y = targets[static_cast<std::size_t>(example)];
      Matrix<double> logits({x.rows(), 3});
      for (Index t = 0; t < x.rows(); ++t) {
        for (Index j = 0; j < 3; ++j) {
          logits(t, j) = p.bias(j) + p.weight(j, 0) * x(t, 0) + p.weight(j, 1) * x(t, 1);
        }
      }
      CrossEntropy<double>::Cache cache;
      loss.forward(logits, y, cache, normalizer);
      sum += cache.sum;
      if (grads == nullptr) continue;
      for (Index t = 0; t < x.rows(); ++t) {
        for (Index j = 0; j < 3; ++j) {
          grads->bias(j) += cache.dlogits(t, j);
          for (Index k = 0; k < 2; ++k) grads->weight(j, k) += cache.dlogits(t, j) * x(t, k);
        }
      }
    }
    return sum;
  }
  [[nodiscard]] double mean_loss(const ToyModel& model) const {
    Batch all(features.size());
    std::iota(all.begin(), all.end(), Index{0});
    return run(model, all, nullptr, 1.0).mean();
  }

  std::vector<Matrix<double>> features;
  std::vector<std::vector<Index>> targets;
  Examples examples;
};

using ToyTrainer = Trainer<ToyModel>;

inline ToyTrainer::Config toy_config() {
  ToyTrainer::Config config;
  config.epochs = 3;
  config.batches.token_budget = 10;
  config.schedule = Schedule::constant(0.05);
  config.seed = 3;
  return config;
}

/// The step function, with a little noise that depends on the generator it is given.
inline auto step_of(const ToyData& data, const ToyModel& model) {
  return [&](const Batch& batch, ToyModel::Parameters& grads, double normalizer, const Random& random) {
    grads.bias(0) += 1e-3 * random.normal(0);
    return data.run(model, batch, &grads, normalizer);
  };
}

}  // namespace mat::test
