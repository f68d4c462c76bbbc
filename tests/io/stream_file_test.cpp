#include "support/catch.hpp"
#include "support/small_language_model.hpp"
#include "support/temporary_folder.hpp"

#include <mat/io/stream_file.hpp>

namespace stream_file_test {

using namespace mat;

namespace {

using test::Model;
using test::random_ids;

}  // namespace

TEST_CASE("P10: a stream that was saved and loaded in its middle goes on with the same bits", "[io]") {
  const test::TemporaryFolder folder;
  const std::string path = folder.path("stream.safetensors");
  const Model model(test::small_model_config<Model>(7), Random(3));
  const auto first = random_ids(14, 5), second = random_ids(9, 6);
  Stream<Model> stream(model, {4}), loaded(model, {4});
  (void)stream.push(first);
  save_stream(path, stream);
  load_stream(path, loaded);
  CHECK(same_state(loaded.state(), stream.state()));
  CHECK(loaded.position() == 14);
  CHECK(Matrix<float>(loaded.push(second)) == Matrix<float>(stream.push(second)));
  CHECK(same_state(loaded.state(), stream.state()));
}

TEST_CASE("a file that is no stream, or one of another segment, is refused and changes nothing", "[io]") {
  const test::TemporaryFolder folder;
  const std::string path = folder.path("stream.safetensors"), other = folder.path("other.safetensors");
  const Model model(test::small_model_config<Model>(7), Random(3));
  const auto ids = random_ids(6, 5);
  Stream<Model> stream(model, {4}), longer(model, {5});
  (void)stream.push(ids);
  save_stream(path, stream);
  CHECK_THROWS_WITH(load_stream(path, longer),
                    "load_stream: " + path + " is no stream of this model: its segment is '4', expected '5'");
  save_parameters(other, model.parameters());
  CHECK_THROWS_WITH(load_stream(other, stream),
                    "load_stream: " + other + " is no stream of this model: its metadata has no 'format'");
  CHECK(stream.position() == 6);
  CHECK(longer.position() == 0);
}

TEST_CASE("a stream of ids is not restored with tokens of two numbers", "[io]") {
  const Model model(test::small_model_config<Model>(7), Random(3));
  Stream<Model> stream(model, {6});
  const Model::State state = stream.state();
  CHECK_THROWS_WITH(stream.restore(state, {1, 2, 3, 4}, 2, 4), "Stream::restore: width is 2, expected 1, as ids have");
  CHECK(stream.position() == 0);
}

}  // namespace stream_file_test
