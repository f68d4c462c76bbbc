// Which memory remembers? Trains a small Transformer with each memory on stories that are far longer than what it sees
// at a time, asks where things are, and writes a report to look at. Needs no data.
//   mat-recall                                    all memories, in less than two minutes on one core; recall.html
//   mat-recall --memory none,delta --out -        two of them, without a report
#include "support/command_line.hpp"
#include "support/progress_bar.hpp"
#include "support/recall_measure.hpp"
#include "support/recall_report.hpp"

#include <mat/io/durable_file.hpp>

#include <CLI/CLI.hpp>
#include <bench/tasks/models.hpp>
#include <memory>
#include <nlohmann/json.hpp>

namespace {

using mat::Index;

struct Options {
  std::vector<std::string> memories{"none", "cache", "tokens", "delta", "neural"};
  Index steps = 700, seed = 1;
  int threads = 1;
  std::string out = "recall.html";
  bool json = false;
};

constexpr Index kTestStories = 100, kStreamStories = 10, kMemoryTokens = 4, kNeuralChunk = 3;

void add_options(CLI::App& app, Options& o) {
  app.option_defaults()->always_capture_default();
  app.add_option("--memory", o.memories, "Which memories, with commas between them")
      ->delimiter(',')
      ->check(CLI::IsMember(o.memories));
  app.add_option("--steps", o.steps, "Steps of each training")->check(example::whole(0));
  app.add_option("--seed", o.seed, "The same seed gives the same results")->check(example::whole(0));
  app.add_option("--threads", o.threads, "0: all; no answer depends on it")->check(example::whole(0));
  app.add_option("--out", o.out, "The report; -: none")->type_name("FILE");
  app.add_flag("--json", o.json, "Print one JSON object in the place of the table");
}

/// The stories of training are short and ask a lot; those that are asked about are many times as long. They tell first
/// and ask then: while most questions are for what was told last, the place that was told last is a good answer, and
/// training rests there long before it finds which thing is asked for.
[[nodiscard]] example::RecallStoryConfig training_stories() {
  example::RecallStoryConfig config;
  config.pages = 8;
  config.facts = 0.9;
  config.questions = 0.1;
  config.order = example::RecallOrder::facts_first;
  return config;
}

/// What all memories learn, under one budget.
[[nodiscard]] bench::Task recall_task(const Options& o) {
  const auto teller = std::make_shared<const example::RecallStoryteller>(training_stories());
  bench::Task task;
  task.name = "recall";
  task.vocabulary = teller->words().size();
  task.episode = [teller](Index, const mat::Random& random) { return teller->tell(random).pages; };
  task.layers = 2;
  task.d_model = 64;
  task.heads = 4;
  task.hidden = 128;
  task.memory_size = 2 * teller->config().page_tokens;
  task.steps = o.steps;
  task.batch = 10;
  task.learning_rate = 1e-3;
  return task;
}

/// Stories that training does not draw.
[[nodiscard]] std::vector<example::RecallStory> other_stories(Index count) {
  const example::RecallStoryteller teller({});
  std::vector<example::RecallStory> stories;
  for (Index i = 0; i < count; ++i) {
    stories.push_back(teller.tell(mat::Random(0x7E57).split(static_cast<std::uint64_t>(i))));
  }
  return stories;
}

/// The story of the report: a short one, which can be read.
[[nodiscard]] example::RecallStory example_story() {
  example::RecallStoryConfig config;
  config.pages = 24;
  return example::RecallStoryteller(config).tell(mat::Random(0x57041));
}

/// Shows a training on stderr, and keeps its curve.
class Observer {
 public:
  Observer(const bench::Task& task, example::RecallResult& result)
      : task_(task), result_(result), bar_(result.name + std::string(kNameWidth - result.name.size(), ' ')) {}

