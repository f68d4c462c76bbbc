// Character language models with any memory, on the command line:
//   mat-lm train --train train.txt --valid valid.txt --out model.safetensors --memory delta
//   mat-lm measure model.safetensors test.txt
//   mat-lm sample model.safetensors --prompt "ROMEO:" --length 400
//   tail -f log.txt | mat-lm stream model.safetensors --state state.safetensors
#include "support/command_line.hpp"
#include "support/progress_bar.hpp"

#include <mat/io/language_model_file.hpp>
#include <mat/io/stream_file.hpp>
#include <mat/io/stream_training_file.hpp>
#include <mat/models/sampling.hpp>
#include <mat/training/stream_evaluation.hpp>

#include <CLI/CLI.hpp>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <iostream>

namespace {

using mat::Index;

/// A memory learns to write only if what is written is read within a step, and its first state only from lanes that
/// begin with it.
[[nodiscard]] mat::StreamTrainerConfig default_training() {
  mat::StreamTrainerConfig config;
  config.segments = 2;
  config.restart = 0.1;
  return config;
}

struct Options {
  mat::LanguageModelSettings model;
  mat::StreamTrainerConfig training = default_training();
  std::string memory = "delta";
  std::string train, validation, out;
  double learning_rate = 3e-3, warmup = 0.05, cold = 0;
  Index save_every = 500;
  bool resume = false;
  std::string file, text, prompt, state;  // measure, sample and stream
  bool places = false;
  Index length = 500;
  mat::SamplingConfig sampling;
  int threads = 0;
};

/// All that two trainings must have in common for one to go on with the other, as one line.
[[nodiscard]] std::string training_settings(const Options& o, Index tokens) {
  const auto& t = o.training;
  std::ostringstream text;
  text << mat::settings_to_json(o.model).str() << " tokens " << tokens << " lanes " << t.lanes << " streams "
       << t.streams << " segments " << t.segments << " depth " << t.depth << " restart " << t.restart << " warm "
       << t.warm_segments << " cold " << t.cold_steps << " steps " << t.steps << " lr " << o.learning_rate << " warmup "
       << o.warmup << " dropout " << t.dropout << " seed " << t.seed;
  return text.str();
}

void complete(Options& o) {
  o.model.memory = mat::memory_kind_from_name(o.memory);
  auto& t = o.training;
  t.segment = o.model.segment;
  t.cold_steps = static_cast<Index>(o.cold * static_cast<double>(t.steps));
  t.optimizer.beta2 = 0.99;
  t.optimizer.weight_decay = 0.1;
  t.optimizer.decay = mat::DecayRule::matrices_only;
  mat::ScheduleConfig schedule;
  schedule.learning_rate = o.learning_rate;
  schedule.warmup_steps = static_cast<Index>(o.warmup * static_cast<double>(t.steps));
  schedule.total_steps = std::max<Index>(1, t.steps);
  schedule.final_learning_rate = 0.1 * o.learning_rate;
  t.schedule = mat::Schedule::cosine_annealing(schedule);
}

[[nodiscard]] mat::ConstVectorView<Index> view(const std::vector<Index>& ids) {
  return {ids, {static_cast<Index>(ids.size())}};
}

using Model = mat::AnyLanguageModel<float>;

/// A text is read in twelve parts side by side.
[[nodiscard]] mat::StreamLoss loss_of(const Model& model, mat::ConstVectorView<Index> text, Index segment) {
  return mat::evaluate_stream(model, text, 12, segment);
}

/// Trains and saves; the file beside the model, from which --resume goes on, is removed at the end.
void train_model(mat::TrainedLanguageModel trained, const Options& o, const std::vector<Index>& text,
                 const std::vector<Index>& validation) {
  Model& model = trained.model;
  const std::string unfinished = o.out + ".training", settings = training_settings(o, static_cast<Index>(text.size()));
  mat::StreamTrainer<Model> trainer(model, o.training);
  if (o.resume && std::filesystem::exists(unfinished)) {
    mat::load_stream_training(unfinished, model, trainer, settings);
    std::fprintf(stderr, "goes on after step %lld\n", static_cast<long long>(trainer.done()));
  }
  const Index first = trainer.done();
  const double tokens = static_cast<double>(o.training.lanes * o.training.segments * o.training.segment);
  const auto start = std::chrono::steady_clock::now();
  example::ProgressBar bar;
  double mean = 0, measured = mat::Progress::kNone;  // the last validation
  while (!trainer.finished()) {
    mat::Progress progress = trainer.step(model, view(text));
    mean = progress.step == first + 1 ? progress.loss : 0.98 * mean + 0.02 * progress.loss;
    progress.loss = mean;
    progress.epoch = progress.epochs = 1;
    progress.batch = progress.step;
    progress.batches = o.training.steps;
    progress.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    const double done = static_cast<double>(progress.step - first);
    progress.tokens_per_second = done * tokens / progress.seconds;
    progress.seconds_left = static_cast<double>(o.training.steps - progress.step) * progress.seconds / done;
    bar(progress);
    const bool save = o.save_every > 0 && progress.step % o.save_every == 0 && !trainer.finished();
    if (save) mat::save_stream_training(unfinished, model, trainer, settings);
    if (!save && !trainer.finished()) continue;
    progress.event = mat::Progress::Event::epoch;
    if (!validation.empty()) measured = loss_of(model, view(validation), o.model.segment).mean;
    progress.validation = measured;
    bar(progress);
  }
  mat::save_language_model(o.out, trained);
  std::filesystem::remove(unfinished);
  std::printf("%s: %lld parameters, memory %s", o.out.c_str(),
              static_cast<long long>(mat::parameter_count(model.parameters())), o.memory.c_str());
  if (!validation.empty()) {
    // A training that was done already has not been measured.
    if (std::isnan(measured)) measured = loss_of(model, view(validation), o.model.segment).mean;
    std::printf(", validation %.4f nats per character", measured);
  }
  std::printf("\n");
}

void train(Options& o) {
  complete(o);
  example::check_outputs({{"--out", o.out}}, {o.train, o.validation});
  const std::string text = mat::read_file(o.train),
                    validation = o.validation.empty() ? "" : mat::read_file(o.validation);
  const mat::Alphabet alphabet = mat::Alphabet::of(text);
  o.model.vocabulary = alphabet.size();
  const std::vector<Index> ids = alphabet.encode(text), validation_ids = alphabet.encode(validation);
  const Index needed = (o.training.segments + o.training.warm_segments) * o.training.segment + 1;
  if (static_cast<Index>(ids.size()) < needed) {
    throw mat::ValueError(o.train + " has " + std::to_string(ids.size()) + " characters, expected at least " +
                          std::to_string(needed));
  }
  if (!o.validation.empty() && validation_ids.size() < 2) {
    throw mat::ValueError(o.validation + " has fewer than 2 characters");
  }
  train_model({o.model, alphabet, mat::make_language_model<float>(o.model, mat::Random(o.training.seed))}, o, ids,
              validation_ids);
}

void measure(const Options& o) {
  const mat::TrainedLanguageModel trained = mat::load_language_model(o.file);
  const std::vector<Index> ids = trained.alphabet.encode(mat::read_file(o.text));
  if (ids.size() < 2) throw mat::ValueError(o.text + " has fewer than 2 characters");
  const mat::StreamLoss loss = loss_of(trained.model, view(ids), trained.settings.segment);
  std::printf("%.4f nats per character, %.4f bits, %zu characters\n", loss.mean, loss.mean / std::log(2.0), ids.size());
  for (std::size_t i = 0; i < (o.places ? loss.by_place.size() : 0); ++i) {
    std::printf("%zu\t%.4f\n", i + 1, loss.by_place[i]);
  }
}

void sample(const Options& o) {
  const mat::TrainedLanguageModel trained = mat::load_language_model(o.file);
  mat::Stream stream(trained.model, {trained.settings.segment});
  std::vector<Index> ids = trained.alphabet.encode(o.prompt.empty() ? "\n" : o.prompt);
  const mat::Random random(o.training.seed);
  mat::SamplingCache cache;
  std::fputs(o.prompt.c_str(), stdout);
  for (Index i = 0; i < o.length; ++i) {
    const auto logits = stream.push(view(ids));
    const Index last = logits.rows() - 1;
    const Index next = mat::sample_token<float>({logits.row(last), {logits.cols()}}, o.sampling, random,
                                                static_cast<std::uint64_t>(i), cache);
    const std::string_view character = trained.alphabet.decode(next);
    std::fwrite(character.data(), 1, character.size(), stdout);
    std::fflush(stdout);
    ids.assign(1, next);
  }
  std::fputs("\n", stdout);
}

volatile std::sig_atomic_t interrupted = 0;

/// Lets a signal end the reading of standard input rather than the program, so that the state is saved.
void stop_at_signals() {
#if defined(__unix__) || defined(__APPLE__)
  struct sigaction action {};
  action.sa_handler = [](int) { interrupted = 1; };  // without SA_RESTART: a read that waits returns
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) ::sigaction(signal, &action, nullptr);
  std::signal(SIGPIPE, SIG_IGN);  // the writing fails instead
#endif
}

