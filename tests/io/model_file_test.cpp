#include "support/catch.hpp"
#include "support/temporary_folder.hpp"

#include <mat/io/model_file.hpp>

namespace model_file_test {

using namespace mat;

namespace {

/// What a file with these metadata answers.
template <class Read>
auto read(const Metadata& metadata, const Read& fn) {
  const test::TemporaryFolder folder;
  SafetensorsWriter writer;
  writer.set_metadata(metadata);
  writer.write(folder.path("file"));
  return fn(Safetensors::read(folder.path("file")));
}

}  // namespace

TEST_CASE("a file tells its format, and another is refused with both", "[io]") {
  const ModelFormat format{"mat thing", "2"};
  const auto check = [&](const Safetensors& file) { check_format(file, format); };
  read(format_metadata(format), check);
  CHECK_THROWS_WITH(read(Metadata{}, check), "its metadata has no 'format'");
  CHECK_THROWS_WITH(read(format_metadata({"mat other", "2"}), check),
                    "its format is 'mat other', expected 'mat thing'");
  CHECK_THROWS_WITH(read(format_metadata({"mat thing", "3"}), check), "its format_version is '3', expected '2'");
}

TEST_CASE("a number of the metadata is a whole one of at least 0 and nothing else", "[io]") {
  const auto number = [](const std::string& text) {
    return read({{"steps", text}}, [](const Safetensors& file) { return metadata_number(file, "steps"); });
  };
  CHECK(number("0") == 0);
  CHECK(number("123456789012") == 123456789012);
  for (const std::string text : {"", "-1", "3x", "1.5", "99999999999999999999"}) {
    CHECK_THROWS_WITH(number(text), "its steps is '" + text + "', expected a number of at least 0");
  }
}

}  // namespace model_file_test
