#include "support/catch.hpp"
#include "support/temporary_folder.hpp"

#include <mat/core/random.hpp>
#include <mat/io/durable_file.hpp>
#include <mat/io/safetensors.hpp>

namespace safetensors_test {

using mat::FileError;
using mat::Safetensors;

namespace {

std::string little_endian(std::uint64_t value) {
  std::string bytes;
  for (int i = 0; i < 8; ++i) bytes += static_cast<char>(static_cast<unsigned char>(value >> (8 * i)));
  return bytes;
}
/// The bytes of a file with this header, whose tensors are `data`.
std::string file_of(const std::string& header, const std::string& data = "") {
  return little_endian(header.size()) + header + data;
}
/// A file with one tensor `a`.
Safetensors one_tensor(const std::string& dtype, const std::string& shape, const std::string& data) {
  const std::string offsets = "[0," + std::to_string(data.size()) + "]";
  return Safetensors::parse(
      "f",
      file_of(R"({"a":{"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" + offsets + "}}", data));
}
template <class T>
std::string bytes_of(std::initializer_list<T> values) {
  return std::string(reinterpret_cast<const char*>(values.begin()), values.size() * sizeof(T));
}

const std::string kTwoTensors =
    R"({"__metadata__":{"k":"v","":"é"},"b":{"dtype":"I64","shape":[2],"data_offsets":[8,24]},)"
    R"("a":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]}}  )";
const std::string kTwoData = bytes_of<float>({1.5F, -2.5F}) + bytes_of<std::int64_t>({7, -9});

}  // namespace

TEST_CASE("a file tells its metadata and its tensors, sorted by name", "[io]") {
  const Safetensors file = Safetensors::parse("f", file_of(kTwoTensors, kTwoData));
  CHECK(file.name() == "f");
  CHECK(file.metadata() == mat::Metadata{{"k", "v"}, {"", "é"}});
  REQUIRE(file.entries().size() == 2);
  CHECK(file.entries()[0].name == "a");
  CHECK(file.entries()[0].dtype == mat::Dtype::kF32);
  CHECK(file.entries()[0].shape == std::vector<mat::Index>{1, 2});
  CHECK(file.bytes(file.entries()[0]) == kTwoData.substr(0, 8));
  CHECK(file.entries()[1].name == "b");
  CHECK(file.contains("b"));
  CHECK_FALSE(file.contains("c"));
  CHECK_FALSE(file.contains("__metadata__"));
}

TEST_CASE("a tensor is loaded with its shape", "[io]") {
  const Safetensors file = Safetensors::parse("f", file_of(kTwoTensors, kTwoData));
  mat::Matrix<float> a;
  file.load("a", a);
  CHECK(a == mat::Matrix<float>({1, 2}, {1.5F, -2.5F}));
  mat::Vector<double> b({5});
  file.load("b", b);
  CHECK(b == mat::Vector<double>({2}, {7, -9}));
  const Safetensors copy = file;
  CHECK(copy.values<std::int64_t>("b") == std::vector<std::int64_t>{7, -9});
}

TEST_CASE("a file on the disk is read as its bytes are", "[io]") {
  const mat::test::TemporaryFolder folder;
  const std::string path = folder.path("two.safetensors");
  mat::write_file(path, file_of(kTwoTensors, kTwoData));
  const Safetensors file = Safetensors::read(path);
  CHECK(file.name() == path);
  CHECK(file.values<float>("a") == std::vector<float>{1.5F, -2.5F});
  CHECK(file.values<float>("b") == std::vector<float>{7, -9});

  mat::write_file(path, file_of(kTwoTensors, kTwoData + "x"));
  CHECK_THROWS_WITH(Safetensors::read(path), "Safetensors: " + path + ": the data has 25 bytes, its tensors end at 24");
  mat::write_file(path, "");
  CHECK_THROWS_WITH(Safetensors::read(path),
                    "Safetensors: " + path + ": the file has 0 bytes, the length of its header alone needs 8");
  CHECK_THROWS_WITH(Safetensors::read(folder.path("none")),
                    "FileReader: " + folder.path("none") + " cannot be opened: No such file or directory");
}

TEST_CASE("one number and no numbers are tensors too", "[io]") {
  CHECK(one_tensor("F64", "[]", bytes_of<double>({2.5})).values<float>("a") == std::vector<float>{2.5F});
  const Safetensors none = one_tensor("F32", "[2,0,3]", "");
  CHECK(none.values<float>("a").empty());
  mat::Tensor<float, 3> tensor;
  none.load("a", tensor);
  CHECK(tensor.shape() == mat::Shape<3>{2, 0, 3});
}

TEST_CASE("every stored type converts to every number", "[io]") {
  const auto [dtype, data] = GENERATE(table<std::string, std::string>({
      {"F64", bytes_of<double>({0, 1, 100})},
      {"F32", bytes_of<float>({0, 1, 100})},
      {"F16", bytes_of<std::uint16_t>({0, 0x3C00, 0x5640})},
      {"BF16", bytes_of<std::uint16_t>({0, 0x3F80, 0x42C8})},
      {"I64", bytes_of<std::int64_t>({0, 1, 100})},
      {"I32", bytes_of<std::int32_t>({0, 1, 100})},
      {"I16", bytes_of<std::int16_t>({0, 1, 100})},
      {"I8", bytes_of<std::int8_t>({0, 1, 100})},
      {"U64", bytes_of<std::uint64_t>({0, 1, 100})},
      {"U32", bytes_of<std::uint32_t>({0, 1, 100})},
      {"U16", bytes_of<std::uint16_t>({0, 1, 100})},
      {"U8", bytes_of<std::uint8_t>({0, 1, 100})},
  }));
  const Safetensors file = one_tensor(dtype, "[3]", data);
  CHECK(file.values<double>("a") == std::vector<double>{0, 1, 100});
  CHECK(file.values<float>("a") == std::vector<float>{0, 1, 100});
  CHECK(file.values<std::int64_t>("a") == std::vector<std::int64_t>{0, 1, 100});
  CHECK(file.values<std::int32_t>("a") == std::vector<std::int32_t>{0, 1, 100});
  CHECK(file.values<std::int8_t>("a") == std::vector<std::int8_t>{0, 1, 100});
  CHECK(file.values<std::uint64_t>("a") == std::vector<std::uint64_t>{0, 1, 100});
  CHECK(file.values<std::uint8_t>("a") == std::vector<std::uint8_t>{0, 1, 100});
}

TEST_CASE("any byte but 0 is true", "[io]") {
  const Safetensors file = one_tensor("BOOL", "[4]", std::string("\0\x01\x02\xFF", 4));
  CHECK(file.values<std::uint8_t>("a") == std::vector<std::uint8_t>{0, 1, 1, 1});
  CHECK(file.values<float>("a") == std::vector<float>{0, 1, 1, 1});
}

TEST_CASE("an integer that cannot hold a number exactly is refused and nothing changes", "[io]") {
  mat::Vector<std::int8_t> small({2}, {1, 2});
  CHECK_THROWS_WITH(one_tensor("I64", "[2]", bytes_of<std::int64_t>({3, 200})).load("a", small),
                    "Safetensors: f: tensor 'a' has 200 as number 1, expected what I8 can hold");
  CHECK(small == mat::Vector<std::int8_t>({2}, {1, 2}));
  CHECK_THROWS_WITH(one_tensor("F32", "[1]", bytes_of<float>({2.5F})).values<std::int64_t>("a"),
                    "Safetensors: f: tensor 'a' has 2.5 as number 0, expected what I64 can hold");
}

TEST_CASE("what cannot be loaded is refused", "[io]") {
  const Safetensors file = Safetensors::parse("f", file_of(kTwoTensors, kTwoData));
  mat::Vector<float> vector;
  mat::Matrix<float> matrix;
  CHECK_THROWS_WITH(file.load("none", vector), "Safetensors: f: there is no tensor 'none'");
  CHECK_THROWS_WITH(file.load("a", vector), "Safetensors: f: tensor 'a' is [1, 2], expected 1 dimension");
  CHECK_THROWS_WITH(file.load("b", matrix), "Safetensors: f: tensor 'b' is [2], expected 2 dimensions");
  const Safetensors exotic = one_tensor("F8_E4M3", "[2]", "xy");
  CHECK(exotic.bytes(exotic.entry("a")) == "xy");
  CHECK_THROWS_WITH(exotic.load("a", vector),
                    "Safetensors: f: tensor 'a' is of type F8_E4M3, expected F64, F32, F16, BF16, I64, I32, I16, I8, "
                    "U64, U32, U16, U8 or BOOL");
}

TEST_CASE("types of less than a byte fill whole bytes", "[io]") {
  CHECK(one_tensor("F4", "[2,3]", "xyz").entries().size() == 1);
  CHECK(one_tensor("F6_E2M3", "[4]", "xyz").entries().size() == 1);
  CHECK_THROWS_WITH(one_tensor("F4", "[3]", "xy"),
                    "Safetensors: f: tensor 'a' has 2 bytes, its shape [3] of F4 needs 12 bits");
}

TEST_CASE("a file without a whole header is refused", "[io]") {
  const auto [bytes, message] = GENERATE(table<std::string, std::string>({
      {"1234567", "the file has 7 bytes, the length of its header alone needs 8"},
      {little_endian(3) + "{}", "the header has 3 bytes, of which the file holds 2"},
      {little_endian(100000000) + "{}", "the header has 100000000 bytes, of which the file holds 2"},
      {little_endian(100000001) + "{}", "the header has 100000001 bytes, expected at most 100000000"},
      {std::string(8, '\xFF') + "{}", "the header has 18446744073709551615 bytes, expected at most 100000000"},
      {file_of(""), "header byte 0 is the end, expected '{'"},
      {file_of(" {}"), "header byte 0 is ' ', expected '{'"},
      {file_of("[]"), "header byte 0 is '[', expected '{'"},
      {file_of("{}x"), "header byte 2 is 'x', expected the end"},
      {file_of("{}", "x"), "the data has 1 bytes, its tensors end at 0"},
  }));
  CHECK_THROWS_AS(Safetensors::parse("f", bytes), FileError);
  CHECK_THROWS_WITH(Safetensors::parse("f", bytes), "Safetensors: f: " + message);
}

TEST_CASE("a header that does not describe the data is refused with the tensor and the reason", "[io]") {
  // Each follows {"a":{ and is followed by }}; there are 16 bytes of data.
  const auto [tensor, message] = GENERATE(table<std::string, std::string>({
      {R"("shape":[4],"data_offsets":[0,16])", "tensor 'a' has no dtype"},
      {R"("dtype":"F32","data_offsets":[0,16])", "tensor 'a' has no shape"},
      {R"("dtype":"F32","shape":[4])", "tensor 'a' has no data_offsets"},
      {R"("dtype":"F32","shape":[4],"data_offsets":[0,16],"note":"x")",
       "tensor 'a' has the field 'note', expected dtype, shape and data_offsets"},
      {R"("dtype":"f32","shape":[4],"data_offsets":[0,16])",
       "tensor 'a' is of type 'f32', which safetensors does not have"},
      {R"("dtype":null,"shape":[4],"data_offsets":[0,16])", "header byte 14 is 'n', expected a string"},
      {R"("dtype":"F32","dtype":"F32")", "header byte 20 is the key 'dtype' again, expected each key once"},
      {R"("dtype":"F32","shape":4,"data_offsets":[0,16])", "header byte 28 is '4', expected an array"},
      {R"("dtype":"F32","shape":[-4],"data_offsets":[0,16])",
       "header byte 29 is '-4', expected a whole number from 0 to 9223372036854775807"},
      {R"("dtype":"F32","shape":[2,3],"data_offsets":[0,16])",
       "tensor 'a' has 16 bytes, its shape [2, 3] of F32 needs 24"},
      {R"("dtype":"F32","shape":[0],"data_offsets":[0,16])", "tensor 'a' has 16 bytes, its shape [0] of F32 needs 0"},
      {R"("dtype":"F32","shape":[4294967296,4294967296,4],"data_offsets":[0,16])",
       "tensor 'a' has 16 bytes, its shape [4294967296, 4294967296, 4] of F32 needs more than 2^64 bits"},
      {R"("dtype":"F32","shape":[4611686018427387904],"data_offsets":[0,16])",
       "tensor 'a' has 16 bytes, its shape [4611686018427387904] of F32 needs more than 2^64 bits"},
      {R"("dtype":"F32","shape":[4],"data_offsets":[0])", "tensor 'a' has 1 data_offsets, expected 2"},
      {R"("dtype":"F32","shape":[4],"data_offsets":[0,16,16])",
       "tensor 'a' has more than 2 numbers in its data_offsets"},
      {R"("dtype":"F32","shape":[4],"data_offsets":[16,0])", "tensor 'a' lies at [16, 0) of 16 bytes of data"},
      {R"("dtype":"F32","shape":[8],"data_offsets":[0,32])", "tensor 'a' lies at [0, 32) of 16 bytes of data"},
      {R"("dtype":"F32","shape":[3],"data_offsets":[4,16])",
       "tensor 'a' begins at byte 4 of the data, expected 0, where the tensor before it ends"},
      {R"("dtype":"F32","shape":[3],"data_offsets":[0,12])", "the data has 16 bytes, its tensors end at 12"},
      {R"("dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[3],"data_offsets":[4,16])",
       "tensor 'b' begins at byte 4 of the data, expected 8, where the tensor before it ends"},
      {R"("dtype":"F32","shape":[4],"data_offsets":[0,16]},"__metadata__":{"k":1)",
       "header byte 75 is '1', expected a string"},
      {R"("dtype":"F32","shape":[4],"data_offsets":[0,16]},"__metadata__":[{)",
       "header byte 70 is '[', expected an object"},
  }));
  const std::string bytes = file_of("{\"a\":{" + tensor + "}}", std::string(16, 'x'));
  CHECK_THROWS_AS(Safetensors::parse("f", bytes), FileError);
  CHECK_THROWS_WITH(Safetensors::parse("f", bytes), "Safetensors: f: " + message);
}

