// Translation on the command line:
//   mat-translate demo                                                    needs no data
//   mat-translate train --src train.en --tgt train.de --valid-src valid.en --valid-tgt valid.de --out model.safetensors
//   mat-translate translate model.safetensors <test.en >test.out
//   mat-translate score --ref test.de test.out
#include "support/command_line.hpp"
#include "support/number_words.hpp"
#include "support/training_observer.hpp"
#include "support/translation_report.hpp"
#include "support/translation_training.hpp"

#include <mat/io/sentencepiece_tokenizer.hpp>

#include <CLI/CLI.hpp>

namespace {

using example::number;
using example::ParallelTexts;
using example::Texts;
using example::Translate;
using example::UsageError;
using example::whole;

struct Options {
  example::TranslationSettings settings;
  mat::TextTranslatorConfig translation;
  std::string kind = "vanilla", tokenizer = "bpe", schedule = "cosine";
  mat::Index layers = 4;
  std::string source, target, valid_source, valid_target, out, log;  // train
  std::string model;                                                 // translate
  std::string reference, hypothesis;                                 // score
  std::string report, folder;
  mat::Index batch = 64;  // lines of translate
  int threads = 0;
};

Options default_options() {
  Options o;
  o.settings.model.layer.d_model = 128;
  o.settings.model.layer.nhead = 4;
  o.settings.model.layer.dim_feedforward = 256;
  return o;
}

void add_model_options(CLI::App& app, Options& o) {
  auto& model = o.settings.model;
  const auto add = [&](const std::string& name, auto& value, const std::string& what, const CLI::Validator& check) {
    app.add_option(name, value, what)->check(check)->group("Model");
  };
  add("--kind", o.kind, "vanilla: the Transformer; mat_prior, mat_literal: with the article's memory of the source",
      CLI::IsMember({"vanilla", "mat_prior", "mat_literal"}));
  add("--dim", model.layer.d_model, "Features of a token", whole(1));
  add("--heads", model.layer.nhead, "Attention heads; --dim is a multiple", whole(1));
  add("--layers", o.layers, "Layers of the encoder, and as many of the decoder", whole(1));
  add("--hidden", model.layer.dim_feedforward, "Hidden features of feed-forward and memory", whole(1));
  add("--pieces", o.settings.pieces.pieces, "Most pieces of words, those of both languages together", whole(4));
  add("--tokenizer", o.tokenizer, "How they are learnt", CLI::IsMember({"bpe", "unigram"}));
}

void add_training_options(CLI::App& app, Options& o) {
  auto& settings = o.settings;
  auto& training = settings.training;
  const auto add = [&](const std::string& name, auto& value, const std::string& what, const CLI::Validator& check) {
    app.add_option(name, value, what)->check(check)->group("Training");
  };
  add("--epochs", training.epochs, "Passes over the pairs", whole(1));
  add("--minutes", settings.minutes, "Ends the training after so many at the latest; 0: no limit", number(0, 1e6));
  add("--batch-tokens", training.token_budget, "Most tokens of a batch, those of both sides", whole(1));
  add("--lr", training.learning_rate, "Highest learning rate", number(0, 1000));
  add("--warmup", training.warmup, "Steps in which the rate rises", whole(0));
  add("--schedule", o.schedule, "How the rate falls afterwards", CLI::IsMember({"cosine", "linear", "inverse_sqrt"}));
  add("--weight-decay", training.weight_decay, "Of AdamW", number(0, 1000));
  add("--dropout", training.dropout, "Everywhere in the model", number(0, 1));
  add("--label-smoothing", training.label_smoothing, "Of the loss", number(0, 1));
  add("--average-decay", training.average_decay, "Of a moving average of the model; 0: none", number(0, 1));
  add("--longest", settings.longest, "Pairs with more tokens on a side are left out", whole(1));
  add("--checkpoint-seconds", settings.checkpoint_seconds, "Between checkpoints, OUT.training", number(0, 1e9));
  add("--seed", training.seed, "The same seed gives the same model", whole(0));
}

void add_commands(CLI::App& app, Options& o) {
  const auto add_threads = [&](CLI::App* command) {
    command->add_option("--threads", o.threads, "0: all; no result depends on it")->check(whole(0));
  };
  app.option_defaults()->always_capture_default();
  CLI::App* train =
      app.add_subcommand("train", "Learn from two files, line i of one being the translation of the other's");
  train->add_option("--src", o.source, "Sentences to learn from")->required()->type_name("FILE");
  train->add_option("--tgt", o.target, "Their translations")->required()->type_name("FILE");
  CLI::Option* valid = train->add_option("--valid-src", o.valid_source, "Sentences to choose the best epoch by");
  valid->type_name("FILE");
  train->add_option("--valid-tgt", o.valid_target, "Their translations")->type_name("FILE")->needs(valid);
  train->add_option("--out", o.out, "The model; a killed training goes on from OUT.training")
      ->required()
      ->type_name("FILE")
      ->check(example::named());
  train->add_option("--log", o.log, "Append a line of JSON for each step and epoch")->type_name("FILE");
  train->add_option("--report", o.report, "A page of HTML about the training")->type_name("FILE");
  add_threads(train);
  add_model_options(*train, o);
  add_training_options(*train, o);

  CLI::App* translate = app.add_subcommand("translate", "Translate each line of standard input");
  translate->add_option("model", o.model, "The model")->required()->type_name("MODEL");
  auto& decoding = o.translation.decoding;
  translate->add_option("--beam", decoding.beam_size, "Translations that are followed at once; 1: greedy")
      ->check(whole(1));
  translate->add_option("--length-penalty", decoding.length_penalty, "0: none; higher: longer translations")
      ->check(number(0, 100));
  translate->add_option("--n-best", decoding.n_best, "Prints LINE<TAB>SCORE<TAB>TRANSLATION for so many of each line")
      ->check(whole(1));
  translate->add_option("--batch", o.batch, "Most lines that are translated together, if so many have come")
      ->check(whole(1));
  translate->add_option("--report", o.report, "A page of HTML that shows where the decoder looked")->type_name("FILE");
  add_threads(translate);

  CLI::App* score = app.add_subcommand("score", "Print BLEU and chrF of translations, as sacrebleu does");
  score->add_option("--ref", o.reference, "The right translations")->required()->type_name("FILE");
  score->add_option("hypotheses", o.hypothesis, "The translations; without it, standard input")->type_name("FILE");

  CLI::App* demo = app.add_subcommand("demo", "Learn to write English numbers in German, from pairs that it makes up");
  demo->add_option("--write", o.folder, "Only write the pairs to files of this folder")->type_name("FOLDER");
  demo->add_option("--report", o.report, "A page of HTML about it")->type_name("FILE");
  add_threads(demo);
}

std::string two_digits(double x) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.2f", x);
  return text.data();
}

