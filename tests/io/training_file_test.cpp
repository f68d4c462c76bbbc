#include "support/catch.hpp"
#include "support/temporary_folder.hpp"
#include "training/toy_training.hpp"

#include <mat/io/training_file.hpp>

namespace training_file_test {

using namespace mat;
using namespace mat::test;

namespace {

ToyTrainer::Config averaging_config() {
  ToyTrainer::Config config = toy_config();
  config.average_decay = 0.9;
  return config;
}

}  // namespace

TEST_CASE("A training that goes on from its file gives the bits of one that did not stop", "[io]") {
  const TemporaryFolder folder;
  const std::string path = folder.path("training");
  const ToyData data(40);
  const auto validate = [&](const ToyModel& model) { return data.mean_loss(model); };
  ToyModel straight;
  ToyTrainer reference(straight, averaging_config());
  reference.fit(straight, data.examples, step_of(data, straight), validate);

  for (const int stop_at : {1, 5, 12, 17}) {
    INFO("stopped after " << stop_at << " events");
    ToyModel stopped;
    ToyTrainer first(stopped, averaging_config());
    int events = 0;
    const auto stop = [&](const Progress&) { return ++events == stop_at ? Next::stop : Next::go_on; };
    CHECK(!first.fit(stopped, data.examples, step_of(data, stopped), validate, stop).finished);
    save_training(path, stopped.parameters(), first, {{"note", "mine"}});

    ToyModel model;
    ToyTrainer second(model, averaging_config());
    const Safetensors file = Safetensors::read(path);
    CHECK(file.metadata().at("note") == "mine");
    load_training(file, model.parameters(), second);
    CHECK(second.state() == first.state());
    CHECK(second.fit(model, data.examples, step_of(data, model), validate).finished);
    CHECK(second.state() == reference.state());
    CHECK(model.parameters() == straight.parameters());
  }
}

TEST_CASE("load_training refuses what is no training of this model", "[io]") {
  const TemporaryFolder folder;
  ToyModel model;
  ToyTrainer trainer(model, averaging_config());
  save_parameters(folder.path("parameters"), model.parameters());
  CHECK_THROWS_WITH(
      load_training(Safetensors::read(folder.path("parameters")), model.parameters(), trainer),
      "Safetensors: " + folder.path("parameters") + ": there is no training: its metadata has no 'trainer'");
  ToyTrainer without(model, toy_config());
  save_training(folder.path("other"), model.parameters(), without);
  CHECK_THROWS_WITH(load_training(Safetensors::read(folder.path("other")), model.parameters(), trainer),
                    "Safetensors: " + folder.path("other") + ": there is no tensor 'trainer.average.weight'");
}

}  // namespace training_file_test
