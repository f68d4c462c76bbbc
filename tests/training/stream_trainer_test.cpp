#include "support/allocations.hpp"
#include "support/catch.hpp"
#include "support/gradients.hpp"
#include "support/small_language_model.hpp"

#include <mat/training/stream_evaluation.hpp>
#include <mat/training/stream_trainer.hpp>

namespace stream_trainer_test {

using namespace mat;
using namespace mat::test;

namespace {

[[nodiscard]] StreamTrainerConfig small_config() {
  StreamTrainerConfig config;
  config.lanes = 3;
  config.segment = 4;
  config.segments = 2;
  config.streams = 6;
  config.restart = 0.3;
  config.warm_segments = 1;
  config.dropout = 0.1;
  config.steps = 60;
  config.schedule = Schedule::constant(1e-2);
  return config;
}

template <class P>
[[nodiscard]] bool same_bits(const P& a, const P& b) {
  bool same = true;
  for_each_parameter([&](const ParameterName&, const auto& x, const auto& y) { same = same && x == y; }, a, b);
  return same;
}

}  // namespace

TEST_CASE("a stream trainer learns what comes next", "[training]") {
  const auto text = counting(200);
  auto model = small_model<Model>();
  const double before = evaluate_stream<Model>(model, text, 2, 4).mean;
  StreamTrainer<Model> trainer(model, small_config());
  Progress last;
  while (!trainer.finished()) last = trainer.step(model, text);
  CHECK(last.step == 60);
  CHECK(last.learning_rate == 1e-2);
  CHECK(evaluate_stream<Model>(model, text, 2, 4).mean < 0.2 * before);
}

TEST_CASE("a training that is saved and continued gives the bits of one that was not stopped", "[training]") {
  const auto text = counting(97);
  auto whole = small_model<Model>(), model = small_model<Model>();
  StreamTrainer<Model> all(whole, small_config()), first(model, small_config());
  for (int i = 0; i < 12; ++i) (void)all.step(whole, text);
  for (int i = 0; i < 5; ++i) (void)first.step(model, text);

  StreamTrainer<Model> second(small_model<Model>(), small_config());
  for_each_parameter([](const ParameterName&, auto& to, const auto& from) { to.assign(from); }, second, first);
  second.restore(first.done());
  for (int i = 0; i < 7; ++i) (void)second.step(model, text);
  CHECK(same_bits(whole.parameters(), model.parameters()));
}

TEST_CASE("lanes that read on remember, and lanes that jump forget", "[training]") {
  // With restart 1 every step begins from the first state, so that a step is a function of the parameters alone.
  const auto text = counting(97);
  auto config = small_config();
  config.dropout = 0;
  const auto losses = [&](double restart) {
    config.restart = restart;
    config.schedule = Schedule::constant(0.0);
    auto model = small_model<Model>();
    StreamTrainer<Model> trainer(model, config);
    std::vector<double> of_steps;
    for (int i = 0; i < 4; ++i) of_steps.push_back(trainer.step(model, text).loss);
    return of_steps;
  };
  CHECK(losses(0.0) == losses(0.0));
  CHECK(losses(0.0) != losses(1.0));
}

TEST_CASE("streams that take turns each go on where they were, with what they remember", "[training]") {
  // Nothing is learned, so a step of one lane is a function of where its stream is: two streams in turns read what one
  // trainer reads from the beginning and another from the middle.
  auto config = small_config();
  config.lanes = 1;
  config.restart = config.dropout = 0;
  config.schedule = Schedule::constant(0.0);
  Vector<Index> text({97});  // no period
  for (Index i = 0; i < 97; ++i) text(i) = (i * i / 3) % 5;
  auto model = small_model<Model>();
  const auto losses = [&](ConstVectorView<Index> of, Index streams, int count) {
    config.streams = streams;
    StreamTrainer<Model> trainer(model, config);
    std::vector<double> result;
    for (int i = 0; i < count; ++i) result.push_back(trainer.step(model, of).loss);
    return result;
  };
  const Index middle = (97 - 8) / 2;
  const auto begin = losses(text, 1, 3);
  const auto rest = losses({text.data() + middle, {97 - middle}}, 0, 3);
  CHECK(begin != rest);
  CHECK(losses(text, 2, 6) == std::vector<double>{begin[0], rest[0], begin[1], rest[1], begin[2], rest[2]});
}

TEST_CASE("a lane that jumps can read what is before its new place, without learning from it", "[training]") {
  // A text of one token is the same everywhere: two warm segments and a step are the third and fourth segment of a
  // stream.
  Vector<Index> text({97});
  text.fill(2);
  auto config = small_config();
  config.lanes = 1;
  config.streams = config.warm_segments = 0;
  config.segments = 1;
  config.restart = config.dropout = 0;
  config.schedule = Schedule::constant(0.0);
  auto model = small_model<Model>();
  const auto losses = [&](int count) {
    StreamTrainer<Model> trainer(model, config);
    std::vector<double> result;
    for (int i = 0; i < count; ++i) result.push_back(trainer.step(model, text).loss);
    return result;
  };
  const auto stream = losses(3);
  config.restart = 1;
  CHECK(losses(1)[0] == stream[0]);
  config.warm_segments = 2;
  CHECK(losses(2) == std::vector<double>{stream[2], stream[2]});
  CHECK(stream[2] != stream[0]);
}

TEST_CASE("cold steps are those of random windows, and what follows them remembers", "[training]") {
  const auto text = counting(97);
  const auto losses = [&](Index cold_steps, double restart, Index warm_segments) {
    auto config = small_config();
    config.cold_steps = cold_steps;
    config.restart = restart;
    config.warm_segments = warm_segments;
    auto model = small_model<Model>();
    StreamTrainer<Model> trainer(model, config);
    std::vector<double> result;
    for (int i = 0; i < 4; ++i) result.push_back(trainer.step(model, text).loss);
    return result;
  };
  const auto random_windows = losses(0, 1, 0), reads_on = losses(3, 0, 0), warm = losses(3, 1, 2);
  for (const std::size_t i : {0u, 1u, 2u}) {
    CHECK(reads_on[i] == random_windows[i]);
    CHECK(warm[i] == random_windows[i]);
  }
  CHECK(reads_on[3] != random_windows[3]);
  CHECK(warm[3] != random_windows[3]);
  CHECK(losses(4, 0, 1) == random_windows);
}

TEST_CASE("a warmed-up step of a stream trainer allocates nothing", "[training]") {
  if (!allocations_are_counted()) return;
  const auto text = counting(97);
  auto model = small_model<Model>();
  StreamTrainer<Model> trainer(model, small_config());
  for (int i = 0; i < 3; ++i) (void)trainer.step(model, text);
  const long before = allocations();
  for (int i = 0; i < 5; ++i) (void)trainer.step(model, text);
  CHECK(allocations() == before);
}

TEST_CASE("a step that throws leaves the streams where they were", "[training]") {
  const auto text = counting(97);
  auto wrong = text;
  wrong.fill(1 << 20);  // no token of the model
  auto model = small_model<Model>(), other = small_model<Model>();
  StreamTrainer<Model> trainer(model, small_config()), undisturbed(other, small_config());
  for (int i = 0; i < 4; ++i) {
    CHECK_THROWS_AS(trainer.step(model, wrong), ValueError);
    CHECK(trainer.step(model, text).loss == undisturbed.step(other, text).loss);
  }
  CHECK(same_bits(trainer, undisturbed));
  CHECK(same_bits(model.parameters(), other.parameters()));
}

TEST_CASE("a stream trainer says what does not fit", "[training]") {
  auto model = small_model<Model>();
  auto config = small_config();
  config.restart = 1.5;
  CHECK_THROWS_WITH(StreamTrainer<Model>(model, config), "StreamTrainer: restart is 1.5, expected in [0, 1]");
  config.restart = 0;
  config.warm_segments = -1;
  CHECK_THROWS_WITH(StreamTrainer<Model>(model, config), "StreamTrainer: warm_segments is -1, expected at least 0");
  config.warm_segments = 0;
  config.cold_steps = -1;
  CHECK_THROWS_WITH(StreamTrainer<Model>(model, config), "StreamTrainer: cold_steps is -1, expected at least 0");
  config.cold_steps = 0;
  config.lanes = 0;
  CHECK_THROWS_WITH(StreamTrainer<Model>(model, config), "StreamTrainer: lanes is 0, expected at least 1");
  config.lanes = 3;
  config.streams = 4;
  CHECK_THROWS_WITH(StreamTrainer<Model>(model, config),
                    "StreamTrainer: streams is 4, expected a multiple of lanes, 3");
  config.lanes = config.streams = 1;
  StreamTrainer<Model> trainer(model, config);
  const auto text = counting(8);
  CHECK_THROWS_WITH(trainer.step(model, text),
                    "StreamTrainer::step: tokens of the text is 8, expected more than a step, 8");
}

}  // namespace stream_trainer_test