/// Where the decoder looks while it writes a translation: the mean over the heads of its last but one layer, which
/// aligns best (Garg et al. (2019), "Jointly learning to align and translate").
example::Alignment align(const mat::Translator<float>& model, const mat::SentencePieceTokenizer& tokenizer,
                         const std::string& source, const std::string& target) {
  std::vector<mat::Index> x = tokenizer.encode(source), y = tokenizer.encode(target);
  x.push_back(tokenizer.end());
  y.insert(y.begin(), tokenizer.begin());
  const auto sources = mat::Sequences::single(static_cast<mat::Index>(x.size()));
  const auto targets = mat::Sequences::single(static_cast<mat::Index>(y.size()));
  mat::Translator<float>::Batch batch;
  batch.source = {x, {sources.rows()}};
  batch.target = {y, {targets.rows()}};
  batch.source_sequences = &sources;
  batch.target_sequences = &targets;
  mat::Translator<float>::Cache cache;
  model.forward(batch, {}, cache);
  const mat::Index layer = std::max<mat::Index>(0, model.config().num_decoder_layers - 2);
  const mat::Tensor<float, 3> weights = model.cross_attention(cache, layer, 0);

  example::Alignment alignment;
  for (const mat::Index id : x) alignment.source.push_back(tokenizer.piece(id));
  for (std::size_t i = 1; i < y.size(); ++i) alignment.target.push_back(tokenizer.piece(y[i]));
  alignment.target.push_back(tokenizer.piece(tokenizer.end()));
  for (mat::Index i = 0; i < weights.size(1); ++i) {
    std::vector<double> row(x.size(), 0.0);
    for (mat::Index h = 0; h < weights.size(0); ++h) {
      for (std::size_t j = 0; j < x.size(); ++j) {
        row[j] += static_cast<double>(weights(h, i, static_cast<mat::Index>(j))) / static_cast<double>(weights.size(0));
      }
    }
    alignment.weights.push_back(std::move(row));
  }
  const auto memory = model.source_weights(cache);
  for (mat::Index j = 0; j < memory.rows(); ++j) alignment.memory.push_back(static_cast<double>(memory(j, 0)));
  return alignment;
}

