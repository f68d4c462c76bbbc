#include "support/catch.hpp"
#include "support/gradients.hpp"

#include <mat/memory/neural_memory.hpp>
#include <mat/models/language_model.hpp>
#include <mat/training/stream_evaluation.hpp>
#include <mat/training/stream_trainer.hpp>

namespace neural_memory_bounds_test {

using namespace mat;
using mat::test::random_tensor;

namespace {

/// Any settings that NeuralMemory accepts, but for the step without a limit: every size, rate and gate.
[[nodiscard]] NeuralMemory<float>::Config settings_within_bounds(const Random& random) {
  NeuralMemory<float>::Config config;
  config.features = 6;
  config.key_dim = 1 + random.below(0, 6);
  config.hidden = 1 + random.below(1, 12);
  config.chunk = random.below(2, 9);
  config.write_rate_max = std::pow(10.0, 6 * random.uniform(3) - 3);
  config.bias_rate = random.below(4, 2) == 0 ? 0 : random.uniform(5);
  config.step_limit = random.below(6, 2) == 0 ? 1 : 1 - random.uniform(7);
  config.max_norm = random.below(8, 2) == 0 ? 0 : std::pow(10.0, 4 * random.uniform(9) - 2);
  config.momentum = 0.89 * random.uniform(10);
  config.forgetting = 0.99 * random.uniform(11);
  config.shift = random.below(12, 2) == 0;
  return config;
}

}  // namespace

TEST_CASE("no setting within the bounds makes a state or a gradient that is not finite", "[memory]") {
  int bad = 0;
  for (std::uint64_t run = 0; run < 200; ++run) {
    const Random random(1000 + run);
    const auto config = settings_within_bounds(random);
    NeuralMemory<float> memory(config, random.split(1));
    const double size = std::pow(10.0, 6 * random.uniform(13) - 3);
    auto h = random_tensor<float, 2>({16, 6}, run, size);
    if (random.below(14, 2) == 0) {  // the same token again and again
      for (Index t = 1; t < 16; ++t) std::copy_n(h.view().row(0), 6, h.view().row(t));
    }
    const Sequences sequences({16});
    std::vector<NeuralMemory<float>::State> states(13);
    std::vector<NeuralMemory<float>::WriteCache> caches(12);
    NeuralMemory<float>::ReadCache read;
    memory.initial(1, states[0]);
    for (std::size_t i = 0; i < 12; ++i) memory.write(states[i], h, sequences, states[i + 1], caches[i]);
    const auto r = memory.read(states[12], h, sequences, read);
    NeuralMemory<float>::State dnext, dstate;
    auto grads = zeros_like(memory.parameters());
    zero_state_like(states[12], dnext);
    Matrix<float> dr(r);
    const double squares = dr.matrix().squaredNorm();
    if (squares > 0) dr.matrix() /= std::sqrt(static_cast<float>(squares));
    (void)memory.read_backward(dr, states[12], read, dnext, grads);
    for (std::size_t i = 12; i-- > 0;) {
      zero_state_like(states[i], dstate);
      (void)memory.write_backward(dnext, states[i], caches[i], dstate, grads);
      std::swap(dnext, dstate);
    }
    const bool forward = std::isfinite(state_norm(states[12])) && std::isfinite(squares);
    const bool backward = std::isfinite(state_norm(dnext));
    bad += forward && backward ? 0 : 1;
    if (!forward || !backward) {
      UNSCOPED_INFO("run " << run << " forward " << forward << " backward " << backward << " size " << size << " rate "
                           << config.write_rate_max << " norm " << config.max_norm << " dnext " << state_norm(dnext));
    }
  }
  CHECK(bad == 0);
}

TEST_CASE("none of 1,000 trainings with settings within the bounds meets a number that is not finite", "[memory]") {
  using Model = LanguageModel<float, NeuralMemory<float>>;
  constexpr Index kFeatures = 6, kVocabulary = 7, kText = 150;
  int bad = 0;
  for (std::uint64_t run = 0; run < 1000; ++run) {
    const Random random(5000 + run);
    Model::Config config;
    config.vocabulary = kVocabulary;
    config.decoder.memory = settings_within_bounds(random);
    auto& layer = config.decoder.encoder.layer;
    layer.d_model = kFeatures;
    layer.nhead = 3;
    layer.dim_feedforward = 8;
    layer.norm_first = random.below(20, 2) == 0;
    layer.attention.rotary.emplace();
    config.initial_scale = std::pow(10.0, 3 * random.uniform(21) - 2);
    Model model(config, random.split(2));
    StreamTrainerConfig training;
    training.lanes = 2;
    training.segment = 1 + random.below(22, 6);
    training.segments = 1 + random.below(23, 4);
    training.restart = random.uniform(24);
    training.steps = 12;
    training.schedule = Schedule::constant(std::pow(10.0, 3 * random.uniform(25) - 4));  // up to 0.1
    training.max_norm = random.below(26, 2) == 0 ? 1 : 0;
    Vector<Index> text({kText});
    for (Index i = 0; i < kText; ++i) text(i) = random.split(3).below(static_cast<std::uint64_t>(i), kVocabulary);
    StreamTrainer<Model> trainer(model, training);
    bool finite = true;
    try {  // a step throws for gradients that are not finite
      while (!trainer.finished()) finite = finite && std::isfinite(trainer.step(model, text).loss);
      finite = finite && std::isfinite(evaluate_stream<Model>(model, text, 1, training.segment).mean);
    } catch (const ValueError& error) {
      UNSCOPED_INFO("run " << run << ": " << error.what());
      finite = false;
    }
    bad += finite ? 0 : 1;
  }
  CHECK(bad == 0);
}

}  // namespace neural_memory_bounds_test
