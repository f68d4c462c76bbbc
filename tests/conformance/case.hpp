#pragma once

#include "conformance/array.hpp"

#include <mat/io/checkpoint.hpp>
#include <mat/io/json.hpp>

#include <cstring>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>

namespace mat::conformance {

/// The library has no such thing: the case is skipped, for this reason.
class Unsupported : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// A check beside the comparison of tensors did not hold: the case has failed, for this reason.
class Failure : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// One case: its tensors and what its metadata says of them.
class Case {
 public:
  Case(std::string name, std::string suite, Safetensors file)
      : name_(std::move(name)), suite_(std::move(suite)), file_(std::move(file)) {
    if (file_.metadata().count("config") > 0) config_ = json("config");
  }

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] const std::string& suite() const { return suite_; }
  [[nodiscard]] const Safetensors& file() const { return file_; }

  [[nodiscard]] bool has_text(const std::string& key) const { return file_.metadata().count(key) > 0; }
  [[nodiscard]] const std::string& text(const std::string& key) const {
    if (!has_text(key)) file_.fail("there is no metadata '" + key + "'");
    return file_.metadata().at(key);
  }
  [[nodiscard]] Json json(const std::string& key) const { return Json::parse(text(key), name_ + ": " + key); }

  // Options of the case; the fallback where one is absent or null.
  [[nodiscard]] const Json& config() const { return config_; }
  [[nodiscard]] const Json* option(std::string_view key) const {
    const Json* value = config_.is_null() ? nullptr : config_.find(key);
    return value == nullptr || value->is_null() ? nullptr : value;
  }
  [[nodiscard]] Index number(std::string_view key, Index fallback) const {
    const Json* value = option(key);
    return value == nullptr ? fallback : value->as_index();
  }
  [[nodiscard]] double real(std::string_view key, double fallback) const {
    const Json* value = option(key);
    return value == nullptr ? fallback : value->as_double();
  }
  [[nodiscard]] bool flag(std::string_view key, bool fallback = false) const {
    const Json* value = option(key);
    return value == nullptr ? fallback : value->as_bool();
  }
  [[nodiscard]] std::string word(std::string_view key, const std::string& fallback) const {
    const Json* value = option(key);
    return value == nullptr ? fallback : value->as_string();
  }

  [[nodiscard]] bool has(const std::string& tensor) const { return file_.contains(tensor); }
  [[nodiscard]] const std::vector<Index>& shape(const std::string& tensor) const { return file_.entry(tensor).shape; }
  /// Or bytes, which a mask may be kept as.
  [[nodiscard]] bool is_bool(const std::string& tensor) const {
    const Dtype dtype = file_.entry(tensor).dtype;
    return dtype == Dtype::kBool || dtype == Dtype::kU8;
  }
  template <class T>
  [[nodiscard]] Array<T> array(const std::string& tensor) const {
    return {shape(tensor), file_.values<T>(tensor)};
  }

  /// The parameters are to come from this plain state_dict instead, which must hold them and nothing else.
  void take_weights(const Safetensors& weights) { weights_ = &weights; }

  /// Sets all parameters; one that is missing in the file, or in the model, is an error.
  template <class P, class Rename = SameName>
  void load(P& parameters, const Rename& rename = {}) const {
    if (weights_ == nullptr) {
      LoadOptions options;
      options.prefix = "param.";
      load_parameters(file_, parameters, options, rename);
      return;
    }
    load_parameters(*weights_, parameters, {}, rename);
    check_written_again(parameters, rename);
  }

 private:
  /// What the library writes holds the same tensors, bit for bit.
  template <class P, class Rename>
  void check_written_again(const P& parameters, const Rename& rename) const {
    SafetensorsWriter writer;
    for_each_parameter(
        [&](const ParameterName& name, const auto& tensor) { writer.add(std::string(rename(name.str())), tensor); },
        parameters);
    const Safetensors written = Safetensors::parse(name_ + " written again", writer.str());
    if (written.entries().size() != weights_->entries().size()) throw Failure("written again, the tensors are others");
    for (const Safetensors::Entry& entry : weights_->entries()) {
      const std::vector<float> before = weights_->values<float>(entry.name), after = written.values<float>(entry.name);
      const bool same = written.entry(entry.name).shape == entry.shape && before.size() == after.size() &&
                        std::memcmp(before.data(), after.data(), before.size() * sizeof(float)) == 0;
      if (!same) throw Failure("written again, '" + entry.name + "' has other bits");
    }
  }

  std::string name_, suite_;
  Safetensors file_;
  Json config_;
  const Safetensors* weights_ = nullptr;
};

/// What the library computed for a case, by the names of the file's tensors.
class Results {
 public:
  template <class T>
  void set(const std::string& name, const Array<T>& x) {
    arrays_[name] = {x.shape, std::vector<double>(x.values.begin(), x.values.end())};
  }
  void set(const std::string& name, double number) { arrays_[name] = {{}, {number}}; }
  /// A gradient for each parameter, under "grad_param." and PyTorch's name.
  template <class P, class Rename = SameName>
  void set_gradients(const P& grads, const Rename& rename = {}) {
    for_each_parameter(
        [&](const ParameterName& name, const auto& grad) {
          const std::vector<Index> shape(grad.shape().begin(), grad.shape().end());
          set("grad_param." + std::string(rename(name.str())), array_of(grad.view(), shape));
        },
        grads);
  }
  [[nodiscard]] const Array<double>* find(const std::string& name) const {
    const auto found = arrays_.find(name);
    return found == arrays_.end() ? nullptr : &found->second;
  }

 private:
  std::map<std::string, Array<double>> arrays_;
};

/// Computes a case with the library. `op` is the case's own; one that ends in '.' is for all that begin with it.
struct Adapter {
  std::string_view op;
  void (*run)(const Case&, Results&);
};
using Adapters = std::vector<Adapter>;

/// The adapter of an operation, or null.
[[nodiscard]] inline const Adapter* find_adapter(const Adapters& adapters, std::string_view op) {
  for (const Adapter& adapter : adapters) {
    const bool family = adapter.op.back() == '.';
    if (op == adapter.op || (family && op.substr(0, adapter.op.size()) == adapter.op)) return &adapter;
  }
  return nullptr;
}

/// The adapters of each group, for one scalar; a new group is one file more and one line in all_torch_adapters.
template <class T>
[[nodiscard]] Adapters torch_layers();
template <class T>
[[nodiscard]] Adapters torch_attention();
template <class T>
[[nodiscard]] Adapters torch_memory();
template <class T>
[[nodiscard]] Adapters torch_memory_tokens();
template <class T>
[[nodiscard]] Adapters torch_segment_cache();
template <class T>
[[nodiscard]] Adapters torch_models();
template <class T>
[[nodiscard]] Adapters torch_decoder();
template <class T>
[[nodiscard]] Adapters torch_training();
template <class T>
[[nodiscard]] Adapters torch_train();

}  // namespace mat::conformance
