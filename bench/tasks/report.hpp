#pragma once

#include <mat/io/json.hpp>

#include <bench/tasks/training.hpp>
#include <cstdio>

namespace bench {

/// Runs of one task and one memory, one for each seed.
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
  for (const Run& run : runs) {
    steps.push_back(run.mastered < 0 ? std::numeric_limits<Index>::max() : run.mastered);
  }
  std::sort(steps.begin(), steps.end());
  const Index middle = steps[(steps.size() - 1) / 2];
  return middle == std::numeric_limits<Index>::max() ? "-" : std::to_string(middle);
}

}  // namespace detail

[[nodiscard]] inline std::string table_head() {
  return "| task | test | memory | layers | parameters | state bytes | seeds | mean % | worst % | steps | 99% at step "
         "| "
         "seconds |\n|---|---|---|---|---|---|---|---|---|---|---|---|\n";
}

/// A row for every test of a task: mean and worst of the seeds, the most steps, and the seconds of one training.
[[nodiscard]] inline std::string table_rows(const Runs& runs) {
  std::string rows;
  const Run& first = runs.at(0);
  for (std::size_t test = 0; test < first.accuracies.size(); ++test) {
    double sum = 0, worst = 1, seconds = 0;
    Index steps = 0;
    for (const Run& run : runs) {
      sum += run.accuracies[test].second;
      worst = std::min(worst, run.accuracies[test].second);
      seconds += run.seconds;
      steps = std::max(steps, run.steps);
    }
    const auto count = static_cast<double>(runs.size());
    rows += "| " + first.task + " | " + first.accuracies[test].first + " | " + first.memory;
    for (const Index number : {first.layers, first.parameters, first.state_bytes, static_cast<Index>(runs.size())}) {
      rows += " | " + std::to_string(number);
    }
    rows += " | " + detail::format("%.1f", 100 * sum / count) + " | " + detail::format("%.1f", 100 * worst) + " | " +
            std::to_string(steps) + " | " + detail::median_step(runs) + " | " +
            detail::format("%.1f", seconds / count) + " |\n";
  }
  return rows;
}

/// One run as a line of JSON.
[[nodiscard]] inline std::string json_line(const Run& run) {
  mat::Json accuracies = mat::Json::object();
  for (const auto& [test, accuracy] : run.accuracies) accuracies.set(test, accuracy);
  mat::Json json;
  json.set("task", run.task);
  json.set("memory", run.memory);
  json.set("seed", run.seed);
  json.set("layers", run.layers);
  json.set("parameters", run.parameters);
  json.set("state_bytes", run.state_bytes);
  json.set("steps", run.steps);
  json.set("stage", run.stage);
  json.set("mastered_at_step", run.mastered);
  json.set("seconds", run.seconds);
  json.set("accuracy", accuracies);
  return json.str() + "\n";
}

/// What json_line wrote; `name` of the source begins the messages.
[[nodiscard]] inline Run run_from_json(const std::string& line, const std::string& name) {
  const mat::Json json = mat::Json::parse(line, name);
  Run run;
  run.task = json.at("task").as_string();
  run.memory = json.at("memory").as_string();
  run.seed = json.at("seed").as_index();
  run.layers = json.at("layers").as_index();
  run.parameters = json.at("parameters").as_index();
  run.state_bytes = json.at("state_bytes").as_index();
  run.steps = json.at("steps").as_index();
  run.stage = json.at("stage").as_index();
  run.mastered = json.at("mastered_at_step").as_index();
  run.seconds = json.at("seconds").as_double();
  for (const auto& [test, accuracy] : json.at("accuracy").as_object()) {
    run.accuracies.emplace_back(test, accuracy.as_double());
  }
  return run;
}

/// The table of recorded runs, in the order in which each task and memory first occurs.
[[nodiscard]] inline std::string table_of(const Runs& all) {
  std::vector<Runs> groups;
  for (const Run& run : all) {
    const auto same = [&](const Runs& runs) { return runs[0].task == run.task && runs[0].memory == run.memory; };
    const auto found = std::find_if(groups.begin(), groups.end(), same);
    if (found == groups.end()) {
      groups.push_back({run});
    } else {
      found->push_back(run);
    }
  }
  std::string table = table_head();
  for (const Runs& runs : groups) table += table_rows(runs);
  return table;
}

}  // namespace bench
