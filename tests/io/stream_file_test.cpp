#include "support/catch.hpp"
#include "support/temporary_folder.hpp"

#include <mat/io/stream_file.hpp>
#include <mat/memory/memory_tokens.hpp>
#include <mat/models/language_model.hpp>

using namespace mat;

namespace {

using Model = LanguageModel<float, MemoryTokens<float>>;

[[nodiscard]] Model small_model() {
  Model::Config config;
  config.vocabulary = 7;
  config.decoder.encoder.layer.d_model = 8;
  config.decoder.encoder.layer.nhead = 2;
  config.decoder.encoder.layer.dim_feedforward = 16;
  return Model(config, Random(3));
}

[[nodiscard]] Vector<Index> random_ids(Index count, std::uint64_t seed) {
  Vector<Index> ids({count});
  for (Index i = 0; i < count; ++i) ids(i) = Random(seed).below(static_cast<std::uint64_t>(i), 7);
  return ids;
}

}  // namespace

TEST_CASE("P10: a stream that was saved and loaded in its middle goes on with the same bits", "[io]") {
  const test::TemporaryFolder folder;
  const std::string path = folder.path("stream.safetensors");
  const Model model = small_model();
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
  const Model model = small_model();
  const auto ids = random_ids(6, 5);
  Stream<Model> stream(model, {4}), longer(model, {5});
  (void)stream.push(ids);
  save_stream(path, stream);
  CHECK_THROWS_WITH(load_stream(path, longer), "Safetensors: " + path + ": its segment is 4, expected 5");
  save_parameters(other, model.parameters());
  CHECK_THROWS_WITH(load_stream(other, stream), "Safetensors: " + other + ": there is no metadata 'format'");
  CHECK(stream.position() == 6);
  CHECK(longer.position() == 0);
}
