#pragma once

#include <mat/io/safetensors_writer.hpp>
#include <mat/layers/parameters.hpp>

namespace mat {
inline namespace MAT_ABI {

// A model's parameters in a file, under PyTorch's state_dict names. In Python such a file is
// `safetensors.torch.load_file(path)`, and what `safetensors.torch.save_file(model.state_dict(), path)` wrote loads
// here.

/// Adds every parameter to a file to be written, each name led by `prefix`; optimiser moments and moving averages have
/// the type of the parameters, so they go into the same file under prefixes of their own.
/// Errors: ValueError for a name that is taken.
template <class P>
void add_parameters(SafetensorsWriter& writer, const P& parameters, const std::string& prefix = "") {
  for_each_parameter([&](const ParameterName& name, const auto& tensor) { writer.add(prefix + name.str(), tensor); },
                     parameters);
}

/// Writes the parameters to a safetensors file, F32 for float and F64 for double, or leaves an old file as it was.
/// Errors: FileError if the file cannot be written.
template <class P>
void save_parameters(const std::string& path, const P& parameters, const Metadata& metadata = {}) {
  SafetensorsWriter writer;
  add_parameters(writer, parameters);
  writer.set_metadata(metadata);
  writer.write(path);
}

/// How load_parameters looks for tensors.
struct LoadOptions {
  /// Leads every name in the file; tensors without it belong to others and are not looked at.
  std::string prefix;
  /// Refuse a file that lacks a parameter or has a tensor that is none.
  bool strict = true;
};

/// What did not match; both are empty after a strict load. Names are as in the file.
struct LoadReport {
  std::vector<std::string> missing;     // parameters that keep their values
  std::vector<std::string> unexpected;  // tensors that no parameter asked for
};

/// The names in the file are the model's own.
struct SameName {
  [[nodiscard]] std::string operator()(const std::string& name) const { return name; }
};

namespace detail {

/// "2 missing: 'a', 'b'", behind a "; " if there is text already.
inline void append_names(std::string& text, const char* kind, const std::vector<std::string>& names) {
  if (names.empty()) return;
  text += (text.empty() ? "" : "; ") + std::to_string(names.size()) + " " + kind + ": ";
  for (std::size_t i = 0; i < names.size(); ++i) text += (i > 0 ? ", " : "") + in_quotes(names[i]);
}

}  // namespace detail

/// Sets the parameters to the tensors of a file.
///
/// The tensor of a parameter is called `prefix + rename(name)`, where `rename` maps the model's name to the file's:
/// with it the weights of a foreign model load. Nothing changes unless all tensors that are there fit.
///
/// Errors: FileError for a tensor of another shape or of a type that cannot be converted; if strict, also for missing
///         and unexpected names, all of which it lists.
template <class P, class Rename = SameName>
LoadReport load_parameters(const Safetensors& file, P& parameters, const LoadOptions& options = {},
                           const Rename& rename = {}) {
  LoadReport report;
  std::set<std::string> wanted;
  const auto name_in_file = [&](const ParameterName& name) { return options.prefix + std::string(rename(name.str())); };
  for_each_parameter(
      [&](const ParameterName& parameter, const auto& tensor) {
        using Scalar = typename std::decay_t<decltype(tensor)>::Scalar;
        const std::string name = name_in_file(parameter);
        wanted.insert(name);
        const Safetensors::Entry* entry = file.find(name);
        if (entry == nullptr) {
          report.missing.push_back(name);
          return;
        }
        const auto& shape = tensor.shape();
        if (!std::equal(shape.begin(), shape.end(), entry->shape.begin(), entry->shape.end())) {
          file.fail("tensor " + detail::in_quotes(name) + " is " +
                    shape_to_string(entry->shape.data(), entry->shape.size()) + ", expected " +
                    shape_to_string(shape.data(), shape.size()));
        }
        file.check_convertible<Scalar>(*entry);
      },
      parameters);
  for (const Safetensors::Entry& entry : file.entries()) {
    const bool ours = entry.name.compare(0, options.prefix.size(), options.prefix) == 0;
    if (ours && wanted.count(entry.name) == 0) report.unexpected.push_back(entry.name);
  }
  std::string mismatch;
  detail::append_names(mismatch, "missing", report.missing);
  detail::append_names(mismatch, "unexpected", report.unexpected);
  if (options.strict && !mismatch.empty()) file.fail(mismatch);

  for_each_parameter(
      [&](const ParameterName& parameter, auto& tensor) {
        const std::string name = name_in_file(parameter);
        if (file.contains(name)) file.load(name, tensor);
      },
      parameters);
  return report;
}

}  // namespace MAT_ABI
}  // namespace mat
