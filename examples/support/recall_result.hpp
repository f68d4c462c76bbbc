#pragma once

#include <array>
#include <cmath>
#include <cstdio>
#include <examples/support/recall_story.hpp>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace example {

/// Distances between what was told and the question, in pages: from `least` to `most`, -1 for no end.
struct RecallDistances {
  Index least = 0, most = 0;

  [[nodiscard]] bool contains(Index distance) const { return distance >= least && (most < 0 || distance <= most); }
  [[nodiscard]] std::string name() const {
    if (most < 0) return std::to_string(least) + "+";
    return least == most ? std::to_string(least) : std::to_string(least) + "-" + std::to_string(most);
  }
};

/// How the questions are grouped.
inline constexpr std::array<RecallDistances, 7> kRecallDistances{
    {{0, 1}, {2, 2}, {3, 4}, {5, 8}, {9, 16}, {17, 32}, {33, -1}}};

/// Answers that were right, of those that were given.
struct RecallScore {
  Index right = 0, asked = 0;

  void add(bool is_right) {
    ++asked;
    right += is_right ? 1 : 0;
  }
  /// Not a number if nothing was asked.
  [[nodiscard]] double accuracy() const {
    return asked == 0 ? std::nan("") : static_cast<double>(right) / static_cast<double>(asked);
  }
};

/// What a model did with the example story.
struct RecallInspection {
  struct Answer {
    Index word = 0;                 ///< What the model answered.
    std::vector<double> influence;  ///< Of every word of the story on the answer that is right, at most 1.
  };
  std::vector<double>
      strength;                 ///< How strongly each word was written, at most 1; empty if the memory does not choose.
  std::vector<Answer> answers;  ///< To each question.
};

/// One memory: how it learned, what it remembers, and what it costs.
struct RecallResult {
  struct Point {
    Index step = 0;
    double accuracy = 0;
  };
  std::string name;
  Index parameters = 0, state_bytes = 0;
  double seconds = 0;           ///< Of the training.
  double microseconds = 0;      ///< A word of a stream, read word by page.
  std::vector<Point> training;  ///< Means over steps.
  std::array<RecallScore, kRecallDistances.size()> distances;
  RecallScore overwritten, all;
  RecallInspection example;
};

namespace detail {

[[nodiscard]] inline std::string format(const char* pattern, double value) {
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), pattern, value);
  return text.data();
}

}  // namespace detail

/// "98.7", or "-" for no number.
[[nodiscard]] inline std::string percent_text(double share) {
  return std::isnan(share) ? "-" : detail::format("%.1f", 100 * share);
}

/// The head of the table and a row for each memory, as texts.
[[nodiscard]] inline std::vector<std::vector<std::string>> recall_rows(const std::vector<RecallResult>& results) {
  std::vector<std::vector<std::string>> rows(1);
  rows[0] = {"memory"};
  for (const RecallDistances& distances : kRecallDistances) rows[0].push_back(distances.name());
  for (const char* head : {"overwritten", "parameters", "state bytes", "us/word", "seconds"})
    rows[0].emplace_back(head);
  for (const RecallResult& result : results) {
    rows.push_back({result.name});
    for (const RecallScore& score : result.distances) rows.back().push_back(percent_text(score.accuracy()));
    rows.back().push_back(percent_text(result.overwritten.accuracy()));
    rows.back().push_back(std::to_string(result.parameters));
    rows.back().push_back(std::to_string(result.state_bytes));
    rows.back().push_back(detail::format("%.1f", result.microseconds));
    rows.back().push_back(detail::format("%.1f", result.seconds));
  }
  return rows;
}

/// The table with columns of one width, in Markdown.
[[nodiscard]] inline std::string recall_table(const std::vector<RecallResult>& results) {
  auto rows = recall_rows(results);
  std::vector<std::string> rule;
  for (std::size_t column = 0; column < rows[0].size(); ++column) {
    std::size_t width = 3;
    for (const auto& row : rows) width = std::max(width, row[column].size());
    for (auto& row : rows) {
      const std::string space(width - row[column].size(), ' ');
      row[column] = column == 0 ? row[column] + space : space + row[column];
    }
    rule.push_back(std::string(width - 1, '-') + (column == 0 ? "-" : ":"));
  }
  rows.insert(rows.begin() + 1, rule);
  std::string table;
  for (const auto& row : rows) {
    for (const std::string& cell : row) table += "| " + cell + " ";
    table += "|\n";
  }
  return table;
}

/// The same as JSON: an object with an array of memories.
[[nodiscard]] inline nlohmann::ordered_json recall_json(const std::vector<RecallResult>& results) {
  nlohmann::ordered_json json;
  for (const RecallResult& result : results) {
    nlohmann::ordered_json accuracy;
    for (std::size_t i = 0; i < kRecallDistances.size(); ++i) {
      const RecallScore& score = result.distances[i];
      accuracy[kRecallDistances[i].name()] = {{"right", score.right}, {"asked", score.asked}};
    }
    json["memories"].push_back({{"memory", result.name},
                                {"parameters", result.parameters},
                                {"state_bytes", result.state_bytes},
                                {"microseconds_per_word", result.microseconds},
                                {"seconds", result.seconds},
                                {"accuracy", result.all.accuracy()},
                                {"accuracy_overwritten", result.overwritten.accuracy()},
                                {"by_distance", accuracy}});
  }
  return json;
}

}  // namespace example
