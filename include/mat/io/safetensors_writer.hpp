#pragma once

#include <mat/core/tensor.hpp>
#include <mat/io/durable_file.hpp>
#include <mat/io/json_writer.hpp>
#include <mat/io/safetensors.hpp>

namespace mat {
inline namespace MAT_ABI {

/// Collects tensors and writes them as one safetensors file, which Python's safetensors reads as it is.
///
///     SafetensorsWriter writer;
///     writer.add("weight", weight);
///     writer.set_metadata("format", "pt");
///     writer.write("model.safetensors");
///
/// The same tensors and metadata give the same bytes, whatever the order they were added in: they are sorted by type,
/// the widest first, then by name, as the reference implementation does. No tensor is copied: all must live until the
/// last write.
///
/// Source: the safetensors format, https://huggingface.co/docs/safetensors
/// Errors: ValueError for a name that is taken or not UTF-8; FileError if the file cannot be written (see DurableFile).
class SafetensorsWriter {
 public:
  void set_metadata(const std::string& key, const std::string& value) { metadata_[key] = value; }
  void set_metadata(const Metadata& metadata) {
    for (const auto& [key, value] : metadata) set_metadata(key, value);
  }

  template <class T, std::size_t Rank>
  void add(const std::string& name, TensorView<T, Rank> values) {
    if (name == "__metadata__" || !names_.insert(name).second) {
      throw ValueError("SafetensorsWriter::add: the name is " + detail::in_quotes(name) +
                       ", expected one not yet taken");
    }
    Item item;
    item.name = name;
    item.dtype = dtype_of<std::remove_const_t<T>>();
    item.shape.assign(values.shape().begin(), values.shape().end());
    item.data = reinterpret_cast<const char*>(values.data());
    item.number_size = sizeof(T);
    item.rows = values.empty() ? 0 : static_cast<std::size_t>(values.rows());
    item.row_size = static_cast<std::size_t>(values.cols()) * sizeof(T);
    item.row_stride = static_cast<std::size_t>(values.row_stride()) * sizeof(T);
    items_.push_back(std::move(item));
  }
  template <class T, std::size_t Rank>
  void add(const std::string& name, const Tensor<T, Rank>& values) {
    add(name, values.view());
  }
  template <class T, std::size_t Rank>
  void add(const std::string& name, const Tensor<T, Rank>&& temporary) = delete;

  /// Writes the file, or leaves an old one as it was.
  void write(const std::string& path) const {
    const std::vector<const Item*> order = file_order();
    const std::string first = header(order);
    DurableFile file(path);
    file.write(first);
    for (const Item* item : order) append(*item, [&](std::string_view bytes) { file.write(bytes); });
    file.commit();
  }
  /// The bytes of the file.
  [[nodiscard]] std::string str() const {
    const std::vector<const Item*> order = file_order();
    std::string text = header(order);
    for (const Item* item : order) append(*item, [&](std::string_view bytes) { text += bytes; });
    return text;
  }

 private:
  struct Item {
    std::string name;
    Dtype dtype = Dtype::kF32;
    std::vector<Index> shape;
    const char* data = nullptr;
    std::size_t number_size = 0, rows = 0, row_size = 0, row_stride = 0;  // all but rows in bytes
  };

  [[nodiscard]] std::vector<const Item*> file_order() const {
    std::vector<const Item*> order;
    for (const Item& item : items_) order.push_back(&item);
    std::sort(order.begin(), order.end(), [](const Item* a, const Item* b) {
      return a->dtype != b->dtype ? a->dtype > b->dtype : a->name < b->name;
    });
    return order;
  }

  /// The length of the header and the header, filled up with spaces so that the tensors begin at a multiple of 8.
  [[nodiscard]] std::string header(const std::vector<const Item*>& order) const {
    std::string text = "{";
    if (!metadata_.empty()) text += "\"__metadata__\":" + metadata_text();
    std::size_t begin = 0;
    for (const Item* item : order) {
      const std::size_t end = begin + item->rows * item->row_size;
      if (text.size() > 1) text += ',';
      append_json_string(text, item->name);
      text += ":{\"dtype\":\"" + std::string(dtype_name(item->dtype)) + "\",\"shape\":[";
      for (std::size_t i = 0; i < item->shape.size(); ++i) text += (i > 0 ? "," : "") + std::to_string(item->shape[i]);
      text += "],\"data_offsets\":[" + std::to_string(begin) + "," + std::to_string(end) + "]}";
      begin = end;
    }
    text += '}';
    text.resize((text.size() + 7) / 8 * 8, ' ');
    check_value(text.size() <= Safetensors::kLongestHeader, "SafetensorsWriter: the size of the header",
                static_cast<Index>(text.size()), "at most " + std::to_string(Safetensors::kLongestHeader));
    std::string length;
    for (int i = 0; i < 8; ++i) length += static_cast<char>(static_cast<unsigned char>(text.size() >> (8 * i)));
    return length + text;
  }
  [[nodiscard]] std::string metadata_text() const {
    std::string text = "{";
    for (const auto& [key, value] : metadata_) {
      if (text.size() > 1) text += ',';
      append_json_string(text, key);
      text += ':';
      append_json_string(text, value);
    }
    return text + "}";
  }

  /// Hands on the numbers row by row, in little-endian order.
  template <class Sink>
  static void append(const Item& item, Sink&& sink) {
    const bool as_it_is = detail::is_little_endian();
    std::string row;
    for (std::size_t i = 0; i < item.rows; ++i) {
      const std::string_view bytes(item.data + i * item.row_stride, item.row_size);
      if (as_it_is) {
        sink(bytes);
        continue;
      }
      row.assign(bytes);
      for (std::size_t j = 0; j < row.size(); j += item.number_size) {
        std::reverse(row.begin() + static_cast<std::ptrdiff_t>(j),
                     row.begin() + static_cast<std::ptrdiff_t>(j + item.number_size));
      }
      sink(row);
    }
  }

  Metadata metadata_;
  std::vector<Item> items_;
  std::set<std::string> names_;
};

}  // namespace MAT_ABI
}  // namespace mat
