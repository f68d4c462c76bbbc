#include "support/catch.hpp"

#include <bench/tasks/task.hpp>
#include <set>

namespace tasks_test {

namespace {

using bench::Episode;
using bench::kNoTarget;
using bench::Segment;
using mat::Index;
using mat::Random;

const bench::RecallAlphabet kAlphabet{16, 16, 16};

bool is_key(Index token) { return token < kAlphabet.keys; }
bool is_value(Index token) { return token >= kAlphabet.keys && token < kAlphabet.question(); }

/// The newest value that the pairs `k v` of all segments but the last tell of `key`.
Index told(const Episode& episode, Index key) {
  Index value = -1;
  for (std::size_t i = 0; i + 1 < episode.size(); ++i) {
    const std::vector<Index>& tokens = episode[i].tokens;
    for (std::size_t t = 0; t + 1 < tokens.size(); ++t) {
      if (tokens[t] == key) value = tokens[t + 1];
    }
  }
  return value;
}

Index targets_of(const Segment& segment) {
  Index count = 0;
  for (const Index target : segment.targets) count += target != kNoTarget ? 1 : 0;
  return count;
}

/// The answers of the last segment are what was told before; returns their number.
Index check_answers(const Episode& episode) {
  for (std::size_t i = 0; i + 1 < episode.size(); ++i) REQUIRE(targets_of(episode[i]) == 0);
  const Segment& last = episode.back();
  for (std::size_t t = 0; t < last.tokens.size(); ++t) {
    if (last.targets[t] == kNoTarget) continue;
    REQUIRE(last.tokens[t] == kAlphabet.question());
    REQUIRE(is_key(last.tokens[t - 1]));
    REQUIRE(is_value(last.targets[t]));
    REQUIRE(last.targets[t] == told(episode, last.tokens[t - 1]));
  }
  return targets_of(last);
}

TEST_CASE("segment_recall tells pairs in segments of four and asks for two of them") {
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    const Episode episode = bench::segment_recall(4, kAlphabet, Random(seed));
    REQUIRE(episode.size() == 3);
    std::set<Index> keys;
    for (const std::size_t i : {0, 1}) {
      REQUIRE(episode[i].tokens.size() == 4);
      for (const std::size_t t : {0, 2}) keys.insert(episode[i].tokens[t]);
    }
    CHECK(keys.size() == 4);
    CHECK(check_answers(episode) == 2);
    CHECK(episode[2].tokens[0] != episode[2].tokens[2]);
  }
}

TEST_CASE("overwrite asks for the newest value of the first two keys") {
  Index rewritten = 0;
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    const Episode episode = bench::overwrite(8, 4, kAlphabet, Random(seed));
    REQUIRE(episode.size() == 5);
    CHECK(check_answers(episode) == 2);
    const std::vector<Index>& first = episode[0].tokens;
    const std::set<Index> asked{episode[4].tokens[0], episode[4].tokens[2]};
    CHECK(asked == std::set<Index>{first[0], first[2]});
    rewritten += told(episode, first[0]) != first[1] ? 1 : 0;
  }
  CHECK(rewritten > 25);  // with probability 1 - (3/4)^6 there is a newer one
}

TEST_CASE("long_recall hides pairs among fillers and asks for all of them in the last segment") {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    for (const Index segments : {2, 4, 18}) {
      const Episode episode = bench::long_recall(8, segments, 24, kAlphabet, Random(seed));
      REQUIRE(static_cast<Index>(episode.size()) == segments);
      for (const Segment& segment : episode) CHECK(segment.tokens.size() == 24);
      CHECK(check_answers(episode) == 8);
    }
  }
}

TEST_CASE("associative_retrieval asks for the value of one key, then for the end") {
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    const Episode episode = bench::associative_retrieval(10, 16, Random(seed));
    REQUIRE(episode.size() == 11);
    Index value = -1;
    for (std::size_t i = 0; i < 10; ++i) {
      CHECK(episode[i].tokens[1] == 16);
      CHECK(episode[i].tokens[3] == 18);
      CHECK(targets_of(episode[i]) == 0);
      if (episode[i].tokens[0] == episode[10].tokens[0]) value = episode[i].tokens[2];
    }
    CHECK(episode[10].tokens == std::vector<Index>{episode[10].tokens[0], 17, value});
    CHECK(episode[10].targets == std::vector<Index>{kNoTarget, value, 18});
  }
}

