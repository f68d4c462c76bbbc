#pragma once

#include "conformance/case.hpp"

#include <mat/blocks/encoder_layer.hpp>
#include <mat/training/cross_entropy.hpp>

namespace mat::conformance {

// The settings that cases of several groups have in common.

/// The activation of this name, or Unsupported.
[[nodiscard]] inline Activation activation_of(const std::string& name) {
  try {
    return activation_from_name(name);
  } catch (const ValueError&) {
    throw Unsupported("no activation " + name);
  }
}

/// The settings of the encoder layer of a case.
template <class T>
[[nodiscard]] typename EncoderLayer<T>::Config encoder_layer_config(const Case& c) {
  typename EncoderLayer<T>::Config config;
  config.d_model = c.config().at("d").as_index();
  config.nhead = c.config().at("h").as_index();
  config.dim_feedforward = c.config().at("ff").as_index();
  config.activation = activation_of(c.word("activation", "relu"));
  config.layer_norm_eps = c.real("eps", config.layer_norm_eps);
  config.norm_first = c.flag("norm_first");
  config.bias = c.flag("bias", true);
  return config;
}

/// The reduction of this name, or Unsupported.
[[nodiscard]] inline Reduction reduction_of(const std::string& name) {
  if (name == "mean") return Reduction::mean;
  if (name == "sum") return Reduction::sum;
  if (name == "none") return Reduction::none;
  throw Unsupported("reduction " + name);
}

/// The order that moves the classes of [N, C, d1, ...] to the end; of [C] nothing moves.
[[nodiscard]] inline std::vector<Index> classes_last(Index rank) { return axis_last(rank == 1 ? 0 : 1, rank); }

}  // namespace mat::conformance
