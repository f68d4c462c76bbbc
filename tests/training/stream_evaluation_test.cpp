#include "support/catch.hpp"
#include "support/small_language_model.hpp"

#include <mat/training/stream_evaluation.hpp>

#include <cmath>

namespace stream_evaluation_test {

using namespace mat;
using namespace mat::test;

TEST_CASE("the evaluation of a stream counts every token once, for any number of lanes", "[training]") {
  const auto text = counting(23);
  const auto model = small_model<Plain>();
  // Without a memory a token depends on its segment alone: one lane, and by hand.
  Plain::State state;
  Plain::Cache cache;
  CrossEntropy<float> loss;
  CrossEntropy<float>::Cache loss_cache;
  double sum = 0;
  std::vector<double> places(4);
  for (Index first = 0; first < 22; first += 4) {
    const Index count = std::min<Index>(4, 22 - first);
    const Sequences sequences = Sequences::single(count);
    const ConstVectorView<Index> ids(text.data() + first, {count}), targets(text.data() + first + 1, {count});
    sum += loss.forward(model.forward({ids, &sequences}, state, nullptr, {}, cache), targets, loss_cache, 1.0);
    for (Index i = 0; i < count; ++i) {
      places[static_cast<std::size_t>(i)] += static_cast<double>(loss_cache.losses(i)) / (i < 2 ? 6 : 5);
    }
  }
  const StreamLoss of_one_lane = evaluate_stream<Plain>(model, text, 1, 4);
  CHECK(std::abs(of_one_lane.mean - sum / 22) < 1e-9);
  REQUIRE(of_one_lane.by_place.size() == 4);
  for (std::size_t i = 0; i < 4; ++i) CHECK(std::abs(of_one_lane.by_place[i] - places[i]) < 1e-9);
  for (const Index lanes : {2, 3, 22, 40}) {
    CHECK(std::isfinite(evaluate_stream<Plain>(model, text, lanes, 4).mean));
  }
  const auto with_memory = small_model<Model>();
  CHECK(evaluate_stream<Model>(with_memory, text, 1, 4).mean !=
        evaluate_stream<Model>(with_memory, text, 1, 4, EvaluationMemory::reset_every_segment).mean);
}

TEST_CASE("a place that no segment has is without a loss", "[training]") {
  const auto text = counting(4);
  const StreamLoss loss = evaluate_stream<Plain>(small_model<Plain>(), text, 1, 5);
  CHECK(std::isfinite(loss.by_place[2]));
  CHECK(std::isnan(loss.by_place[3]));
}

TEST_CASE("the evaluation of a stream says what does not fit", "[training]") {
  const auto model = small_model<Plain>();
  const auto text = counting(9);
  const auto evaluate = [&](Index tokens, Index lanes, Index segment) {
    return evaluate_stream<Plain>(model, {text.data(), {tokens}}, lanes, segment);
  };
  CHECK_THROWS_WITH(evaluate(9, 0, 4), "evaluate_stream: lanes is 0, expected at least 1");
  CHECK_THROWS_WITH(evaluate(9, 1, 0), "evaluate_stream: segment is 0, expected at least 1");
  CHECK_THROWS_WITH(evaluate(1, 1, 4), "evaluate_stream: tokens of the text is 1, expected at least 2");
}

}  // namespace stream_evaluation_test
