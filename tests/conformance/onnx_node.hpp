#pragma once

#include "conformance/case.hpp"

#include <optional>

namespace mat::conformance {

/// A value between ONNX operators: real numbers, or whole ones (indices and booleans).
template <class T>
struct OnnxValue {
  Array<T> real;
  Array<Index> whole;
  bool is_whole = false;
  bool is_bool = false;

  [[nodiscard]] const std::vector<Index>& shape() const { return is_whole ? whole.shape : real.shape; }
};

/// One ONNX operator with its inputs; an adapter sets its outputs.
template <class T>
class OnnxNode {
 public:
  OnnxNode(std::string op, Index opset, Json attributes, Json defaults = Json::object())
      : op_(std::move(op)), opset_(opset), attributes_(std::move(attributes)), defaults_(std::move(defaults)) {}

  [[nodiscard]] const std::string& op() const { return op_; }
  [[nodiscard]] Index opset() const { return opset_; }

  // Inputs by position; an optional one may be absent.
  void add_input(std::optional<OnnxValue<T>> value) { inputs_.push_back(std::move(value)); }
  [[nodiscard]] std::size_t input_count() const { return inputs_.size(); }
  [[nodiscard]] bool has(std::size_t i) const { return i < inputs_.size() && inputs_[i].has_value(); }
  [[nodiscard]] const OnnxValue<T>& value(std::size_t i) const {
    if (!has(i)) throw Failure(op_ + " has no input " + std::to_string(i));
    return *inputs_[i];
  }
  [[nodiscard]] const Array<T>& real(std::size_t i) const {
    if (value(i).is_whole) throw Unsupported(op_ + " of whole numbers");
    return value(i).real;
  }
  [[nodiscard]] const Array<Index>& whole(std::size_t i) const {
    if (!value(i).is_whole) throw Unsupported(op_ + " with real numbers as input " + std::to_string(i));
    return value(i).whole;
  }

  // Attributes: the case's own, else the schema's default, else the fallback.
  [[nodiscard]] const Json* attribute(std::string_view key) const {
    const Json* own = attributes_.find(key);
    if (own == nullptr) own = defaults_.is_null() ? nullptr : defaults_.find(key);
    return own == nullptr || own->is_null() ? nullptr : own;
  }
  [[nodiscard]] Index number(std::string_view key, Index fallback) const {
    const Json* value = attribute(key);
    return value == nullptr ? fallback : value->as_index();
  }
  [[nodiscard]] double decimal(std::string_view key, double fallback) const {
    const Json* value = attribute(key);
    return value == nullptr ? fallback : value->as_double();
  }
  [[nodiscard]] std::string word(std::string_view key, const std::string& fallback) const {
    const Json* value = attribute(key);
    return value == nullptr ? fallback : value->as_string();
  }

  void set(std::size_t i, Array<T> x) {
    OnnxValue<T> result;
    result.real = std::move(x);
    set(i, std::move(result));
  }
  void set(std::size_t i, OnnxValue<T> x) {
    if (i >= outputs_.size()) outputs_.resize(i + 1);
    outputs_[i] = std::move(x);
  }
  [[nodiscard]] const std::vector<std::optional<OnnxValue<T>>>& outputs() const { return outputs_; }

 private:
  std::string op_;
  Index opset_;
  Json attributes_, defaults_;
  std::vector<std::optional<OnnxValue<T>>> inputs_, outputs_;
};

/// Computes an operator with the library.
template <class T>
struct OnnxAdapter {
  std::string_view op;
  void (*run)(OnnxNode<T>&);
};
template <class T>
using OnnxAdapters = std::vector<OnnxAdapter<T>>;

template <class T>
[[nodiscard]] OnnxAdapters<T> onnx_attention();
template <class T>
[[nodiscard]] OnnxAdapters<T> onnx_layers();
template <class T>
[[nodiscard]] OnnxAdapters<T> onnx_linear_attention();
template <class T>
[[nodiscard]] OnnxAdapters<T> onnx_products();
template <class T>
[[nodiscard]] OnnxAdapters<T> onnx_training();
/// Operators that the runner does itself where a graph has them; a case of their own they are not.
template <class T>
[[nodiscard]] OnnxAdapters<T> onnx_graph_only();

}  // namespace mat::conformance