/// A page about a translator with some sentences and their translations.
void write_report(const std::string& path, const mat::Translator<float>& model,
                  const mat::SentencePieceTokenizer& tokenizer, const std::vector<mat::Progress>& history,
                  const ParallelTexts& sentences) {
  constexpr std::size_t kMost = 12;
  const auto& config = model.config();
  example::TranslationReport report(
      "A translator: " + std::string(name_of(config.kind)),
      {{"parameters", std::to_string(mat::parameter_count(model.parameters()))},
       {"layers", std::to_string(config.num_encoder_layers) + " of the encoder, " +
                      std::to_string(config.num_decoder_layers) + " of the decoder"},
       {"features", std::to_string(config.layer.d_model) + ", hidden " + std::to_string(config.layer.dim_feedforward) +
                        ", " + std::to_string(config.layer.nhead) + " heads"},
       {"pieces", std::to_string(tokenizer.size())}});
  report.add_history(history);
  for (std::size_t i = 0; i < std::min(kMost, sentences.source.size()); ++i) {
    if (tokenizer.encode(sentences.source[i]).empty()) continue;
    report.add_alignment(align(model, tokenizer, sentences.source[i], sentences.target[i]));
  }
  mat::write_file(path, report.html());
}

/// Throws for an output that would spoil another file.
void check_outputs(const Options& o) {
  example::check_outputs({{"--out", o.out}, {"--report", o.report}, {"--log", o.log, example::Output::Mode::append}},
                         {o.source, o.target, o.valid_source, o.valid_target, o.model});
}

void run_train(Options o) {
  auto& settings = o.settings;
  settings.model.kind = mat::translator_kind_from_name(o.kind);
  settings.model.num_encoder_layers = settings.model.num_decoder_layers = o.layers;
  settings.pieces.kind =
      o.tokenizer == "bpe" ? mat::SentencePieceConfig::Kind::bpe : mat::SentencePieceConfig::Kind::unigram;
  using Decline = mat::TranslatorTraining::Decline;
  settings.training.decline = o.schedule == "cosine"   ? Decline::cosine
                              : o.schedule == "linear" ? Decline::linear
                                                       : Decline::inverse_sqrt;
  settings.checkpoint = o.out + ".training";
  const auto& layer = settings.model.layer;
  example::check_heads(layer.d_model, layer.nhead);
  if (o.valid_source.empty() != o.valid_target.empty()) throw UsageError("--valid-src requires --valid-tgt");
  const ParallelTexts train = example::read_parallel_texts(o.source, o.target);
  const ParallelTexts validation =
      o.valid_source.empty() ? ParallelTexts() : example::read_parallel_texts(o.valid_source, o.valid_target);
  check_outputs(o);
  const auto checkpoint = example::find_checkpoint(train, validation, settings);
  if (checkpoint) std::fprintf(stderr, "goes on from %s\n", settings.checkpoint.c_str());
  example::TrainingObserver observer(o.log);
  const example::TrainedTranslator t = example::train_translator(train, validation, settings, checkpoint, observer);
  mat::save_translator(o.out, t.model, t.tokenizer.bytes(), t.history);
  std::filesystem::remove(settings.checkpoint);
  std::printf("%s: %td pairs, %td pieces\n", o.source.c_str(), t.pairs, t.tokenizer.size());
  if (t.empty_pairs + t.long_pairs > 0) {
    std::printf("left out: %td pairs with an empty side, %td with more than %td tokens\n", t.empty_pairs, t.long_pairs,
                settings.longest);
  }
  std::printf("%s: %s, %td parameters\n", o.out.c_str(), o.kind.c_str(), mat::parameter_count(t.model.parameters()));
  ParallelTexts shown = validation;
  if (!validation.source.empty()) {
    shown.target = example::best_translations(Translate(t.model, t.tokenizer), validation.source);
    const mat::TranslationScore score = mat::score_translations(shown.target, validation.target);
    std::printf("validation BLEU %s chrF2 %s\n", two_digits(score.bleu.score).c_str(), two_digits(score.chrf).c_str());
  }
  if (!o.report.empty()) write_report(o.report, t.model, t.tokenizer, t.history, shown);
}

