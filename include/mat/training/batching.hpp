#pragma once

#include <mat/core/error.hpp>
#include <mat/core/random.hpp>

#include <algorithm>
#include <numeric>
#include <vector>

namespace mat {
inline namespace MAT_ABI {

/// The indices of the examples of one batch.
using Batch = std::vector<Index>;

/// Divides examples of different lengths into batches of about the same number of tokens.
///
/// Each epoch draws an order from its generator, sorts pools of it by length, so that a batch holds examples of similar
/// length, cuts it into batches within the budget and shuffles the batches. Every example occurs exactly once; one that
/// is longer than the budget is a batch of its own. Equal generators give equal batches.
///
/// Source: Vaswani et al. (2017), "Attention is all you need", section 5.1 (batches by approximate sequence length).
/// Errors: ValueError for a setting out of range or a negative length, naming the example.
class BatchPlan {
 public:
  struct Config {
    Index token_budget = 4096;  // most tokens of a batch
    Index max_examples = 0;     // most examples of a batch; 0: no limit
    Index pool_size = 1024;     // examples that are sorted by length together; 1: no sorting
  };

  BatchPlan(const std::vector<Index>& lengths, const Config& config) : config_(config), lengths_(lengths) {
    check_value(config.token_budget >= 1, "BatchPlan: token_budget", config.token_budget, "at least 1");
    check_value(config.max_examples >= 0, "BatchPlan: max_examples", config.max_examples, "at least 0");
    check_value(config.pool_size >= 1, "BatchPlan: pool_size", config.pool_size, "at least 1");
    for (std::size_t i = 0; i < lengths.size(); ++i) {
      if (lengths[i] < 0) {
        check_value(false, "BatchPlan: length of example " + std::to_string(i), lengths[i], "at least 0");
      }
    }
  }

  [[nodiscard]] const Config& config() const { return config_; }
  [[nodiscard]] Index examples() const { return static_cast<Index>(lengths_.size()); }

  /// The batches of one epoch.
  [[nodiscard]] std::vector<Batch> shuffled(const Random& random) const {
    Batch order = all();
    shuffle(order.begin(), examples(), random.split(0));
    bool ascending = true;  // alternates, so that a batch across two pools holds similar lengths as well
    for (Index begin = 0; begin < examples(); begin += config_.pool_size, ascending = !ascending) {
      const auto first = order.begin() + begin, last = order.begin() + std::min(begin + config_.pool_size, examples());
      std::stable_sort(first, last,
                       [&](Index a, Index b) { return ascending ? length(a) < length(b) : length(b) < length(a); });
    }
    std::vector<Batch> batches = cut(order);
    shuffle(batches.begin(), static_cast<Index>(batches.size()), random.split(1));
    return batches;
  }
  /// The batches in the order of the examples, for evaluation.
  [[nodiscard]] std::vector<Batch> in_order() const { return cut(all()); }

  [[nodiscard]] Index tokens(const Batch& batch) const {
    Index sum = 0;
    for (const Index i : batch) sum += length(i);
    return sum;
  }

 private:
  [[nodiscard]] Index length(Index i) const { return lengths_[static_cast<std::size_t>(i)]; }
  [[nodiscard]] Batch all() const {
    Batch order(lengths_.size());
    std::iota(order.begin(), order.end(), Index{0});
    return order;
  }
  [[nodiscard]] std::vector<Batch> cut(const Batch& order) const {
    std::vector<Batch> batches;
    Index room = 0;
    for (const Index i : order) {
      const bool full = config_.max_examples > 0 && !batches.empty() &&
                        static_cast<Index>(batches.back().size()) == config_.max_examples;
      if (batches.empty() || full || length(i) > room) {
        batches.emplace_back();
        room = config_.token_budget;
      }
      batches.back().push_back(i);
      room = std::max(Index{0}, room - length(i));
    }
    return batches;
  }

  Config config_;
  std::vector<Index> lengths_;
};

}  // namespace MAT_ABI
}  // namespace mat
