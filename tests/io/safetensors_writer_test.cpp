#include "support/catch.hpp"
#include "support/temporary_folder.hpp"

#include <mat/io/safetensors_writer.hpp>

namespace safetensors_writer_test {

using mat::Safetensors;
using mat::SafetensorsWriter;

TEST_CASE("what is written reads back bit for bit", "[io]") {
  const mat::Matrix<float> a({2, 3}, {1.5F, -0.0F, 3e38F, 1e-45F, 5.F, 6.F});
  const mat::Tensor<double, 3> b({1, 2, 2}, {0.1, -2, 1e300, 5e-324});
  const mat::Vector<std::int64_t> c({2}, {-1, std::numeric_limits<std::int64_t>::max()});
  const mat::Vector<std::uint8_t> d({3}, {0, 1, 255});
  const mat::Vector<bool> e({2}, {true, false});
  const mat::Matrix<float> none({0, 4});
  SafetensorsWriter writer;
  writer.add("a", a);
  writer.add("слой.b", b);
  writer.add("c", c);
  writer.add("", d);
  writer.add("e", e);
  writer.add("none", none);
  writer.set_metadata({{"format", "pt"}, {"config", "{\"heads\":8}"}});

  const Safetensors file = Safetensors::parse("f", writer.str());
  CHECK(file.metadata() == mat::Metadata{{"format", "pt"}, {"config", "{\"heads\":8}"}});
  mat::Matrix<float> a_back, none_back;
  mat::Tensor<double, 3> b_back;
  mat::Vector<std::int64_t> c_back;
  mat::Vector<std::uint8_t> d_back;
  file.load("a", a_back);
  file.load("слой.b", b_back);
  file.load("c", c_back);
  file.load("", d_back);
  file.load("none", none_back);
  CHECK(a_back == a);
  CHECK(std::signbit(a_back(0, 1)));
  CHECK(b_back == b);
  CHECK(c_back == c);
  CHECK(d_back == d);
  CHECK(none_back.shape() == none.shape());
  CHECK(file.entry("e").dtype == mat::Dtype::kBool);
  CHECK(file.values<std::uint8_t>("e") == std::vector<std::uint8_t>{1, 0});
}

TEST_CASE("the same tensors give the same bytes in whatever order they are added", "[io]") {
  const mat::Vector<float> a({1}, {1}), b({1}, {2});
  const mat::Vector<double> c({1}, {3});
  SafetensorsWriter one, other;
  one.add("a", a);
  one.add("b", b);
  one.add("c", c);
  one.set_metadata("k", "v");
  other.set_metadata("k", "v");
  other.add("c", c);
  other.add("b", b);
  other.add("a", a);
  CHECK(one.str() == other.str());
}

TEST_CASE("a file is laid out as the reference implementation does", "[io]") {
  const mat::Vector<float> a({1}, {1});
  const mat::Matrix<double> z({1, 1}, {2});
  const mat::Vector<std::uint32_t> b({1}, {5});
  SafetensorsWriter writer;
  writer.add("b", b);
  writer.add("a", a);
  writer.add("z", z);
  writer.set_metadata("k", "v");
  const std::string header = R"({"__metadata__":{"k":"v"},"z":{"dtype":"F64","shape":[1,1],"data_offsets":[0,8]},)"
                             R"("a":{"dtype":"F32","shape":[1],"data_offsets":[8,12]},)"
                             R"("b":{"dtype":"U32","shape":[1],"data_offsets":[12,16]}})"
                             "  ";
  REQUIRE(header.size() % 8 == 0);
  const std::string length(1, static_cast<char>(static_cast<unsigned char>(header.size())));
  CHECK(writer.str() ==
        length + std::string(7, '\0') + header + std::string("\0\0\0\0\0\0\0\x40\0\0\x80\x3F\5\0\0\0", 16));
  CHECK(SafetensorsWriter().str() == std::string("\x08\0\0\0\0\0\0\0{}      ", 16));
}

TEST_CASE("a block of columns is written without its gaps", "[io]") {
  mat::Matrix<float> whole({2, 3}, {1, 2, 3, 4, 5, 6});
  SafetensorsWriter writer;
  writer.add("block", whole.view().middle_cols(1, 2));
  CHECK(Safetensors::parse("f", writer.str()).values<float>("block") == std::vector<float>{2, 3, 5, 6});
}

TEST_CASE("a written file replaces the old one", "[io]") {
  const mat::test::TemporaryFolder folder;
  const std::string path = folder.path("m.safetensors");
  mat::Vector<float> values({2}, {1, 2});
  SafetensorsWriter writer;
  writer.add("x", values);
  writer.write(path);
  values.fill(7);
  writer.write(path);
  CHECK(Safetensors::read(path).values<float>("x") == std::vector<float>{7, 7});
  CHECK(mat::read_file(path) == writer.str());
  CHECK(folder.count() == 1);
}

TEST_CASE("a name that no file can have is refused", "[io]") {
  const mat::Vector<float> x({1});
  SafetensorsWriter writer;
  writer.add("x", x);
  CHECK_THROWS_AS(writer.add("x", x), mat::ValueError);
  CHECK_THROWS_WITH(writer.add("x", x), "SafetensorsWriter::add: the name is 'x', expected one not yet taken");
  CHECK_THROWS_WITH(writer.add("__metadata__", x),
                    "SafetensorsWriter::add: the name is '__metadata__', expected one not yet taken");
  writer.add("\xFF", x);
  CHECK_THROWS_AS(writer.str(), mat::ValueError);
}

}  // namespace safetensors_writer_test
