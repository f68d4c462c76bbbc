#include "support/catch.hpp"
#include "support/small_language_model.hpp"
#include "support/temporary_folder.hpp"

#include <mat/io/stream_training_file.hpp>

namespace stream_training_file_test {

using namespace mat;

TEST_CASE("a training on a stream goes on from its file with the same bits", "[io]") {
  using test::Model;
  const test::TemporaryFolder folder;
  const std::string path = folder.path("training.safetensors");
  const auto config = test::small_model_config<Model>(5);
  const auto text = test::counting(60);
  StreamTrainerConfig training;
  training.lanes = 2;
  training.segment = 4;
  training.steps = 8;
  training.dropout = 0.1;
  training.restart = 0.2;

  Model whole(config, Random(1)), first(config, Random(1)), second(config, Random(2));
  StreamTrainer<Model> trainer(whole, training), begins(first, training), goes_on(second, training);
  for (int i = 0; i < 8; ++i) (void)trainer.step(whole, text);
  for (int i = 0; i < 3; ++i) (void)begins.step(first, text);
  save_stream_training(path, first, begins, "these settings");
  CHECK_THROWS_WITH(load_stream_training(path, second, goes_on, "others"),
                    "load_stream_training: " + path +
                        " is no training like this one: its settings is 'these settings', expected 'others'");
  // A file that is refused late has changed nothing.
  const std::string broken = folder.path("broken.safetensors");
  SafetensorsWriter writer;
  add_parameters(writer, begins, "trainer.");
  writer.set_metadata(Safetensors::read(path).metadata());
  writer.write(broken);
  CHECK_THROWS_AS(load_stream_training(broken, second, goes_on, "these settings"), FileError);
  CHECK(goes_on.done() == 0);
  for_each_parameter(
      [](const ParameterName& name, const auto& tensor, const auto& fresh) {
        INFO(name.str());
        CHECK(tensor == fresh);
      },
      goes_on, static_cast<const StreamTrainer<Model>&>(StreamTrainer<Model>(second, training)));

  load_stream_training(path, second, goes_on, "these settings");
  CHECK(goes_on.done() == 3);
  while (!goes_on.finished()) (void)goes_on.step(second, text);
  bool same = true;
  for_each_parameter([&](const ParameterName&, const auto& a, const auto& b) { same = same && a == b; },
                     whole.parameters(), second.parameters());
  CHECK(same);
}

}  // namespace stream_training_file_test
