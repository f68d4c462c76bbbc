#pragma once

#include <mat/io/checkpoint.hpp>
#include <mat/models/stream.hpp>

#include <charconv>

namespace mat {
inline namespace MAT_ABI {

namespace detail {

inline constexpr const char* kStreamFormat = "mat stream";

/// The tokens of a begun segment as a tensor of their own.
template <class Token>
[[nodiscard]] Vector<Token> pending_tensor(const std::vector<Token>& pending) {
  Vector<Token> tensor({static_cast<Index>(pending.size())});
  std::copy(pending.begin(), pending.end(), tensor.data());
  return tensor;
}

}  // namespace detail

/// Writes what a stream keeps between pushes to a safetensors file, or leaves an old file as it was: the state under
/// "state.", the tokens of the begun segment as "pending", and how many tokens were read in the metadata. The model
/// has a file of its own. Errors: FileError if the file cannot be written.
template <class Model>
void save_stream(const std::string& path, const Stream<Model>& stream) {
  SafetensorsWriter writer;
  add_parameters(writer, stream.state(), "state.");
  const auto pending = detail::pending_tensor(stream.pending());
  writer.add("pending", pending);
  Metadata metadata;
  metadata["format"] = detail::kStreamFormat;
  metadata["segment"] = std::to_string(stream.config().segment);
  metadata["width"] = std::to_string(stream.width());
  metadata["position"] = std::to_string(stream.position());
  writer.set_metadata(metadata);
  writer.write(path);
}

/// Brings a stream of the same model and segment to where the saved one was: it goes on with the same bits.
/// Errors: FileError for a file that is no stream, or one of another model or segment; then the stream is as it was.
template <class Model>
void load_stream(const std::string& path, Stream<Model>& stream) {
  using Token = typename Stream<Model>::Token;
  const Safetensors file = Safetensors::read(path);
  const auto text = [&](const char* key) {
    const auto found = file.metadata().find(key);
    if (found == file.metadata().end()) file.fail(std::string("there is no metadata '") + key + "'");
    return found->second;
  };
  if (text("format") != detail::kStreamFormat) file.fail("it is no stream");
  const std::string segment = std::to_string(stream.config().segment);
  if (text("segment") != segment) file.fail("its segment is " + text("segment") + ", expected " + segment);
  typename Model::State state = stream.state();
  LoadOptions options;
  options.prefix = "state.";
  load_parameters(file, state, options);
  const std::vector<Token> pending = file.values<Token>("pending");
  const auto number = [&](const char* key) {
    const std::string value = text(key);
    Index read = -1;
    const auto end = std::from_chars(value.data(), value.data() + value.size(), read);
    if (end.ec != std::errc() || read < 0)
      file.fail("its " + std::string(key) + " is '" + value + "', expected a number");
    return read;
  };
  stream.restore(state, pending, number("width"), number("position"));
}

}  // namespace MAT_ABI
}  // namespace mat
