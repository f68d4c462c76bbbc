#pragma once

#include <mat/io/model_file.hpp>
#include <mat/models/stream.hpp>

namespace mat {
inline namespace MAT_ABI {

namespace detail {

inline constexpr ModelFormat kStreamFormat{"mat stream", "1"};

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
  Metadata metadata = format_metadata(detail::kStreamFormat);
  metadata["segment"] = std::to_string(stream.config().segment);
  metadata["width"] = std::to_string(stream.width());
  metadata["position"] = std::to_string(stream.position());
  writer.set_metadata(metadata);
  writer.write(path);
}

/// Brings a stream of the same model and segment to where the saved one was: it goes on with the same bits.
/// Errors: FileError for a file that is no stream, or one of another segment or other shapes,
///         `load_stream: a.safetensors is no stream of this model: its segment is '4', expected '5'`; then the stream
///         is as it was.
template <class Model>
void load_stream(const std::string& path, Stream<Model>& stream) {
  using Token = typename Stream<Model>::Token;
  const auto read = [&](const Safetensors& file) {
    check_format(file, detail::kStreamFormat);
    check_metadata(file, "segment", std::to_string(stream.config().segment));
    typename Model::State state = stream.state();
    LoadOptions options;
    options.prefix = "state.";
    load_parameters(file, state, options);
    const std::vector<Token> pending = file.values<Token>("pending");
    stream.restore(state, pending, metadata_number(file, "width"), metadata_number(file, "position"));
  };
  read_model_file(path, "load_stream", "stream of this model", read);
}

}  // namespace MAT_ABI
}  // namespace mat
