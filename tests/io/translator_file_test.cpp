#include "support/catch.hpp"
#include "support/temporary_folder.hpp"

#include <mat/io/translator_file.hpp>

namespace translator_file_test {

using namespace mat;
using mat::test::TemporaryFolder;

namespace {

Translator<float> small_model(TranslatorKind kind) {
  Translator<float>::Config config;
  config.source_vocabulary = config.target_vocabulary = 9;
  config.layer.d_model = 8;
  config.layer.nhead = 2;
  config.layer.dim_feedforward = 6;
  config.layer.activation = Activation::gelu;
  config.num_encoder_layers = 2;
  config.num_decoder_layers = 1;
  config.kind = kind;
  config.memory_hidden = 5;
  return Translator<float>(config, Random(1));
}

/// The metadata of a file written again with one text in place of another.
void rewrite(const std::string& path, const std::string& key, const std::string& from, const std::string& to) {
  const SavedTranslator saved = load_translator(path);
  Metadata metadata = Safetensors::read(path).metadata();
  std::string& text = metadata.at(key);
  const std::size_t at = text.find(from);
  REQUIRE(at != std::string::npos);
  text.replace(at, from.size(), to);
  save_parameters(path, saved.model.parameters(), metadata);
}

}  // namespace

TEST_CASE("A translator comes back from its file: parameters, settings, tokenizer and history", "[io]") {
  const TemporaryFolder folder;
  const std::string path = folder.path("model"), tokenizer("any\0bytes\xFF", 10);
  for (const auto kind : {TranslatorKind::vanilla, TranslatorKind::mat_prior, TranslatorKind::mat_literal}) {
    const Translator<float> model = small_model(kind);
    Progress first, second;
    first.event = second.event = Progress::Event::epoch;
    first.epoch = 1;
    first.loss = 2.5;
    first.validation = 31.25;
    second.epoch = 2;
    save_translator(path, model, tokenizer, {first, second});
    const SavedTranslator saved = load_translator(path);
    CHECK(saved.tokenizer == tokenizer);
    CHECK(saved.model.config().kind == kind);
    CHECK(saved.model.config().layer.nhead == 2);
    CHECK(saved.model.config().layer.activation == Activation::gelu);
    CHECK(saved.model.config().num_encoder_layers == 2);
    REQUIRE(saved.history.size() == 2);
    CHECK(saved.history[0].loss == 2.5);
    CHECK(saved.history[0].validation == 31.25);
    CHECK(std::isnan(saved.history[1].validation));
    for_each_parameter([](const ParameterName&, const auto& a, const auto& b) { CHECK(a == b); },
                       saved.model.parameters(), model.parameters());
  }
}

TEST_CASE("save_translator refuses a model that would come back as another one", "[io]") {
  const TemporaryFolder folder;
  const std::string path = folder.path("model");
  const auto check_refused = [&](const char* name, const auto& change) {
    auto config = small_model(TranslatorKind::vanilla).config();
    change(config.layer);
    CHECK_THROWS_WITH(
        save_translator(path, Translator<float>(config, Random(1)), "tokenizer"),
        std::string("save_translator: layer.") + name + " is set, expected its default: a file has no place for it");
    CHECK_FALSE(std::filesystem::exists(path));
  };
  check_refused("bias", [](auto& layer) { layer.bias = false; });
  check_refused("attention.kv_heads", [](auto& layer) { layer.attention.kv_heads = 1; });
  check_refused("attention.softcap", [](auto& layer) { layer.attention.softcap = 30; });
  check_refused("attention.scale", [](auto& layer) { layer.attention.scale = 0.5F; });
  check_refused("attention.alibi", [](auto& layer) { layer.attention.alibi = true; });
  check_refused("attention.rotary", [](auto& layer) { layer.attention.rotary.emplace(); });
  check_refused("attention.add_zero_attn", [](auto& layer) { layer.attention.add_zero_attn = true; });
}

TEST_CASE("load_translator refuses other files and sizes that are not those of the tensors", "[io]") {
  const TemporaryFolder folder;
  const std::string path = folder.path("model"), is_none = "load_translator: " + path + " is no translator: ";
  write_file(path, "no model");
  CHECK_THROWS_AS(load_translator(path), FileError);
  save_parameters(path, small_model(TranslatorKind::vanilla).parameters());
  CHECK_THROWS_WITH(load_translator(path), is_none + "its metadata has no 'format'");
  const auto write = [&] { save_translator(path, small_model(TranslatorKind::mat_prior), "tokenizer"); };
  write();
  rewrite(path, "format", "translator", "poem");
  CHECK_THROWS_WITH(load_translator(path), is_none + "its format is 'mat poem', expected 'mat translator'");
  write();
  rewrite(path, "model", "\"dim_feedforward\":6", "\"dim_feedforward\":1000000000");
  CHECK_THROWS_WITH(load_translator(path), is_none +
                                               "tensor 'encoder.layers.0.linear1.weight' is [6, 8], expected "
                                               "[1000000000, 8], as its settings say");
  write();
  rewrite(path, "model", "\"num_decoder_layers\":1", "\"num_decoder_layers\":1000000000");
  CHECK_THROWS_WITH(load_translator(path), is_none + "there is no tensor 'decoder.layers.1.self_attn.in_proj_weight'");
  write();
  rewrite(path, "model", "\"memory_hidden\":5", "\"memory_hidden\":1000000000");
  CHECK_THROWS_WITH(load_translator(path), is_none +
                                               "tensor 'memory_layer.fc1.weight' is [5, 8], expected "
                                               "[1000000000, 8], as its settings say");
  write();
  rewrite(path, "model", "mat_prior", "other");
  CHECK_THROWS_WITH(load_translator(path), is_none +
                                               "translator_kind_from_name: name is \"other\", expected vanilla, "
                                               "mat_prior or mat_literal");
}

}  // namespace translator_file_test
