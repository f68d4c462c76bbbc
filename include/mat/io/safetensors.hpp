#pragma once

#include <mat/core/tensor.hpp>
#include <mat/io/dtype.hpp>
#include <mat/io/file_reader.hpp>
#include <mat/io/json_reader.hpp>

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mat {
inline namespace MAT_ABI {

/// Free text that travels with the tensors of a file.
using Metadata = std::map<std::string, std::string>;

/// The tensors of a safetensors file, in memory, checked before use.
///
///     const Safetensors file = Safetensors::read("model.safetensors");
///     Matrix<float> weight;
///     file.load("encoder.layers.0.linear1.weight", weight);
///
/// The header is checked as a whole before any tensor is read: the tensors cover the rest of the file without hole or
/// overlap, and each has the bytes that its shape and type need. A header that promises more than the file holds is
/// refused before memory is taken for it. What is kept is the file's data and about 200 bytes for each tensor and each
/// metadata. The tensors may lie at any address.
///
/// Loading converts between all types of 64, 32, 16 and 8 bits and BOOL: a floating-point number is rounded to the one
/// asked for; an integer must be held exactly. The 8-bit and smaller floating-point types and C64 are listed, but not
/// loaded.
///
/// Source:  the safetensors format, https://huggingface.co/docs/safetensors
/// Errors:  FileError, `Safetensors: model.safetensors: tensor 'a' has 12 bytes, its shape [2, 2] of F32 needs 16`.
/// Threads: const access from any number of threads.
class Safetensors {
 public:
  /// One tensor: what the header says of it.
  struct Entry {
    std::string name;
    Dtype dtype = Dtype::kF32;
    std::vector<Index> shape;          // [] is one number
    std::uint64_t begin = 0, end = 0;  // its bytes, counted from the end of the header
  };
  static constexpr std::uint64_t kLongestHeader = 100000000;
  static constexpr std::size_t kMostDimensions = 1024;
  static constexpr std::size_t kMostMetadata = 65536;

  /// Reads a file.
  [[nodiscard]] static Safetensors read(const std::string& path) {
    FileReader reader(path);
    Safetensors file(path);
    const std::uint64_t header =
        file.header_size(reader.read(std::min<std::uint64_t>(reader.size(), kLengthSize)), reader.size());
    file.data_size_ = reader.size() - kLengthSize - header;
    file.read_header(reader.read(header));
    file.data_ = reader.read(file.data_size_);
    return file;
  }
  /// As read, from the bytes of a file; messages call it `name`.
  [[nodiscard]] static Safetensors parse(std::string name, std::string bytes) {
    Safetensors file(std::move(name));
    const std::uint64_t header = file.header_size(bytes, bytes.size());
    file.data_size_ = bytes.size() - kLengthSize - header;
    file.read_header(std::string_view(bytes).substr(kLengthSize, static_cast<std::size_t>(header)));
    bytes.erase(0, static_cast<std::size_t>(kLengthSize + header));
    file.data_ = std::move(bytes);
    return file;
  }

  /// The path, or what parse was told.
  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] const Metadata& metadata() const { return metadata_; }
  /// All tensors, sorted by name.
  [[nodiscard]] const std::vector<Entry>& entries() const { return entries_; }
  /// The tensor, or null if there is none.
  [[nodiscard]] const Entry* find(std::string_view name) const {
    const auto by_name = [](const Entry& entry, std::string_view key) { return entry.name < key; };
    const auto found = std::lower_bound(entries_.begin(), entries_.end(), name, by_name);
    return found != entries_.end() && found->name == name ? &*found : nullptr;
  }
  [[nodiscard]] bool contains(std::string_view name) const { return find(name) != nullptr; }
  [[nodiscard]] const Entry& entry(std::string_view name) const {
    if (const Entry* entry = find(name)) return *entry;
    fail("there is no tensor " + detail::in_quotes(name));
  }
  /// The stored bytes of a tensor, row-major and little-endian.
  [[nodiscard]] std::string_view bytes(const Entry& entry) const {
    return std::string_view(data_).substr(static_cast<std::size_t>(entry.begin),
                                          static_cast<std::size_t>(entry.end - entry.begin));
  }

  /// Copies a tensor of as many dimensions into `tensor`, which takes its shape.
  template <class T, std::size_t Rank>
  void load(std::string_view name, Tensor<T, Rank>& tensor) const {
    const Entry& from = entry(name);
    if (from.shape.size() != Rank) {
      fail(describe(from) + " is " + shape_to_string(from.shape.data(), from.shape.size()) + ", expected " +
           std::to_string(Rank) + (Rank == 1 ? " dimension" : " dimensions"));
    }
    check_convertible<T>(from);
    Shape<Rank> shape{};
    std::copy(from.shape.begin(), from.shape.end(), shape.begin());
    tensor.resize(shape);
    convert(from, tensor.data());
  }
  /// All numbers of a tensor of any shape, row-major.
  template <class T>
  [[nodiscard]] std::vector<T> values(std::string_view name) const {
    const Entry& from = entry(name);
    check_convertible<T>(from);
    // Memory only for numbers that are there: the count is at most the file's size.
    std::vector<T> values(count(from));
    convert(from, values.data());
    return values;
  }
  /// Throws unless the tensor can be loaded as T.
  template <class T>
  void check_convertible(const Entry& from) const {
    static_assert(std::is_arithmetic_v<T> && !std::is_same_v<T, bool>, "load numbers; BOOL as std::uint8_t");
    const bool known = detail::with_decoder(from.dtype, [&](auto decoder) {
      using Decoder = decltype(decoder);
      if constexpr (std::is_integral_v<T>) {
        const std::string_view stored = bytes(from);
        for (std::size_t i = 0; i < stored.size(); i += Decoder::kSize) {
          const auto value = Decoder::value(stored.data() + i);
          if (detail::holds_exactly<T>(value)) continue;
          fail(describe(from) + " has " + text_of(value) + " as number " + std::to_string(i / Decoder::kSize) +
               ", expected what " + std::string(dtype_name(dtype_of<T>())) + " can hold");
        }
      }
    });
    if (known) return;
    fail(describe(from) + " is of type " + std::string(dtype_name(from.dtype)) +
         ", expected F64, F32, F16, BF16, I64, I32, I16, I8, U64, U32, U16, U8 or BOOL");
  }
  /// Throws the FileError that names the file and says what is wrong with it.
  [[noreturn]] void fail(const std::string& what) const { throw FileError("Safetensors: " + name_ + ": " + what); }

 private:
  static constexpr std::uint64_t kLengthSize = 8;

  explicit Safetensors(std::string name) : name_(std::move(name)) {}

  [[nodiscard]] static std::string describe(const Entry& entry) { return "tensor " + detail::in_quotes(entry.name); }
  template <class Value>
  [[nodiscard]] static std::string text_of(Value value) {
    if constexpr (std::is_integral_v<Value>)
      return std::to_string(value);
    else
      return detail::number_to_string(static_cast<double>(value));
  }
  [[nodiscard]] std::size_t count(const Entry& entry) const {
    return bytes(entry).size() / (static_cast<std::size_t>(dtype_bits(entry.dtype)) / 8);
  }

  template <class T>
  void convert(const Entry& from, T* to) const {
    detail::with_decoder(from.dtype, [&](auto decoder) {
      using Decoder = decltype(decoder);
      const char* stored = data_.data() + from.begin;
      const std::size_t n = count(from);
      for (std::size_t i = 0; i < n; ++i) to[i] = static_cast<T>(Decoder::value(stored + i * Decoder::kSize));
    });
  }

  [[nodiscard]] std::uint64_t header_size(std::string_view first, std::uint64_t file_size) const {
    if (file_size < kLengthSize) {
      fail("the file has " + std::to_string(file_size) + " bytes, the length of its header alone needs 8");
    }
    const auto size = detail::from_little_endian<std::uint64_t>(first.data());
    if (size > kLongestHeader) {
      fail("the header has " + std::to_string(size) + " bytes, expected at most " + std::to_string(kLongestHeader));
    }
    if (size > file_size - kLengthSize) {
      fail("the header has " + std::to_string(size) + " bytes, of which the file holds " +
           std::to_string(file_size - kLengthSize));
    }
    return size;
  }

  void read_header(std::string_view text) {
    JsonReader json(text, "Safetensors: " + name_ + ": header ");
    // The format allows white space behind the object, not before it.
    if (text.empty() || text.front() != '{') json.fail(0, "'{'");
    json.read_object([&](const std::string& key) {
      if (key == "__metadata__") {
        json.read_object([&](const std::string& name) {
          metadata_[name] = json.read_string();
          if (metadata_.size() > kMostMetadata)
            fail("there are more than " + std::to_string(kMostMetadata) + " metadata");
        });
      } else {
        entries_.push_back(read_entry(json, key));
      }
    });
    json.read_end();
    check_layout();
    std::sort(entries_.begin(), entries_.end(), [](const Entry& a, const Entry& b) { return a.name < b.name; });
  }

  [[nodiscard]] Entry read_entry(JsonReader& json, const std::string& name) const {
    Entry entry;
    entry.name = name;
    std::vector<Index> offsets;
    bool has_dtype = false, has_shape = false, has_offsets = false;
    json.read_object([&](const std::string& field) {
      if (field == "dtype") {
        has_dtype = true;
        entry.dtype = read_dtype(json, entry);
      } else if (field == "shape") {
        has_shape = true;
        entry.shape = read_indices(json, entry, field, kMostDimensions);
      } else if (field == "data_offsets") {
        has_offsets = true;
        offsets = read_indices(json, entry, field, 2);
      } else {
        fail(describe(entry) + " has the field " + detail::in_quotes(field) +
             ", expected dtype, shape and data_offsets");
      }
    });
    if (!has_dtype || !has_shape || !has_offsets) {
      fail(describe(entry) + " has no " + (!has_dtype ? "dtype" : !has_shape ? "shape" : "data_offsets"));
    }
    if (offsets.size() != 2)
      fail(describe(entry) + " has " + std::to_string(offsets.size()) + " data_offsets, expected 2");
    entry.begin = static_cast<std::uint64_t>(offsets[0]);
    entry.end = static_cast<std::uint64_t>(offsets[1]);
    check_size(entry);
    return entry;
  }

  [[nodiscard]] Dtype read_dtype(JsonReader& json, const Entry& entry) const {
    const std::string name = json.read_string();
    const std::optional<Dtype> dtype = dtype_named(name);
    if (!dtype) fail(describe(entry) + " is of type " + detail::in_quotes(name) + ", which safetensors does not have");
    return *dtype;
  }

  [[nodiscard]] std::vector<Index> read_indices(JsonReader& json, const Entry& entry, const std::string& field,
                                                std::size_t most) const {
    std::vector<Index> indices;
    json.read_array([&] {
      indices.push_back(json.read_index());
      if (indices.size() > most) {
        fail(describe(entry) + " has more than " + std::to_string(most) + " numbers in its " + field);
      }
    });
    return indices;
  }

  /// The bytes of a tensor are inside of the file, and as many as its shape and type need.
  void check_size(const Entry& entry) const {
    if (entry.begin > entry.end || entry.end > data_size_) {
      fail(describe(entry) + " lies at [" + std::to_string(entry.begin) + ", " + std::to_string(entry.end) + ") of " +
           std::to_string(data_size_) + " bytes of data");
    }
    const std::optional<std::uint64_t> bits = bits_needed(entry);
    if (bits && *bits % 8 == 0 && *bits / 8 == entry.end - entry.begin) return;
    std::string needed = "more than 2^64 bits";
    if (bits) needed = *bits % 8 == 0 ? std::to_string(*bits / 8) : std::to_string(*bits) + " bits";
    fail(describe(entry) + " has " + std::to_string(entry.end - entry.begin) + " bytes, its shape " +
         shape_to_string(entry.shape.data(), entry.shape.size()) + " of " + std::string(dtype_name(entry.dtype)) +
         " needs " + needed);
  }

  /// The bits that the shape and the type need, or nothing if a product on the way does not fit in 64 bits.
  [[nodiscard]] static std::optional<std::uint64_t> bits_needed(const Entry& entry) {
    std::uint64_t product = 1;
    const auto multiply = [&](std::uint64_t factor) {
      if (factor != 0 && product > std::numeric_limits<std::uint64_t>::max() / factor) return false;
      product *= factor;
      return true;
    };
    for (const Index size : entry.shape) {
      if (!multiply(static_cast<std::uint64_t>(size))) return std::nullopt;
    }
    if (!multiply(static_cast<std::uint64_t>(dtype_bits(entry.dtype)))) return std::nullopt;
    return product;
  }

  /// The tensors cover the data: each begins where the one before it ends.
  void check_layout() const {
    std::vector<const Entry*> in_order;
    in_order.reserve(entries_.size());
    for (const Entry& entry : entries_) in_order.push_back(&entry);
    std::sort(in_order.begin(), in_order.end(), [](const Entry* a, const Entry* b) {
      return a->begin != b->begin ? a->begin < b->begin : a->end < b->end;
    });
    std::uint64_t covered = 0;
    for (const Entry* entry : in_order) {
      if (entry->begin != covered) {
        fail(describe(*entry) + " begins at byte " + std::to_string(entry->begin) + " of the data, expected " +
             std::to_string(covered) + ", where the tensor before it ends");
      }
      covered = entry->end;
    }
    if (covered != data_size_) {
      fail("the data has " + std::to_string(data_size_) + " bytes, its tensors end at " + std::to_string(covered));
    }
  }

  std::string name_;
  Metadata metadata_;
  std::vector<Entry> entries_;   // sorted by name
  std::string data_;             // all that follows the header
  std::uint64_t data_size_ = 0;  // known before data_ is read
};

}  // namespace MAT_ABI
}  // namespace mat
