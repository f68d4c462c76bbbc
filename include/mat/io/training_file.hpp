#pragma once

#include <mat/io/checkpoint.hpp>
#include <mat/io/json.hpp>
#include <mat/training/trainer.hpp>

namespace mat {
inline namespace MAT_ABI {

namespace detail {

template <class State>
[[nodiscard]] Json training_state_to_json(const State& state) {
  Json json = Json::object();
  json.set("epoch", state.epoch).set("batch", state.batch).set("step", state.step);
  json.set("loss", state.epoch_loss.loss).set("weight", state.epoch_loss.weight);
  json.set("best_epoch", state.best_epoch).set("finished", state.finished);
  return json.set("best_validation", state.best_epoch > 0 ? Json(state.best_validation) : Json());
}
template <class State>
[[nodiscard]] State training_state_from_json(const Json& json) {
  State state;
  state.epoch = json.at("epoch").as_index();
  state.batch = json.at("batch").as_index();
  state.step = json.at("step").as_index();
  state.epoch_loss = {json.at("loss").as_double(), json.at("weight").as_double()};
  state.best_epoch = json.at("best_epoch").as_index();
  if (state.best_epoch > 0) state.best_validation = json.at("best_validation").as_double();
  state.finished = json.at("finished").as_bool();
  check_value(state.epoch >= 0 && state.batch >= 0 && state.step >= 0, "the step", state.step, "at least 0");
  return state;
}

/// The tensors of a trainer, one after the other, none of those without numbers.
template <class Trainer, class Function>
void for_each_training_tensor(Trainer& trainer, const Function& fn) {
  for_each_parameter(
      [&](const ParameterName& name, auto& tensor) {
        if (!tensor.empty()) fn("trainer." + name.str(), tensor);
      },
      trainer);
}

}  // namespace detail

/// Writes all that a training needs to go on, or leaves an old file as it was: the parameters, the trainer's tensors
/// under "trainer." and its state as JSON in the metadata, beside the caller's own, which must not be called "trainer".
/// Errors: FileError if the file cannot be written; ValueError for a loss that is not finite.
template <class P, class Trainer>
void save_training(const std::string& path, const P& parameters, const Trainer& trainer, Metadata metadata = {}) {
  metadata["trainer"] = detail::training_state_to_json(trainer.state()).str();
  SafetensorsWriter writer;
  add_parameters(writer, parameters, "model.");
  detail::for_each_training_tensor(trainer,
                                   [&](const std::string& name, const auto& tensor) { writer.add(name, tensor); });
  writer.set_metadata(metadata);
  writer.write(path);
}

/// Brings a model and a trainer made with the same settings to where save_training saw them: the training goes on with
/// the same bits as if it had not stopped.
/// Errors: FileError for a file of another model or trainer, before anything has changed.
template <class P, class Trainer>
void load_training(const Safetensors& file, P& parameters, Trainer& trainer) {
  const auto found = file.metadata().find("trainer");
  if (found == file.metadata().end()) file.fail("there is no training: its metadata has no 'trainer'");
  const auto state = detail::training_state_from_json<typename Trainer::State>(Json::parse(found->second, "trainer"));
  detail::for_each_training_tensor(trainer, [&](const std::string& name, const auto& tensor) {
    const std::vector<Index>& shape = file.entry(name).shape;
    if (std::equal(shape.begin(), shape.end(), tensor.shape().begin(), tensor.shape().end())) return;
    file.fail("tensor " + detail::in_quotes(name) + " is " + shape_to_string(shape.data(), shape.size()) +
              ", expected " + shape_to_string(tensor.shape().data(), tensor.shape().size()));
  });
  LoadOptions options;
  options.prefix = "model.";
  load_parameters(file, parameters, options);
  detail::for_each_training_tensor(trainer, [&](const std::string& name, auto& tensor) { file.load(name, tensor); });
  trainer.restore(state);
}

}  // namespace MAT_ABI
}  // namespace mat