/// How surprising each line is, given everything before it.
void stream(const Options& o) {
  if (!o.state.empty()) {
    example::check_outputs({{"--state", o.state}}, {o.file});
    stop_at_signals();
  }
  const mat::TrainedLanguageModel trained = mat::load_language_model(o.file);
  mat::Stream stream(trained.model, {trained.settings.segment});
  if (!o.state.empty() && std::filesystem::exists(o.state)) mat::load_stream(o.state, stream);
  mat::CrossEntropy<float> loss;
  mat::CrossEntropy<float>::Cache cache;
  mat::Matrix<float> expected;  // what the last character makes the model expect: [1, vocabulary]
  std::string line;
  while (std::ferror(stdout) == 0 && std::getline(std::cin, line) && interrupted == 0) {
    line += '\n';
    const std::vector<Index> ids = trained.alphabet.encode(line);
    const Index count = static_cast<Index>(ids.size());
    const auto logits = stream.push(view(ids));
    // The first character follows the line before; the others what is left of them.
    double nats = loss.forward(logits.middle_rows(0, count - 1),
                               mat::ConstVectorView<Index>(ids.data() + 1, {count - 1}), cache, 1.0);
    if (!expected.empty()) nats += loss.forward(expected, mat::ConstVectorView<Index>(ids.data(), {1}), cache, 1.0);
    const double counted = static_cast<double>(expected.empty() ? count - 1 : count);
    expected = mat::Matrix<float>(logits.middle_rows(count - 1, 1));
    std::printf("%.4f\t%lld\t%s", counted > 0 ? nats / std::log(2.0) / counted : 0.0,
                static_cast<long long>(stream.position()), line.c_str());
    std::fflush(stdout);
  }
  if (!o.state.empty()) mat::save_stream(o.state, stream);
  if (std::ferror(stdin) != 0 && interrupted == 0) throw mat::FileError("standard input cannot be read");
}

