#pragma once

#include <mat/io/json.hpp>

namespace mat {
inline namespace MAT_ABI {

// One walk over settings serves writing and reading, so that the two cannot differ:
//
//     template <class Walk>
//     void walk_settings(SomeConfig& config, const Walk& walk) {
//       walk("dim", config.dim);
//       walk("activation", config.activation, name_of, activation_from_name);
//     }

/// A walk that sets the members of a JSON object to the settings.
class SettingsWriter {
 public:
  explicit SettingsWriter(Json& json) : json_(json) {}

  template <class Number>
  void operator()(const char* name, const Number& value) const {
    json_.set(name, value);
  }
  /// A setting that is written as a word.
  template <class Value, class ToName, class FromName>
  void operator()(const char* name, const Value& value, const ToName& to_name, const FromName&) const {
    json_.set(name, to_name(value));
  }

 private:
  Json& json_;
};

/// A walk that sets the settings to the members of a JSON object.
/// Errors: ValueError for a member that is missing or of another kind.
class SettingsReader {
 public:
  explicit SettingsReader(const Json& json) : json_(json) {}

  void operator()(const char* name, bool& value) const { value = json_.at(name).as_bool(); }
  void operator()(const char* name, Index& value) const { value = json_.at(name).as_index(); }
  void operator()(const char* name, double& value) const { value = json_.at(name).as_double(); }
  template <class Value, class ToName, class FromName>
  void operator()(const char* name, Value& value, const ToName&, const FromName& from_name) const {
    value = from_name(json_.at(name).as_string());
  }

 private:
  const Json& json_;
};

/// The settings as a JSON object, by their walk_settings.
template <class Settings>
[[nodiscard]] Json settings_to_json(Settings settings) {
  Json json = Json::object();
  walk_settings(settings, SettingsWriter(json));
  return json;
}
/// Those of a JSON object. Errors: ValueError for a member that is missing or of another kind.
template <class Settings>
[[nodiscard]] Settings settings_from_json(const Json& json) {
  Settings settings;
  walk_settings(settings, SettingsReader(json));
  return settings;
}

}  // namespace MAT_ABI
}  // namespace mat
