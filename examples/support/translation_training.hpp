#pragma once

#include <mat/io/sentencepiece_tokenizer.hpp>
#include <mat/io/text_translator.hpp>
#include <mat/io/training_file.hpp>
#include <mat/io/translation_score.hpp>
#include <mat/io/translator_file.hpp>
#include <mat/io/vocabulary.hpp>
#include <mat/training/translator_trainer.hpp>

#include <chrono>
#include <examples/support/line_reader.hpp>
#include <filesystem>
#include <functional>

namespace example {

using Texts = std::vector<std::string>;
using Translate = mat::TextTranslator<float, mat::SentencePieceTokenizer>;

/// Line i of one is the translation of line i of the other.
struct ParallelTexts {
  Texts source, target;
};

/// Errors: FileError if the files differ in their number of lines.
[[nodiscard]] inline ParallelTexts read_parallel_texts(const std::string& source, const std::string& target) {
  ParallelTexts texts{read_lines(LineReader(source)), read_lines(LineReader(target))};
  if (texts.source.size() == texts.target.size()) return texts;
  throw mat::FileError(source + " has " + std::to_string(texts.source.size()) + " lines, " + target + " has " +
                       std::to_string(texts.target.size()) + ", expected as many");
}

/// How good translations are beside the right ones; the higher, the better.
using Measure = std::function<double(const Texts& translations, const Texts& references)>;

[[nodiscard]] inline double bleu_of(const Texts& translations, const Texts& references) {
  return mat::score_translations(translations, references).bleu.score;
}

struct TranslationSettings {
  mat::SentencePieceConfig pieces;
  mat::Translator<float>::Config model;  // its vocabularies follow from the pieces
  mat::TranslatorTraining training;
  Measure validation = bleu_of;    // of the validation texts, translated greedily
  mat::Index longest = 200;        // pairs with more tokens on a side are left out
  double minutes = 0.0;            // the training ends then at the latest; 0: no limit
  std::string checkpoint;          // what a killed training goes on from; empty: none
  double checkpoint_seconds = 60;  // between two of them
};

/// A translator and what can be said of its training.
struct TrainedTranslator {
  mat::SentencePieceTokenizer tokenizer;
  mat::Translator<float> model;
  std::vector<mat::Progress> history;
  mat::Index pairs = 0, empty_pairs = 0, long_pairs = 0;  // learnt from, left out
};

/// The best translation of each text.
[[nodiscard]] inline Texts best_translations(const Translate& translate, const Texts& texts) {
  Texts best;
  for (const auto& translations : translate.translate(texts)) best.push_back(translations.front().text);
  return best;
}

namespace detail {

/// All that decides what a training gives: one goes on only from a checkpoint with the same text.
[[nodiscard]] inline std::string training_identity(const ParallelTexts& train, const ParallelTexts& validation,
                                                   const TranslationSettings& settings) {
  mat::Json json = mat::settings_to_json(settings.model);
  const mat::TranslatorTraining& t = settings.training;
  json.set("pieces", settings.pieces.pieces).set("tokenizer", static_cast<int>(settings.pieces.kind));
  json.set("longest", settings.longest).set("epochs", t.epochs).set("token_budget", t.token_budget);
  json.set("learning_rate", t.learning_rate).set("warmup", t.warmup).set("decline", static_cast<int>(t.decline));
  json.set("beta2", t.beta2).set("weight_decay", t.weight_decay).set("dropout", t.dropout);
  json.set("label_smoothing", t.label_smoothing).set("max_norm", t.max_norm);
  json.set("average_decay", t.average_decay).set("keep_best", t.keep_best).set("seed", t.seed);
  std::uint64_t hash = mat::detail::kFnvStart;
  for (const Texts* texts : {&train.source, &train.target, &validation.source, &validation.target}) {
    for (const std::string& text : *texts) hash = mat::detail::fnv1a("\n", mat::detail::fnv1a(text, hash));
    hash = mat::detail::fnv1a("\f", hash);
  }
  return json.set("texts", hash).str();
}

[[nodiscard]] inline mat::SentencePieceTokenizer make_tokenizer(const std::optional<mat::Safetensors>& saved,
                                                                const ParallelTexts& train,
                                                                const mat::SentencePieceConfig& config) {
  if (saved) return mat::SentencePieceTokenizer(mat::from_base64(mat::metadata_text(*saved, "tokenizer")));
  Texts both = train.source;
  both.insert(both.end(), train.target.begin(), train.target.end());
  return mat::SentencePieceTokenizer::fit(both, config);
}

[[nodiscard]] inline mat::TranslationExamples encode_pairs(const ParallelTexts& texts, mat::Index longest,
                                                           TrainedTranslator& result) {
  mat::TranslationExamples examples;
  for (std::size_t i = 0; i < texts.source.size(); ++i) {
    std::vector<mat::Index> source = result.tokenizer.encode(texts.source[i]);
    std::vector<mat::Index> target = result.tokenizer.encode(texts.target[i]);
    const auto most = static_cast<mat::Index>(std::max(source.size(), target.size()));
    if (source.empty() || target.empty()) {
      ++result.empty_pairs;
    } else if (most > longest) {
      ++result.long_pairs;
    } else {
      source.push_back(result.tokenizer.end());
      examples.sources.push_back(std::move(source));
      examples.targets.push_back(std::move(target));
      ++result.pairs;
    }
  }
  if (result.pairs == 0) {
    throw mat::ValueError("train: the number of pairs with words on both sides is 0, expected at least 1");
  }
  return examples;
}

}  // namespace detail

/// What an earlier run of the same training left, if there is anything. Errors: FileError if it was another training.
[[nodiscard]] inline std::optional<mat::Safetensors> find_checkpoint(const ParallelTexts& train,
                                                                     const ParallelTexts& validation,
                                                                     const TranslationSettings& settings) {
  const std::string& path = settings.checkpoint;
  if (path.empty() || !std::filesystem::exists(path)) return std::nullopt;
  mat::Safetensors file = mat::Safetensors::read(path);
  const auto found = file.metadata().find("identity");
  const bool same =
      found != file.metadata().end() && found->second == detail::training_identity(train, validation, settings);
  if (same) return file;
  throw mat::FileError(path + " is of a training with other texts or settings, expected the same (or no such file)");
}

/// Trains a translator, or goes on from what find_checkpoint found.
template <class Observe>
[[nodiscard]] TrainedTranslator train_translator(const ParallelTexts& train, const ParallelTexts& validation,
                                                 const TranslationSettings& settings,
                                                 const std::optional<mat::Safetensors>& saved, Observe&& observe) {
  using mat::Progress;
  const auto start = std::chrono::steady_clock::now();
  mat::SentencePieceTokenizer tokenizer = detail::make_tokenizer(saved, train, settings.pieces);
  auto config = settings.model;
  config.source_vocabulary = config.target_vocabulary = tokenizer.size();
  TrainedTranslator result{
      std::move(tokenizer), mat::Translator<float>(config, mat::Random(settings.training.seed)), {}};
  const mat::TranslationExamples examples = detail::encode_pairs(train, settings.longest, result);
  mat::TranslatorTraining training = settings.training;
  training.begin_token = result.tokenizer.begin();
  training.end_token = result.tokenizer.end();
  mat::TranslatorTrainer<float> trainer(result.model, examples, training);

  double before = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  if (saved) {
    mat::load_training(*saved, result.model.parameters(), trainer.trainer());
    result.history = mat::detail::history_from_json(mat::Json::parse(mat::metadata_text(*saved, "history"), "history"));
    before += mat::Json::parse(mat::metadata_text(*saved, "seconds"), "seconds").as_double();
  }
  const std::string identity = detail::training_identity(train, validation, settings);
  double written = before;
  const auto write = [&](double seconds) {
    mat::Metadata metadata{{"identity", identity}, {"tokenizer", mat::to_base64(result.tokenizer.bytes())}};
    metadata["history"] = mat::detail::history_to_json(result.history).str();
    metadata["seconds"] = mat::Json(seconds).str();
    mat::save_training(settings.checkpoint, result.model.parameters(), trainer.trainer(), metadata);
    written = seconds;
  };
  const double limit = settings.minutes > 0 ? 60 * settings.minutes : HUGE_VAL;
  const auto watch = [&](Progress progress) {
    progress.seconds += before;
    progress.seconds_left = std::fmax(0.0, std::fmin(progress.seconds_left, limit - progress.seconds));
    if (progress.event == Progress::Event::epoch) result.history.push_back(progress);
    observe(progress);
    if (progress.seconds >= limit) return mat::Next::stop;
    const bool due = progress.seconds >= written + settings.checkpoint_seconds;
    if (due && !settings.checkpoint.empty()) write(progress.seconds);
    return mat::Next::go_on;
  };
  const auto validate = [&](const mat::Translator<float>& model) {
    mat::TextTranslatorConfig greedy;
    greedy.decoding.beam_size = 1;
    const Translate translate(model, result.tokenizer, greedy);
    return settings.validation(best_translations(translate, validation.source), validation.target);
  };
  if (validation.source.empty()) {
    trainer.fit(result.model, mat::NoValidation{}, watch);
  } else {
    trainer.fit(result.model, validate, watch);
  }
  trainer.trainer().finish(result.model);
  return result;
}

}  // namespace example