void run_translate(const Options& o) {
  if (o.translation.decoding.n_best > o.translation.decoding.beam_size) {
    throw UsageError("--n-best " + std::to_string(o.translation.decoding.n_best) + " is more than --beam " +
                     std::to_string(o.translation.decoding.beam_size));
  }
  check_outputs(o);
  const mat::SavedTranslator saved = mat::load_translator(o.model);
  const mat::SentencePieceTokenizer tokenizer(saved.tokenizer);
  const Translate translate(saved.model, tokenizer, o.translation);
  mat::DecodingCache<float> cache;
  example::LineReader reader;
  ParallelTexts shown;
  mat::Index line_number = 0;
  std::exception_ptr failure;  // of a line: those before it are translated first
  while (!failure) {
    Texts lines;
    try {
      for (std::string line; static_cast<mat::Index>(lines.size()) < o.batch; lines.push_back(line)) {
        if (!lines.empty() && !reader.is_ready()) break;
        if (!reader.next(line)) break;
      }
    } catch (const mat::FileError&) {
      failure = std::current_exception();
    }
    if (lines.empty()) break;
    const auto translations = translate.translate(lines, cache);
    for (std::size_t i = 0; i < lines.size(); ++i) {
      ++line_number;
      for (const mat::TextTranslation& translation : translations[i]) {
        if (o.translation.decoding.n_best > 1) std::printf("%td\t%.4f\t", line_number, translation.score);
        std::printf("%s\n", translation.text.c_str());
      }
      shown.source.push_back(lines[i]);
      shown.target.push_back(translations[i].front().text);
    }
    std::fflush(stdout);  // who writes a line into a pipe waits for its answer
  }
  if (failure) std::rethrow_exception(failure);
  if (!o.report.empty()) write_report(o.report, saved.model, tokenizer, saved.history, shown);
}

void run_score(const Options& o) {
  const Texts references = example::read_lines(example::LineReader(o.reference));
  const Texts hypotheses =
      example::read_lines(o.hypothesis.empty() ? example::LineReader() : example::LineReader(o.hypothesis));
  if (hypotheses.size() != references.size()) {
    throw mat::FileError((o.hypothesis.empty() ? "standard input" : o.hypothesis) + " has " +
                         std::to_string(hypotheses.size()) + " lines, " + o.reference + " has " +
                         std::to_string(references.size()) + ", expected as many");
  }
  const mat::TranslationScore score = mat::score_translations(hypotheses, references);
  const mat::BleuScore& b = score.bleu;
  const double ratio =
      b.reference_length > 0 ? static_cast<double>(b.length) / static_cast<double>(b.reference_length) : 0.0;
  std::printf("BLEU|%s = %.2f %.1f/%.1f/%.1f/%.1f (BP = %.3f ratio = %.3f hyp_len = %td ref_len = %td)\n",
              mat::kBleuSignature, b.score, b.precisions[0], b.precisions[1], b.precisions[2], b.precisions[3],
              b.brevity_penalty, ratio, b.length, b.reference_length);
  std::printf("chrF2|%s = %.2f\n", mat::kChrfSignature, score.chrf);
}

