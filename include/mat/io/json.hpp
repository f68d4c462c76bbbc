#pragma once

#include <mat/io/json_reader.hpp>
#include <mat/io/json_writer.hpp>

#include <type_traits>
#include <vector>

namespace mat {
inline namespace MAT_ABI {

/// A JSON value: null, a boolean, a number, a string, an array, or an object that keeps the order of its members.
///
///     Json config;                                  Json config = Json::parse(text);
///     config.set("heads", 8).set("dropout", 0.1);   Index heads = config.at("heads").as_index();
///     std::string text = config.str();
///
/// Whole numbers keep all digits (int64, or uint64 above it), doubles read back bit for bit, and equal values give the
/// same text.
///
/// Errors: FileError for a malformed text (see JsonReader); ValueError where a value is of another kind than asked for.
class Json {
 public:
  using Array = std::vector<Json>;
  using Object = std::vector<std::pair<std::string, Json>>;
  using Kind = JsonReader::Kind;

  // Implicit, so that set("heads", 8) reads as it should.
  Json() = default;
  Json(std::nullptr_t) {}                                       // NOLINT(google-explicit-constructor)
  Json(const char* value) : value_(std::string(value)) {}       // NOLINT(google-explicit-constructor)
  Json(std::string_view value) : value_(std::string(value)) {}  // NOLINT(google-explicit-constructor)
  Json(std::string value) : value_(std::move(value)) {}         // NOLINT(google-explicit-constructor)
  Json(Array value) : value_(std::move(value)) {}               // NOLINT(google-explicit-constructor)
  template <class Number, class = std::enable_if_t<std::is_arithmetic_v<Number>>>
  Json(Number value) {  // NOLINT(google-explicit-constructor)
    if constexpr (std::is_same_v<Number, bool>) {
      value_ = value;
    } else if constexpr (std::is_floating_point_v<Number>) {
      value_ = static_cast<double>(value);
    } else if constexpr (std::is_signed_v<Number>) {
      value_ = static_cast<std::int64_t>(value);
    } else {
      value_ = whole(value);
    }
  }
  /// An object without members; Json() turns into one at the first set().
  [[nodiscard]] static Json object() {
    Json json;
    json.value_ = Object();
    return json;
  }

  /// The value that `text` holds, and nothing else; `name` of its source begins the messages.
  [[nodiscard]] static Json parse(std::string_view text, const std::string& name = "") {
    JsonReader reader(text, name.empty() ? "Json::parse: " : "Json::parse: " + name + ": ");
    Json json = read(reader);
    reader.read_end();
    return json;
  }
  /// The text without any white space.
  [[nodiscard]] std::string str() const {
    std::string text;
    append_to(text);
    return text;
  }

  [[nodiscard]] Kind kind() const {
    constexpr std::array<Kind, 8> kKinds{Kind::kNull,   Kind::kBoolean, Kind::kNumber, Kind::kNumber,
                                         Kind::kNumber, Kind::kString,  Kind::kArray,  Kind::kObject};
    return kKinds[value_.index()];
  }
  [[nodiscard]] bool is_null() const { return kind() == Kind::kNull; }

  [[nodiscard]] bool as_bool() const { return get<bool>("Json::as_bool", "a boolean"); }
  /// A whole number that fits in Index; a double is none, even if it is whole.
  [[nodiscard]] Index as_index() const { return static_cast<Index>(get<std::int64_t>("Json::as_index", "an integer")); }
  [[nodiscard]] std::uint64_t as_uint64() const {
    if (const auto* value = std::get_if<std::uint64_t>(&value_)) return *value;
    const auto* value = std::get_if<std::int64_t>(&value_);
    if (value == nullptr || *value < 0) fail("Json::as_uint64", "an integer of at least 0");
    return static_cast<std::uint64_t>(*value);
  }
  /// Any number; a whole number beyond 2^53 is rounded.
  [[nodiscard]] double as_double() const {
    if (const auto* value = std::get_if<std::int64_t>(&value_)) return static_cast<double>(*value);
    if (const auto* value = std::get_if<std::uint64_t>(&value_)) return static_cast<double>(*value);
    return get<double>("Json::as_double", "a number");
  }
  [[nodiscard]] const std::string& as_string() const { return get<std::string>("Json::as_string", "a string"); }
  [[nodiscard]] const Array& as_array() const { return get<Array>("Json::as_array", "an array"); }
  [[nodiscard]] const Object& as_object() const { return get<Object>("Json::as_object", "an object"); }

  /// The member, or null if there is none.
  [[nodiscard]] const Json* find(std::string_view key) const {
    for (const auto& [name, value] : as_object()) {
      if (name == key) return &value;
    }
    return nullptr;
  }
  [[nodiscard]] const Json& at(std::string_view key) const {
    if (const Json* value = find(key)) return *value;
    std::string keys;
    for (const auto& [name, value] : as_object()) keys += (keys.empty() ? "" : ", ") + detail::in_quotes(name);
    throw ValueError("Json::at: the key is " + detail::in_quotes(key) + ", expected one of [" + keys + "]");
  }
  /// Adds a member, or replaces its value where it stands.
  Json& set(std::string_view key, Json value) {
    if (is_null()) value_ = Object();
    if (kind() != Kind::kObject) fail("Json::set", "an object");
    auto& members = std::get<Object>(value_);
    for (auto& [name, old] : members) {
      if (name != key) continue;
      old = std::move(value);
      return *this;
    }
    members.emplace_back(std::string(key), std::move(value));
    return *this;
  }

  friend bool operator==(const Json& a, const Json& b) { return a.value_ == b.value_; }
  friend bool operator!=(const Json& a, const Json& b) { return !(a == b); }

 private:
  using Value = std::variant<std::nullptr_t, bool, std::int64_t, std::uint64_t, double, std::string, Array, Object>;

  /// An int64 where it fits, as the reader gives it, so that a value equals what is read back.
  [[nodiscard]] static Value whole(std::uint64_t value) {
    if (value > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) return value;
    return static_cast<std::int64_t>(value);
  }

  [[noreturn]] void fail(const char* function, const char* expected) const {
    std::string actual = "an object";
    if (kind() == Kind::kString)
      actual = "a string";
    else if (kind() == Kind::kArray)
      actual = "an array";
    else if (kind() != Kind::kObject)
      actual = str();
    throw ValueError(std::string(function) + ": the value is " + actual + ", expected " + expected);
  }
  template <class T>
  [[nodiscard]] const T& get(const char* function, const char* expected) const {
    if (const T* value = std::get_if<T>(&value_)) return *value;
    fail(function, expected);
  }

  [[nodiscard]] static Json read(JsonReader& reader) {
    Json json;
    switch (reader.kind()) {
      case Kind::kNull:
        reader.read_null();
        break;
      case Kind::kBoolean:
        json.value_ = reader.read_boolean();
        break;
      case Kind::kString:
        json.value_ = reader.read_string();
        break;
      case Kind::kNumber:
        std::visit([&](auto number) { json.value_ = number; }, reader.read_number());
        break;
      case Kind::kArray: {
        Array elements;
        reader.read_array([&] { elements.push_back(read(reader)); });
        json.value_ = std::move(elements);
        break;
      }
      case Kind::kObject: {
        Object members;
        reader.read_object([&](const std::string& key) { members.emplace_back(key, read(reader)); });
        json.value_ = std::move(members);
        break;
      }
    }
    return json;
  }

  void append_to(std::string& text) const {
    switch (kind()) {
      case Kind::kNull:
        text += "null";
        break;
      case Kind::kBoolean:
        text += std::get<bool>(value_) ? "true" : "false";
        break;
      case Kind::kString:
        append_json_string(text, std::get<std::string>(value_));
        break;
      case Kind::kNumber:
        if (const auto* a = std::get_if<std::int64_t>(&value_)) text += std::to_string(*a);
        if (const auto* a = std::get_if<std::uint64_t>(&value_)) text += std::to_string(*a);
        if (const auto* a = std::get_if<double>(&value_)) append_json_number(text, *a);
        break;
      case Kind::kArray: {
        const char* separator = "[";
        for (const Json& element : std::get<Array>(value_)) {
          text += std::exchange(separator, ",");
          element.append_to(text);
        }
        text += *separator == '[' ? "[]" : "]";
        break;
      }
      case Kind::kObject: {
        const char* separator = "{";
        for (const auto& [key, value] : std::get<Object>(value_)) {
          text += std::exchange(separator, ",");
          append_json_string(text, key);
          text += ':';
          value.append_to(text);
        }
        text += *separator == '{' ? "{}" : "}";
        break;
      }
    }
  }

  Value value_;
};

}  // namespace MAT_ABI
}  // namespace mat