TEST_CASE("a shape has at most 1024 sizes", "[io]") {
  const auto shape = [](std::size_t dimensions) {
    std::string text = "[1";
    for (std::size_t i = 1; i < dimensions; ++i) text += ",1";
    return text + "]";
  };
  CHECK(one_tensor("U8", shape(1024), "x").entries().front().shape.size() == 1024);
  CHECK_THROWS_WITH(one_tensor("U8", shape(1025), "x"),
                    "Safetensors: f: tensor 'a' has more than 1024 numbers in its shape");
}

TEST_CASE("a file has at most 65536 metadata", "[io]") {
  const auto metadata = [](int count) {
    std::string text = R"({"__metadata__":{"0":"")";
    for (int i = 1; i < count; ++i) text += ",\"" + std::to_string(i) + "\":\"\"";
    return file_of(text + "}}");
  };
  CHECK(Safetensors::parse("f", metadata(65536)).metadata().size() == 65536);
  CHECK_THROWS_WITH(Safetensors::parse("f", metadata(65537)), "Safetensors: f: there are more than 65536 metadata");
}

TEST_CASE("a file with flipped bytes is read or refused, never more", "[io]") {
  const std::string original = file_of(kTwoTensors, kTwoData);
  const mat::Random random(7);
  std::uint64_t next = 0;
  const auto below = [&](std::size_t n) {
    return static_cast<std::size_t>(random.below(next++, static_cast<mat::Index>(n)));
  };
  // Bytes that mean something to a reader are tried more often than others.
  const std::string telling("{}[]\",:\\0123456789-eE.uU \0\xFF\x80", 29);
  int read = 0, refused = 0;
  for (int i = 0; i < 6000; ++i) {
    std::string bytes = original;
    for (std::size_t flips = 1 + below(4); flips > 0; --flips) {
      const std::size_t at = below(bytes.size());
      const std::size_t kind = below(4);
      if (kind == 0) bytes[at] = static_cast<char>(static_cast<unsigned char>(below(256)));
      if (kind == 1) bytes[at] = telling[below(telling.size())];
      if (kind == 2) bytes.erase(at, 1 + below(3));
      if (kind == 3) bytes.insert(at, 1, telling[below(telling.size())]);
    }
    // A length that fits lets more of the damage reach the parser of the header.
    if (below(2) == 0 && bytes.size() > 8 + kTwoData.size()) {
      bytes.replace(0, 8, little_endian(bytes.size() - 8 - kTwoData.size()));
    }
    try {
      const Safetensors file = Safetensors::parse("f", bytes);
      std::size_t total = 0;
      for (const Safetensors::Entry& entry : file.entries()) {
        total += file.bytes(entry).size();
        try {
          (void)file.values<std::int16_t>(entry.name);
          (void)file.values<double>(entry.name);
        } catch (const FileError&) {
        }
      }
      CHECK(total <= bytes.size());
      ++read;
    } catch (const FileError& error) {
      if (std::string(error.what()).rfind("Safetensors: f: ", 0) != 0) FAIL(error.what());
      ++refused;
    }
  }
  CHECK(read > 100);
  CHECK(refused > 3000);
}

}  // namespace safetensors_test