  void operator()(const bench::StepReport& report) {
    constexpr Index kPoints = 40;
    progress_.batch = report.step + 1;
    progress_.batches = task_.steps;
    progress_.loss = report.loss;
    progress_.seconds = seconds();
    progress_.tokens_per_second =
        static_cast<double>(progress_.batch * task_.batch * story_tokens_) / progress_.seconds;
    progress_.seconds_left =
        progress_.seconds * static_cast<double>(task_.steps - progress_.batch) / static_cast<double>(progress_.batch);
    sum_ += report.accuracy;
    ++summed_;
    if (progress_.batch * kPoints / task_.steps != report.step * kPoints / task_.steps) {
      result_.training.push_back({progress_.batch, sum_ / static_cast<double>(summed_)});
      sum_ = 0, summed_ = 0;
    }
    bar_(progress_);
  }
  void finish() {
    progress_.event = mat::Progress::Event::epoch;
    progress_.validation = result_.all.accuracy();
    bar_(progress_);
  }

 private:
  static constexpr std::size_t kNameWidth = 6;
  const Index story_tokens_ = training_stories().pages * training_stories().page_tokens;

  [[nodiscard]] double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }

  const bench::Task& task_;
  example::RecallResult& result_;
  example::ProgressBar bar_;
  mat::Progress progress_;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  double sum_ = 0;  // of accuracies since the last point of the curve
  Index summed_ = 0;
};

[[nodiscard]] example::RecallResult train(const std::string& name, const bench::Task& task, Index seed,
                                          const std::vector<example::RecallStory>& stories) {
  example::RecallResult result;
  result.name = name;
  bench::Model::Config config = bench::decoder_config(name, task);
  auto& memory = config.decoder.memory.memory;
  // As many rows as a cache has would pass through every layer with each page, before it and after it.
  if (auto* tokens = std::get_if<mat::MemoryTokens<float>::Config>(&memory)) tokens->count = kMemoryTokens;
  // A fact is three words: a step of gradient for each learns sooner than one for a page; and it costs more.
  if (auto* neural = std::get_if<mat::NeuralMemory<float>::Config>(&memory)) {
    neural->chunk = kNeuralChunk;
    config.decoder.memory_layer = 0;
  }
  bench::TaskTraining training(task, config, seed);
  Observer observer(task, result);
  const bench::Run run = training.run([&](const bench::Run&, const bench::StepReport& report) { observer(report); });
  result.parameters = run.parameters;
  result.seconds = run.seconds;
  example::measure_recall(training.model(), stories, result);
  example::measure_stream(training.model(), {stories.begin(), stories.begin() + kStreamStories}, result);
  result.example = example::RecallInspector(training.model(), example_story()).inspect();
  observer.finish();
  return result;
}

void write_report(const Options& o, const bench::Task& task, const std::vector<example::RecallResult>& results) {
  example::RecallReport report;
  report.training = training_stories();
  report.steps = o.steps;
  report.seed = o.seed;
  report.test_stories = kTestStories;
  report.model = std::to_string(task.layers) + " layers, " + std::to_string(task.d_model) + " features, " +
                 std::to_string(task.heads) + " heads, batches of " + std::to_string(task.batch) + " stories";
  report.story = example_story();
  report.results = results;
  mat::DurableFile file(o.out);
  file.write(report.html());
  file.commit();
}

void run(const Options& o) {
  mat::set_threads(o.threads);
  if (o.out != "-") example::check_outputs({{"--out", o.out}}, {});
  const bench::Task task = recall_task(o);
  const std::vector<example::RecallStory> stories = other_stories(kTestStories);
  std::vector<example::RecallResult> results;
  for (const std::string& name : o.memories) results.push_back(train(name, task, o.seed, stories));
  if (o.out != "-") write_report(o, task, results);
  if (o.json) {
    std::printf("%s\n", example::recall_json(results).dump().c_str());
  } else {
    std::printf("right answers in %% by the distance in pages of %d words, parameters, cost\n%s",
                static_cast<int>(stories[0].pages[0].tokens.size()), example::recall_table(results).c_str());
  }
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app("Which memory remembers? Trains a small Transformer with each on stories of many pages, and asks.");
  app.set_version_flag("--version", MAT_VERSION_STRING);
  add_options(app, options);
  return example::run_program(app, argc, argv, "mat-recall", "", [&] { run(options); });
}
