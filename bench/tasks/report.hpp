#pragma once

#include <mat/io/json_writer.hpp>

#include <bench/tasks/training.hpp>
#include <cstdio>

namespace bench {

/// The runs of one task and one memory, one for each seed.
using Runs = std::vector<Run>;

namespace detail {

[[nodiscard]] inline std::string format(const char* pattern, double value) {
  char text[64];
  std::snprintf(text, sizeof text, pattern, value);
  return text;
}

/// The step at which the middle of the seeds had learned the task, "-" if it had not.
[[nodiscard]] inline std::string median_step(const Runs& runs) {
  std::vector<Index> steps;
  for (const Run& run : runs) steps.push_back(run.mastered < 0 ? run.steps + 1 : run.mastered);
  std::sort(steps.begin(), steps.end());
  const Index middle = steps[(steps.size() - 1) / 2];
  return middle > runs[0].steps ? "-" : std::to_string(middle);
}

}  // namespace detail

[[nodiscard]] inline std::string table_head() {
  return "| task | test | memory | layers | parameters | state bytes | mean % | worst % | steps | 99% at step | "
         "seconds |\n"
         "|---|---|---|---|---|---|---|---|---|---|---|\n";
}

/// A row for every test of a task: mean and worst of the seeds, and the seconds of one training.
[[nodiscard]] inline std::string table_rows(const Task& task, const Runs& runs) {
  std::string rows;
  for (std::size_t test = 0; test < task.tests.size(); ++test) {
    double sum = 0, worst = 1, seconds = 0;
    for (const Run& run : runs) {
      sum += run.accuracies[test];
      worst = std::min(worst, run.accuracies[test]);
      seconds += run.seconds;
    }
    const auto count = static_cast<double>(runs.size());
    rows += "| " + task.name + " | " + task.tests[test].name + " | " + runs[0].memory + " | " +
            std::to_string(runs[0].layers) + " | " + std::to_string(runs[0].parameters) + " | " +
            std::to_string(runs[0].state_bytes) + " | " + detail::format("%.1f", 100 * sum / count) + " | " +
            detail::format("%.1f", 100 * worst) + " | " + std::to_string(runs[0].steps) + " | " +
            detail::median_step(runs) + " | " + detail::format("%.1f", seconds / count) + " |\n";
  }
  return rows;
}

/// One run as a line of JSON.
[[nodiscard]] inline std::string json_line(const Task& task, const Run& run) {
  std::string json = "{\"task\":";
  mat::append_json_string(json, run.task);
  json += ",\"memory\":";
  mat::append_json_string(json, run.memory);
  const std::pair<const char*, Index> numbers[] = {
      {"seed", run.seed},   {"layers", run.layers}, {"parameters", run.parameters},    {"state_bytes", run.state_bytes},
      {"steps", run.steps}, {"stage", run.stage},   {"mastered_at_step", run.mastered}};
  for (const auto& [name, number] : numbers) json += ",\"" + std::string(name) + "\":" + std::to_string(number);
  json += ",\"seconds\":";
  mat::append_json_number(json, run.seconds);
  json += ",\"accuracy\":{";
  for (std::size_t test = 0; test < run.accuracies.size(); ++test) {
    if (test > 0) json += ',';
    mat::append_json_string(json, task.tests[test].name);
    json += ':';
    mat::append_json_number(json, run.accuracies[test]);
  }
  return json + "}}\n";
}

}  // namespace bench
