#include "support/catch.hpp"
#include "support/sha256.hpp"

#include <mat/io/json.hpp>
#include <mat/io/safetensors.hpp>

#include <cstdlib>
#include <filesystem>

namespace safetensors_malformed_test {

using mat::FileError;
using mat::Json;
using mat::Safetensors;

namespace {

/// The folder of hostile and unusual files with the verdicts on them; empty if it is not there.
std::string folder() {
  const char* chosen = std::getenv("MAT_CONFORMANCE_DIR");
  const std::filesystem::path base = chosen != nullptr
                                         ? std::filesystem::path(chosen)
                                         : std::filesystem::path(MAT_SOURCE_DIR) / "../shared/conformance";
  if (std::filesystem::exists(base / "malformed/index.json")) return base.string();
  WARN("not run: there is no " << (base / "malformed/index.json").string() << "; set MAT_CONFORMANCE_DIR");
  return "";
}

/// "" if the file is read, else what the FileError says; any other exception fails the test.
std::string refusal(const std::string& name, const std::string& bytes) {
  try {
    (void)Safetensors::parse(name, bytes);
    return "";
  } catch (const FileError& error) {
    return error.what();
  }
}

/// All that the index says of the tensors is what the file holds.
void check_tensors(const Safetensors& file, const Json::Array& tensors) {
  CHECK(file.entries().size() == tensors.size());
  for (const Json& tensor : tensors) {
    const std::string& name = tensor.at("name").as_string();
    INFO(name);
    REQUIRE(file.contains(name));
    const Safetensors::Entry& entry = file.entry(name);
    CHECK(mat::dtype_name(entry.dtype) == tensor.at("dtype").as_string());
    std::vector<mat::Index> shape;
    for (const Json& size : tensor.at("shape").as_array()) shape.push_back(size.as_index());
    CHECK(entry.shape == shape);
    CHECK(mat::test::sha256(file.bytes(entry)) == tensor.at("data_sha256").as_string());
  }
}

}  // namespace

TEST_CASE("SHA-256 gives the digests of the standard", "[io]") {
  using mat::test::sha256;
  CHECK(sha256("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK(sha256("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(sha256(std::string(1000000, 'a')) == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST_CASE("hostile and unusual files get the verdict they deserve", "[io]") {
  const std::string base = folder();
  if (base.empty()) return;
  const Json index = Json::parse(mat::read_file(base + "/malformed/index.json"), "index.json");
  const Json::Array& cases = index.at("cases").as_array();
  CHECK(static_cast<mat::Index>(cases.size()) == index.at("count").as_index());
  for (const Json& row : cases) {
    const std::string path = base + "/" + row.at("file").as_string();
    const std::string bytes = mat::read_file(path);
    const std::string& expected = row.at("expected").as_string();
    const std::string message = refusal(path, bytes);
    INFO(row.at("name").as_string() << ": " << message);
    REQUIRE(mat::test::sha256(bytes) == row.at("sha256").as_string());
    if (expected == "accept") CHECK(message.empty());
    if (expected == "reject") CHECK(message.rfind("Safetensors: " + path + ": ", 0) == 0);

    // The file on the disk gets the verdict of its bytes.
    if (message.empty()) {
      check_tensors(Safetensors::parse(path, bytes), row.at("tensors").as_array());
      check_tensors(Safetensors::read(path), row.at("tensors").as_array());
    } else {
      CHECK_THROWS_AS(Safetensors::read(path), FileError);
      CHECK_THROWS_WITH(Safetensors::read(path), message);
    }
  }
}

TEST_CASE("no proper prefix of a file with tensors is read", "[io]") {
  const std::string base = folder();
  if (base.empty()) return;
  int prefixes = 0;
  for (const auto& file : std::filesystem::directory_iterator(base + "/malformed")) {
    if (file.path().filename().string().rfind("ok_", 0) != 0) continue;
    const std::string bytes = mat::read_file(file.path().string());
    const Safetensors whole = Safetensors::parse("whole", bytes);
    std::size_t data = 0;
    for (const Safetensors::Entry& entry : whole.entries()) data += whole.bytes(entry).size();
    if (data == 0) continue;
    std::size_t read = 0;
    for (std::size_t size = 0; size < bytes.size(); ++size, ++prefixes) {
      if (refusal("prefix", bytes.substr(0, size)).empty()) ++read;
    }
    INFO(file.path().string());
    CHECK(read == 0);
  }
  CHECK(prefixes > 500);
}

}  // namespace safetensors_malformed_test