void add_options(CLI::App& app, Options& o) {
  using example::number;
  using example::whole;
  app.option_defaults()->always_capture_default();
  CLI::App* train = app.add_subcommand("train", "Learn to continue a text");
  const auto add = [&](const std::string& name, auto& value, const std::string& what, const CLI::Validator& check) {
    train->add_option(name, value, what)->check(check);
  };
  train->add_option("--train", o.train, "The text to learn from")->required()->type_name("FILE");
  train->add_option("--valid", o.validation, "A text to measure the model on")->type_name("FILE");
  train->add_option("--out", o.out, "The model")->required()->type_name("FILE")->check(example::named());
  train->add_flag("--resume", o.resume, "Go on from where a training with the same options was stopped");
  std::vector<std::string> kinds;
  for (const mat::MemoryKind kind : mat::kMemoryKinds) kinds.emplace_back(mat::name_of(kind));
  add("--memory", o.memory, "What the model remembers with", CLI::IsMember(kinds));
  add("--memory-rows", o.model.memory_rows, "Rows of the memories cache, tokens, knn and delta-cache; 0: the default",
      whole(0, mat::kMostMemoryRows));
  add("--memory-layer", o.model.memory_layer, "The one layer with a memory; -1: all", whole(-1));
  add("--segment", o.model.segment, "Characters that are read at once", whole(1, mat::kLongestSegment));
  add("--dim", o.model.dim, "Features of a character", whole(1));
  add("--hidden", o.model.hidden, "Hidden features of the feed-forward", whole(1));
  add("--heads", o.model.heads, "Attention heads", whole(1));
  add("--layers", o.model.layers, "Decoder layers", whole(1));
  add("--lanes", o.training.lanes, "Places of the text that are read side by side", whole(1));
  add("--streams", o.training.streams, "Places that take turns as lanes, a multiple of --lanes; 0: as many", whole(0));
  add("--segments", o.training.segments, "Segments of a step, through which the gradient flows", whole(1));
  add("--restart", o.training.restart, "How often a lane jumps and forgets; 1: random windows", number(0, 1.000001));
  add("--warm", o.training.warm_segments, "Segments that a lane reads, without learning, where it jumps to", whole(0));
  add("--cold", o.cold, "Part of the steps, the first ones, that read random windows", number(0, 1));
  add("--steps", o.training.steps, "Steps of the optimiser", whole(0));
  add("--lr", o.learning_rate, "Highest learning rate", number(0, 1000));
  add("--warmup", o.warmup, "Part of the steps in which the rate rises", number(0, 1));
  add("--dropout", o.training.dropout, "Of embedding and decoder", number(0, 1));
  add("--seed", o.training.seed, "The same seed gives the same model", whole(0));
  add("--save-every", o.save_every, "Steps between checkpoints for --resume; 0: none", whole(0));

  CLI::App* measure = app.add_subcommand("measure", "Print the loss of a text that is read as a stream");
  measure->add_option("model", o.file, "The model")->required()->type_name("MODEL");
  measure->add_option("text", o.text, "The text")->required()->type_name("FILE");
  measure->add_flag("--places", o.places, "Also that of the first, second, ... character of the segments");

  CLI::App* sample = app.add_subcommand("sample", "Write on from a prompt");
  sample->add_option("model", o.file, "The model")->required()->type_name("MODEL");
  sample->add_option("--prompt", o.prompt, "How the text begins");
  sample->add_option("--length", o.length, "Characters to write")->check(whole(0));
  sample->add_option("--temperature", o.sampling.temperature, "0: always the most probable")->check(number(0, 1000));
  sample->add_option("--top-k", o.sampling.top_k, "Only so many of the most probable; 0: all")->check(whole(0));
  sample->add_option("--top-p", o.sampling.top_p, "Only the most probable, up to this sum")->check(number(0, 1.000001));
  sample->add_option("--seed", o.training.seed, "The same seed writes the same text")->check(whole(0));

  CLI::App* stream = app.add_subcommand(
      "stream", "Print bits per character, position and text of each line of standard input, for ever");
  stream->add_option("model", o.file, "The model")->required()->type_name("MODEL");
  stream->add_option("--state", o.state, "Go on from this file if it exists, and leave the state there")
      ->type_name("FILE");
  for (CLI::App* command : {train, measure, sample, stream}) {
    command->add_option("--threads", o.threads, "0: all; no result depends on it")->check(whole(0));
  }
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app("Character language models that remember more than they see at once.");
  app.require_subcommand(1);
  app.set_version_flag("--version", MAT_VERSION_STRING);
  add_options(app, options);
  return example::run_program(app, argc, argv, "mat-lm", "train, measure, sample or stream", [&] {
    if (options.threads > 0) mat::set_threads(options.threads);
    if (app.got_subcommand("train")) return train(options);
    if (app.got_subcommand("measure")) return measure(options);
    if (app.got_subcommand("sample")) return sample(options);
    stream(options);
  });
}
