#pragma once

#include <mat/io/model_file.hpp>
#include <mat/training/stream_trainer.hpp>

namespace mat {
inline namespace MAT_ABI {

namespace detail {

inline constexpr ModelFormat kStreamTrainingFormat{"mat stream training", "1"};

}  // namespace detail

/// Writes all that a training on a stream needs to go on, or leaves an old file as it was: the parameters under
/// "model.", the trainer's tensors under "trainer.", and in the metadata its steps and `settings`, whatever text tells
/// that two trainings are the same. Errors: FileError if the file cannot be written.
template <class Model>
void save_stream_training(const std::string& path, const Model& model, const StreamTrainer<Model>& trainer,
                          const std::string& settings) {
  SafetensorsWriter writer;
  add_parameters(writer, model.parameters(), "model.");
  add_parameters(writer, trainer, "trainer.");
  Metadata metadata = format_metadata(detail::kStreamTrainingFormat);
  metadata["settings"] = settings;
  metadata["steps"] = std::to_string(trainer.done());
  writer.set_metadata(metadata);
  writer.write(path);
}

/// Brings a model and a trainer made with the same settings to where save_stream_training saw them: the training goes
/// on with the bits of one that was not stopped. Errors: FileError for a file of another training; then neither has
/// changed.
template <class Model>
void load_stream_training(const std::string& path, Model& model, StreamTrainer<Model>& trainer,
                          const std::string& settings) {
  const auto read = [&](const Safetensors& file) {
    check_format(file, detail::kStreamTrainingFormat);
    check_metadata(file, "settings", settings);
    const Index done = metadata_number(file, "steps");
    check_value(done <= trainer.config().steps, "the number of steps", done, "at most ", trainer.config().steps);
    StreamTrainer<Model> read_trainer = trainer;  // nothing changes before all has been read
    typename Model::Parameters parameters = model.parameters();
    LoadOptions options;
    options.prefix = "trainer.";
    load_parameters(file, read_trainer, options);
    options.prefix = "model.";
    load_parameters(file, parameters, options);
    read_trainer.restore(done);
    trainer = std::move(read_trainer);
    model.parameters() = std::move(parameters);
  };
  read_model_file(path, "load_stream_training", "training like this one", read);
}

}  // namespace MAT_ABI
}  // namespace mat
