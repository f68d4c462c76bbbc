#pragma once

#include <mat/io/checkpoint.hpp>
#include <mat/memory/delta_cache.hpp>
#include <mat/memory/memory_kind.hpp>

#include <charconv>

namespace mat {
inline namespace MAT_ABI {

// What the files of models, streams and trainings have in common: a safetensors file that says in its metadata what
// it is.

/// The text under a key of the metadata. Errors: FileError if there is none.
[[nodiscard]] inline const std::string& metadata_text(const Safetensors& file, const std::string& key) {
  const auto found = file.metadata().find(key);
  if (found == file.metadata().end()) throw FileError("its metadata has no " + detail::in_quotes(key));
  return found->second;
}

/// Throws FileError unless the text under a key of the metadata is the expected one.
inline void check_metadata(const Safetensors& file, const std::string& key, const std::string& expected) {
  const std::string& text = metadata_text(file, key);
  if (text == expected) return;
  throw FileError("its " + key + " is " + detail::in_quotes(text) + ", expected " + detail::in_quotes(expected));
}

/// The number under a key of the metadata. Errors: FileError if there is none or it is no whole number of at least 0.
[[nodiscard]] inline Index metadata_number(const Safetensors& file, const std::string& key) {
  const std::string& text = metadata_text(file, key);
  Index number = -1;
  const auto end = std::from_chars(text.data(), text.data() + text.size(), number);
  if (end.ec != std::errc() || end.ptr != text.data() + text.size() || number < 0) {
    throw FileError("its " + key + " is " + detail::in_quotes(text) + ", expected a number of at least 0");
  }
  return number;
}

/// What a file says that it is.
struct ModelFormat {
  const char* name;  ///< "mat text classifier"
  const char* version;
};

/// Metadata that tell the format.
[[nodiscard]] inline Metadata format_metadata(const ModelFormat& format) {
  return {{"format", format.name}, {"format_version", format.version}};
}

/// Throws FileError unless the file is of this format.
inline void check_format(const Safetensors& file, const ModelFormat& format) {
  check_metadata(file, "format", format.name);
  check_metadata(file, "format_version", format.version);
}

/// Throws ShapeError unless a tensor of the file is [rows, cols]: checked before a model of these sizes is made, so
/// that a file takes no more memory than it has bytes.
inline void check_matrix(const Safetensors& file, const std::string& name, Index rows, Index cols) {
  const std::vector<Index>& actual = file.entry(name).shape;
  const std::array<Index, 2> expected{rows, cols};
  if (std::equal(actual.begin(), actual.end(), expected.begin(), expected.end())) return;
  detail::throw_shape_error("tensor " + detail::in_quotes(name), shape_to_string(actual.data(), actual.size()),
                            shape_to_string(expected.data(), 2) + ", as its settings say");
}

/// Throws unless a model's memories of this kind, `count` of them in the tensors of `memories`, may have so many rows:
/// at most kMostMemoryRows, and where something is learned for each row, as many as the tensor has.
/// Errors: ValueError, ShapeError.
inline void check_memory_rows(const Safetensors& file, MemoryKind memory, Index rows, const std::string& memories,
                              Index count, Index features) {
  check_value(rows >= 0 && rows <= kMostMemoryRows, "the rows of memory", rows, "at least 0 and at most ",
              kMostMemoryRows);
  if (rows == 0) return;
  if (memory == MemoryKind::tokens) check_matrix(file, memories + ".0.memory", rows, features);
  if (memory != MemoryKind::delta_cache) return;
  DeltaCache<float>::Config config;
  config.features = features;
  config.length = rows;
  for (Index i = 0; i < count; ++i) {
    check_matrix(file, memories + "." + std::to_string(i) + ".slot_keys", rows, config.keys());
  }
}

/// What `read` makes of a safetensors file; `function` is who asks and `kind` what the file should be.
/// Errors: FileError, `load_classifier: a.safetensors is no text classifier: its metadata has no 'format'`.
template <class Read>
[[nodiscard]] auto read_model_file(const std::string& path, const std::string& function, const std::string& kind,
                                   const Read& read) {
  const FileReader readable(path);  // or says why not
  try {
    return read(Safetensors::read(path));
  } catch (const Error& error) {
    std::string reason = error.what();
    const std::string place = "Safetensors: " + path + ": ";
    if (reason.compare(0, place.size(), place) == 0) reason.erase(0, place.size());
    throw FileError(function + ": " + path + " is no " + kind + ": " + reason);
  }
}

}  // namespace MAT_ABI
}  // namespace mat
