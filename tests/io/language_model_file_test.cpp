#include "support/catch.hpp"
#include "support/temporary_folder.hpp"

#include <mat/io/language_model_file.hpp>

namespace language_model_file_test {

using namespace mat;

namespace {

[[nodiscard]] LanguageModelSettings small_settings(MemoryKind kind) {
  LanguageModelSettings settings;
  settings.memory = kind;
  settings.memory_rows = 3;
  settings.segment = 4;
  settings.vocabulary = 5;
  settings.dim = 8;
  settings.hidden = 16;
  settings.heads = 2;
  settings.layers = 2;
  return settings;
}

}  // namespace

TEST_CASE("a language model of any memory that was saved and loaded gives the same bits", "[io]") {
  const test::TemporaryFolder folder;
  const Alphabet alphabet({"\n", "a", "b", "\xFF"});
  for (const MemoryKind kind : kMemoryKinds) {
    const std::string path = folder.path(std::string(name_of(kind)) + ".safetensors");
    const std::vector<Index> ids{1, 2, 0, 4};
    const Sequences sequences = Sequences::single(4);
    const auto run = [&](const AnyLanguageModel<float>& model) {
      AnyLanguageModel<float>::State state, next;
      AnyLanguageModel<float>::Cache cache;
      model.initial(1, state);
      const ConstVectorView<Index> tokens(ids, {4});
      (void)model.forward({tokens, &sequences}, state, &next, {}, cache);
      return Matrix<float>(model.forward({tokens, &sequences}, next, &state, {}, cache));
    };
    const auto settings = small_settings(kind);
    const auto model = make_language_model<float>(settings, Random(7));
    save_language_model(path, {settings, alphabet, model});
    const TrainedLanguageModel loaded = load_language_model(path);
    CHECK(loaded.alphabet.characters() == alphabet.characters());
    CHECK(loaded.settings.segment == 4);
    CHECK(run(loaded.model) == run(model));
  }
}

TEST_CASE("a file that is no language model is refused with the reason", "[io]") {
  const test::TemporaryFolder folder;
  const std::string path = folder.path("model.safetensors");
  auto settings = small_settings(MemoryKind::none);
  const Alphabet alphabet({"\n", "a", "b", "c"});
  const auto model = make_language_model<float>(settings, Random(7));
  save_parameters(path, model.parameters());
  CHECK_THROWS_WITH(load_language_model(path),
                    "load_language_model: " + path + " is no language model: its metadata has no 'format'");
  settings.dim = 1 << 30;
  save_language_model(path, {settings, alphabet, model});
  CHECK_THROWS_WITH(load_language_model(path),
                    "load_language_model: " + path +
                        " is no language model: tensor 'embedding.weight' is [5, 8], expected [5, 1073741824], as "
                        "its settings say");
  settings.dim = 8;
  save_language_model(path, {settings, Alphabet({"a"}), model});
  CHECK_THROWS_WITH(load_language_model(path), "load_language_model: " + path +
                                                   " is no language model: the number of characters is 2, "
                                                   "expected 5");
}

TEST_CASE("rows of memory that the settings ask for and the tensors do not have are refused", "[io]") {
  const auto kind = GENERATE(MemoryKind::tokens, MemoryKind::delta_cache);
  CAPTURE(name_of(kind));
  const test::TemporaryFolder folder;
  const std::string path = folder.path("model.safetensors");
  auto settings = small_settings(kind);
  auto model = make_language_model<float>(settings, Random(7));
  const auto message = [&](Index rows) {
    settings.memory_rows = rows;
    save_language_model(path, {settings, Alphabet({"\n", "a", "b", "c"}), model});
    try {
      static_cast<void>(load_language_model(path));
    } catch (const FileError& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  const std::string refused = "load_language_model: " + path + " is no language model: ";
  const bool tokens = kind == MemoryKind::tokens;
  const std::string tensor = tokens ? "memory' is [3, 8]" : "slot_keys' is [3, 3]";
  CHECK(message(3).empty());
  CHECK(message(60000) ==
        refused + "tensor 'decoder.memories.0." + tensor + ", expected [60000, 8], as its settings say");
  CHECK(message(65537) == refused + "the rows of memory is 65537, expected at least 0 and at most 65536");
  if (tokens) return;
  auto& second = std::get<DeltaCache<float>>(model.parameters().decoder.parameters().memories[1].parameters().memory);
  second.parameters().slot_keys.resize({4, 3});
  CHECK(message(3) ==
        refused + "tensor 'decoder.memories.1.slot_keys' is [4, 3], expected [3, 3], as its settings say");
}

}  // namespace language_model_file_test