ParallelTexts next_numbers(example::NumberDraw& draw, int count) {
  ParallelTexts texts;
  for (int i = 0; i < count; ++i) {
    const mat::Index drawn = draw.next();
    texts.source.push_back(example::english_number(drawn));
    texts.target.push_back(example::german_number(drawn));
  }
  return texts;
}

void write_texts(const std::filesystem::path& path, const Texts& texts) {
  mat::DurableFile file(path.string());
  for (const std::string& text : texts) file.write(text + "\n");
  file.commit();
}

/// The share of the translations that are exactly right: BLEU says nothing about single words.
double share_right(const Texts& translations, const Texts& references) {
  double right = 0;
  for (std::size_t i = 0; i < references.size(); ++i) right += translations[i] == references[i] ? 1 : 0;
  return right / static_cast<double>(references.size());
}

void run_demo(const Options& o) {
  example::NumberDraw draw(mat::Random(1));
  const ParallelTexts train = next_numbers(draw, 20000), validation = next_numbers(draw, 300),
                      test = next_numbers(draw, 1000);
  if (!o.folder.empty()) {
    const std::filesystem::path folder = o.folder;
    std::filesystem::create_directories(folder);
    for (const auto& [name, texts] :
         {std::pair<std::string, const ParallelTexts*>("train", &train), {"valid", &validation}, {"test", &test}}) {
      write_texts(folder / (name + ".en"), texts->source);
      write_texts(folder / (name + ".de"), texts->target);
    }
    return;
  }
  check_outputs(o);
  std::printf("English numbers in German, learnt from %zu below a million, asked about %zu others:\n",
              train.source.size(), test.source.size());
  std::fflush(stdout);
  example::TranslationSettings settings;
  settings.pieces.pieces = 120;
  settings.model.layer.d_model = 64;
  settings.model.layer.nhead = 4;
  settings.model.layer.dim_feedforward = 128;
  settings.model.num_encoder_layers = settings.model.num_decoder_layers = 2;
  settings.validation = share_right;
  settings.training.epochs = 4;
  settings.training.token_budget = 1500;
  settings.training.learning_rate = 5e-3;
  settings.training.warmup = 200;
  settings.training.dropout = 0.0;
  settings.training.average_decay = 0.99;
  example::TrainingObserver observer("");
  const example::TrainedTranslator t = example::train_translator(train, validation, settings, std::nullopt, observer);
  const Texts translations = example::best_translations(Translate(t.model, t.tokenizer), test.source);
  for (std::size_t i = 0; i < 3; ++i) std::printf("  %s: %s\n", test.source[i].c_str(), translations[i].c_str());
  std::printf("exactly right %.4f\n", share_right(translations, test.target));
  if (!o.report.empty()) write_report(o.report, t.model, t.tokenizer, t.history, {test.source, translations});
}

void run(const CLI::App& app, const Options& o) {
  if (o.threads > 0) mat::set_threads(o.threads);
  if (app.got_subcommand("train")) run_train(o);
  if (app.got_subcommand("translate")) run_translate(o);
  if (app.got_subcommand("score")) run_score(o);
  if (app.got_subcommand("demo")) run_demo(o);
}

}  // namespace

int main(int argc, char** argv) {
  Options options = default_options();
  CLI::App app("Trains and runs translators: the Transformer, and with the article's memory.");
  app.require_subcommand(1);
  app.set_version_flag("--version", MAT_VERSION_STRING);
  add_commands(app, options);
  return example::run_program(app, argc, argv, "mat-translate", "demo, train, translate or score",
                              [&] { run(app, options); });
}
