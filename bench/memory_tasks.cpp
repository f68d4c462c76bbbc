// Which memory learns what? Trains a small decoder with each memory on tasks that need one, under the same budget, and
// prints one table: accuracy over several seeds, parameters, bytes of state, steps and seconds.
//   mat-memory-tasks                                       everything, half an hour or more
//   mat-memory-tasks --task recall overwrite --memory none delta neural --seeds 1 --json runs.json
//   mat-memory-tasks --table runs.json                     the table of trainings that were recorded, some at a time
#include <CLI/CLI.hpp>
#include <bench/tasks/models.hpp>
#include <bench/tasks/report.hpp>
#include <bench/tasks/training.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace {

using namespace bench;

struct Options {
  std::vector<std::string> tasks = task_names(), memories = memory_names();
  Index seeds = 3, first_seed = 1, steps = 0, layers = 0;
  double learning_rate = 0;
  int threads = 1;
  bool quiet = false;
  std::string data, json;
  std::vector<std::string> recorded;
};

void add_options(CLI::App& app, Options& o) {
  app.add_option("--task", o.tasks, "Tasks")->check(CLI::IsMember(task_names()))->capture_default_str();
  app.add_option("--memory", o.memories, "Memories")->check(CLI::IsMember(memory_names()))->capture_default_str();
  app.add_option("--seeds", o.seeds, "Trainings of each")->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--first-seed", o.first_seed, "Seed of the first")->check(CLI::NonNegativeNumber);
  app.add_option("--steps", o.steps, "Steps of a training; 0: the task's")->check(CLI::NonNegativeNumber);
  app.add_option("--layers", o.layers, "Layers of the decoder; 0: the task's")->check(CLI::NonNegativeNumber);
  app.add_option("--lr", o.learning_rate, "Largest learning rate; 0: the task's")->check(CLI::NonNegativeNumber);
  app.add_option("--threads", o.threads, "Threads")->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--data", o.data, "The folder with babi/")->capture_default_str();
  app.add_option("--json", o.json, "A file to which a line of JSON is added for each training");
  app.add_option("--table", o.recorded, "Trains nothing: the table of the runs in files that --json wrote");
  app.add_flag("--quiet", o.quiet, "No progress on stderr");
}

void show(const std::string& memory, const Run& run, const Task& task, const StepReport& report) {
  constexpr Index kEvery = 50;
  if ((report.step + 1) % kEvery != 0 && report.step + 1 != task.steps) return;
  std::fprintf(stderr, "%s, %s, seed %d: step %d of %d   size %d   loss %.4f   accuracy %.3f\n", run.task.c_str(),
               memory.c_str(), static_cast<int>(run.seed), static_cast<int>(report.step + 1),
               static_cast<int>(task.steps), static_cast<int>(report.size), report.loss, report.accuracy);
}

[[nodiscard]] Task task_of(const std::string& name, const Options& o) {
  Task task = make_task(name, o.data);
  if (o.steps > 0) task.steps = o.steps;
  if (o.layers > 0) task.layers = o.layers;
  if (o.learning_rate > 0) task.learning_rate = o.learning_rate;
  return task;
}

void append(const std::string& path, const std::string& text) {
  if (path.empty()) return;
  std::FILE* file = std::fopen(path.c_str(), "a");
  const bool written = file != nullptr && std::fwrite(text.data(), 1, text.size(), file) == text.size();
  if ((file != nullptr && std::fclose(file) != 0) || !written) throw mat::FileError(path + ": cannot be written");
}

[[nodiscard]] Run train(const std::string& memory, const Task& task, Index seed, bool quiet) {
  TaskTraining training(task, decoder_config(memory, task), seed);
  Run run = training.run([&](const Run& so_far, const StepReport& report) {
    if (!quiet) show(memory, so_far, task, report);
  });
  run.memory = memory;
  return run;
}

[[nodiscard]] Runs read_runs(const std::vector<std::string>& paths) {
  Runs runs;
  for (const std::string& path : paths) {
    std::ifstream file(path);
    if (!file) throw mat::FileError(path + ": cannot be read");
    for (std::string line; std::getline(file, line);) runs.push_back(run_from_json(line, path));
  }
  return runs;
}

void train_all(const Options& o) {
  std::printf("%s", table_head().c_str());
  for (const std::string& name : o.tasks) {
    const Task task = task_of(name, o);
    for (const std::string& memory : o.memories) {
      Runs runs;
      for (Index seed = o.first_seed; seed < o.first_seed + o.seeds; ++seed) {
        runs.push_back(train(memory, task, seed, o.quiet));
        append(o.json, json_line(runs.back()));
      }
      std::printf("%s", table_rows(runs).c_str());
      std::fflush(stdout);
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  const char* folder = std::getenv("MAT_DATA_DIR");
  options.data =
      folder != nullptr
          ? folder
          : (std::filesystem::path(__FILE__).parent_path() / "../../shared/data").lexically_normal().string();
  CLI::App app{"Which memory learns what?"};
  add_options(app, options);
  CLI11_PARSE(app, argc, argv);
  mat::set_threads(options.threads);
  try {
    if (!options.recorded.empty()) {
      std::printf("%s", table_of(read_runs(options.recorded)).c_str());
    } else {
      train_all(options);
    }
  } catch (const mat::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  return 0;
}
