#include "conformance/suites.hpp"
#include "support/sha256.hpp"

namespace mat::conformance {

namespace {

/// How the library takes a file: as it stands in the folder and as bytes in memory.
struct Attempt {
  bool accepted = false;
  std::string refusal;  // the FileError's text
};

template <class Read>
Attempt attempt(const Read& read) {
  try {
    (void)read();
    return {true, ""};
  } catch (const FileError& error) {
    return {false, error.what()};
  }
}

/// The file holds the tensors that the index lists, and nothing else; every one that has a decoder can be loaded.
void check_tensors(const Safetensors& file, const Json::Array& tensors) {
  if (file.entries().size() != tensors.size()) {
    throw Failure(std::to_string(file.entries().size()) + " tensors, expected " + std::to_string(tensors.size()));
  }
  for (const Json& tensor : tensors) {
    const Safetensors::Entry& entry = file.entry(tensor.at("name").as_string());
    std::vector<Index> shape;
    for (const Json& size : tensor.at("shape").as_array()) shape.push_back(size.as_index());
    const bool same = entry.shape == shape && dtype_name(entry.dtype) == tensor.at("dtype").as_string() &&
                      test::sha256(file.bytes(entry)) == tensor.at("data_sha256").as_string();
    if (!same) throw Failure("tensor '" + entry.name + "' has another type, shape or other bytes");
    if (dtype_bits(entry.dtype) >= 16 || entry.dtype == Dtype::kU8 || entry.dtype == Dtype::kBool) {
      if (entry.dtype != Dtype::kC64) (void)file.values<double>(entry.name);
    }
  }
}

void run_row(const Json& row, const std::string& path) {
  const std::string bytes = read_file(path), expected = row.at("expected").as_string();
  if (test::sha256(bytes) != row.at("sha256").as_string()) throw Failure("the file is not the one of the index");
  const Attempt from_file = attempt([&] { return Safetensors::read(path); });
  const Attempt from_bytes = attempt([&] { return Safetensors::parse(path, bytes); });
  if (from_file.accepted != from_bytes.accepted || from_file.refusal != from_bytes.refusal) {
    throw Failure("read from the file and from bytes differ: '" + from_file.refusal + "', '" + from_bytes.refusal +
                  "'");
  }
  if (from_file.accepted && expected == "reject") throw Failure("was accepted, expected a FileError");
  if (from_file.accepted) {
    if (const Json* tensors = row.find("tensors")) check_tensors(Safetensors::read(path), tensors->as_array());
    return;
  }
  if (expected == "accept") throw Failure("was refused: " + from_file.refusal);
  const std::string lead = "Safetensors: " + path + ": ";
  const bool tells = from_file.refusal.rfind(lead, 0) == 0 && from_file.refusal.size() > lead.size();
  if (!tells) throw Failure("the refusal does not name the file and the reason: " + from_file.refusal);
}

/// No proper prefix of a good file with data is a good file.
void run_prefixes(const std::string& path) {
  const std::string bytes = read_file(path);
  for (std::size_t n = 0; n < bytes.size(); ++n) {
    if (attempt([&] { return Safetensors::parse(path, bytes.substr(0, n)); }).accepted) {
      throw Failure("its first " + std::to_string(n) + " bytes of " + std::to_string(bytes.size()) + " were accepted");
    }
  }
}

/// True for an ok_* file whose tensors have bytes.
bool has_data(const Json& row) {
  const Json* tensors = row.find("tensors");
  if (row.at("name").as_string().rfind("ok_", 0) != 0 || tensors == nullptr || tensors->is_null()) return false;
  for (const Json& tensor : tensors->as_array()) {
    bool empty = false;
    for (const Json& size : tensor.at("shape").as_array()) empty = empty || size.as_index() == 0;
    if (!empty) return true;
  }
  return false;
}

}  // namespace

void run_malformed_suite(const Selection& selection, Reports& reports) {
  for (const Json& row : index_of(selection.folder / "malformed")) {
    const std::string name = row.at("name").as_string();
    if (!selection.wants(name)) continue;
    const std::string path = (selection.folder / row.at("file").as_string()).string();
    const std::string rule = row.at("rule").as_string();
    reports.push_back(report_case(name, "malformed", rule, [&](CaseReport&) { run_row(row, path); }));
    if (!has_data(row)) continue;
    const std::string prefixes = name + ", every prefix";
    reports.push_back(report_case(prefixes, "malformed", rule, [&](CaseReport&) { run_prefixes(path); }));
  }
}

}  // namespace mat::conformance
