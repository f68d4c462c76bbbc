#include "support/catch.hpp"

#include <mat/training/batching.hpp>

namespace batching_test {

using namespace mat;

namespace {

std::vector<Index> random_lengths(Index count) {
  std::vector<Index> lengths;
  for (Index i = 0; i < count; ++i) lengths.push_back(1 + Random(7).below(static_cast<std::uint64_t>(i), 60));
  return lengths;
}
BatchPlan::Config config_of(Index token_budget, Index max_examples, Index pool_size) {
  BatchPlan::Config config;
  config.token_budget = token_budget;
  config.max_examples = max_examples;
  config.pool_size = pool_size;
  return config;
}

}  // namespace

TEST_CASE("BatchPlan uses every example exactly once, within the budget", "[training]") {
  const Index count = GENERATE(1, 2, 100, 1001), pool = GENERATE(1, 16, 5000), most = GENERATE(0, 3);
  const std::vector<Index> lengths = random_lengths(count);
  const BatchPlan plan(lengths, config_of(100, most, pool));
  for (const std::vector<Batch>& batches : {plan.shuffled(Random(1)), plan.in_order()}) {
    Batch seen;
    for (const Batch& batch : batches) {
      CHECK(!batch.empty());
      CHECK(plan.tokens(batch) <= 100);
      if (most > 0) CHECK(static_cast<Index>(batch.size()) <= most);
      seen.insert(seen.end(), batch.begin(), batch.end());
    }
    std::sort(seen.begin(), seen.end());
    Batch all(lengths.size());
    std::iota(all.begin(), all.end(), Index{0});
    CHECK(seen == all);
  }
}

TEST_CASE("BatchPlan gives an example beyond the budget a batch of its own", "[training]") {
  const BatchPlan plan({3, 50, 3, 3, 11, 2}, config_of(10, 0, 1));
  CHECK(plan.in_order() == std::vector<Batch>{{0}, {1}, {2, 3}, {4}, {5}});
}

TEST_CASE("BatchPlan fills batches to the budget and no further", "[training]") {
  CHECK(BatchPlan({5, 5, 5, 1, 4}, config_of(10, 0, 1)).in_order() == std::vector<Batch>{{0, 1}, {2, 3, 4}});
  CHECK(BatchPlan({0, 0, 10, 0, 1}, config_of(10, 0, 1)).in_order() == std::vector<Batch>{{0, 1, 2, 3}, {4}});
  CHECK(BatchPlan({}, {}).in_order().empty());
  CHECK(BatchPlan({}, {}).shuffled(Random(1)).empty());
}

TEST_CASE("BatchPlan is a function of its generator", "[training]") {
  const BatchPlan plan(random_lengths(200), config_of(100, 0, 32));
  CHECK(plan.shuffled(Random(1)) == plan.shuffled(Random(1)));
  CHECK(plan.shuffled(Random(1)) != plan.shuffled(Random(2)));
}

TEST_CASE("BatchPlan puts similar lengths together", "[training]") {
  const std::vector<Index> lengths = random_lengths(500);
  const auto spread = [&](Index pool) {
    Index sum = 0;
    for (const Batch& batch : BatchPlan(lengths, config_of(200, 0, pool)).shuffled(Random(3))) {
      Index shortest = 60, longest = 1;
      for (const Index i : batch) {
        shortest = std::min(shortest, lengths[static_cast<std::size_t>(i)]);
        longest = std::max(longest, lengths[static_cast<std::size_t>(i)]);
      }
      sum += longest - shortest;
    }
    return sum;
  };
  CHECK(spread(500) * 10 < spread(1));
}

TEST_CASE("BatchPlan refuses what does not fit", "[training]") {
  CHECK_THROWS_WITH(BatchPlan({1, 2, -3}, {}), "BatchPlan: length of example 2 is -3, expected at least 0");
  CHECK_THROWS_WITH(BatchPlan({}, config_of(0, 0, 1)), "BatchPlan: token_budget is 0, expected at least 1");
  CHECK_THROWS_WITH(BatchPlan({}, config_of(1, -1, 1)), "BatchPlan: max_examples is -1, expected at least 0");
  CHECK_THROWS_WITH(BatchPlan({}, config_of(1, 0, 0)), "BatchPlan: pool_size is 0, expected at least 1");
}

}  // namespace batching_test