TEST_CASE("copy_twice shows symbols and asks for them two times, whatever the segments") {
  const Episode whole = bench::copy_twice(3, 9, 4, Random(5));
  REQUIRE(whole.size() == 1);
  const std::vector<Index>& x = whole[0].tokens;
  CHECK(x == std::vector<Index>{x[0], x[1], x[2], 4, x[0], x[1], x[2], x[0], x[1]});
  CHECK(whole[0].targets == std::vector<Index>{kNoTarget, kNoTarget, kNoTarget, x[0], x[1], x[2], x[0], x[1], x[2]});
  const Episode parts = bench::copy_twice(3, 2, 4, Random(5));
  REQUIRE(parts.size() == 5);
  Segment joined;
  for (const Segment& part : parts) {
    for (std::size_t t = 0; t < part.tokens.size(); ++t) joined.add(part.tokens[t], part.targets[t]);
  }
  CHECK(joined.tokens == whole[0].tokens);
  CHECK(joined.targets == whole[0].targets);
}

TEST_CASE("long_copy asks in the last segment for the symbols of the first") {
  const Episode episode = bench::long_copy(3, 4, 5, 16, Random(2));
  REQUIRE(episode.size() == 4);
  const std::vector<Index>& x = episode[0].tokens;
  for (std::size_t i = 0; i < 3; ++i) CHECK(x[i] < 16);
  CHECK(x[3] > 16);
  CHECK(targets_of(episode[0]) + targets_of(episode[1]) + targets_of(episode[2]) == 0);
  const Segment& last = episode[3];
  CHECK(std::vector<Index>(last.tokens.begin(), last.tokens.begin() + 3) == std::vector<Index>{16, x[0], x[1]});
  CHECK(last.targets == std::vector<Index>{x[0], x[1], x[2], kNoTarget, kNoTarget});
}

TEST_CASE("batch_of puts the i-th segments of episodes together; one that is over has no tokens") {
  Episode one(2), two(1);
  one[0].add(1);
  one[0].add(2, 7);
  one[1].add(3, 8);
  two[0].add(4, 9);
  const auto batches = bench::batch_of({one, two});
  REQUIRE(batches.size() == 2);
  CHECK(batches[0].tokens == std::vector<Index>{1, 2, 4});
  CHECK(batches[0].targets == std::vector<Index>{kNoTarget, 7, 9});
  CHECK(batches[0].sequences == mat::Sequences({2, 1}));
  CHECK(batches[0].target_count() == 2);
  CHECK(batches[1].tokens == std::vector<Index>{3});
  CHECK(batches[1].sequences == mat::Sequences({1, 0}));
}

TEST_CASE("every task makes episodes within its vocabulary, the same ones for the same generator") {
  for (const std::string& name : bench::task_names()) {
    if (name.rfind("babi", 0) == 0) continue;  // read from files
    CAPTURE(name);
    const bench::Task task = bench::make_task(name, "");
    std::vector<Episode> episodes{task.tests.at(0).episode(0)};
    for (const Index size : task.stages) {
      episodes.push_back(task.episode(size, Random(1)));
      CHECK(task.episode(size, Random(1))[0].tokens == episodes.back()[0].tokens);
    }
    Index asked = 0;
    for (const Episode& episode : episodes) {
      for (const Segment& segment : episode) {
        asked += targets_of(segment);
        REQUIRE(segment.tokens.size() == segment.targets.size());
        for (std::size_t t = 0; t < segment.tokens.size(); ++t) {
          REQUIRE((segment.tokens[t] >= 0 && segment.tokens[t] < task.vocabulary));
          REQUIRE(
              (segment.targets[t] == kNoTarget || (segment.targets[t] >= 0 && segment.targets[t] < task.vocabulary)));
        }
      }
    }
    CHECK(asked > 0);
  }
  CHECK_THROWS_WITH(bench::make_task("chess", ""), "make_task: name is chess, expected one of task_names()");
}

}  // namespace

}  // namespace tasks_test
