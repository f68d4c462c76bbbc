#pragma once

#include <mat/core/error.hpp>

#include <bench/tasks/episode.hpp>
#include <cctype>
#include <fstream>
#include <map>
#include <string>

namespace bench {

/// The stories of one bAbI task: every sentence is a segment, and a question asks at its "?".
///
/// Source: Weston et al. (2015), "Towards AI-complete question answering". A file's lines are `number sentence` or
///         `number question TAB answer TAB supporting lines` (or "|" for TAB), and number 1 begins a story.
class BabiStories {
 public:
  /// Adds the stories of a file and returns them; words get ids in the order in which they are met.
  /// Errors: FileError if it cannot be read or a line is not of that form, with its number.
  [[nodiscard]] std::vector<Episode> read(const std::string& path) {
    std::ifstream file(path);
    if (!file) throw mat::FileError(path + ": cannot be read");
    std::vector<Episode> stories;
    std::string line;
    for (Index number = 1; std::getline(file, line); ++number) {
      std::size_t at = 0;
      while (at < line.size() && std::isdigit(static_cast<unsigned char>(line[at])) != 0) ++at;
      const bool first = line.compare(0, at, "1") == 0;
      if (at == 0 || (stories.empty() && !first)) {
        throw mat::FileError(path + ": line " + std::to_string(number) + " is '" + line +
                             "', expected a number and a sentence, 1 at first");
      }
      if (first) stories.emplace_back();
      stories.back().emplace_back();
      if (!parse(line.substr(at), stories.back().back())) {
        throw mat::FileError(path + ": line " + std::to_string(number) + " is '" + line +
                             "', expected an answer between tabs after the question");
      }
    }
    return stories;
  }

  [[nodiscard]] Index vocabulary() const { return static_cast<Index>(ids_.size()); }
  /// The id of a word; a word that no story had gets one now.
  [[nodiscard]] Index id_of(const std::string& word) {
    return ids_.emplace(word, static_cast<Index>(ids_.size())).first->second;
  }
  [[nodiscard]] std::vector<Index> ids_of(const std::vector<std::string>& words) {
    std::vector<Index> ids;
    for (const std::string& word : words) ids.push_back(id_of(word));
    return ids;
  }

 private:
  /// False if a question has no answer.
  [[nodiscard]] bool parse(const std::string& text, Segment& segment) {
    const std::size_t question = text.find('?');
    std::string word;
    for (const char c : text.substr(0, question)) {
      if (std::isalpha(static_cast<unsigned char>(c)) != 0) {
        word += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
        continue;
      }
      if (!word.empty()) segment.add(id_of(word));
      word.clear();
      if (c == '.') segment.add(id_of("."));
    }
    if (!word.empty()) segment.add(id_of(word));
    if (question == std::string::npos) return true;
    const std::size_t begin = text.find_first_of("\t|", question);
    const std::size_t end = begin == std::string::npos ? begin : text.find_first_of("\t|", begin + 1);
    if (end == std::string::npos) return false;
    segment.add(id_of("?"), id_of(text.substr(begin + 1, end - begin - 1)));
    return true;
  }

  std::map<std::string, Index> ids_;
};

/// The same story of other people, things or places: each group of ids is permuted at random, in questions and answers
/// too. What is asked does not depend on names, so this makes many stories of one.
[[nodiscard]] inline Episode renamed(Episode story, const std::vector<std::vector<Index>>& groups,
                                     const mat::Random& random) {
  std::map<Index, Index> names;
  for (std::size_t g = 0; g < groups.size(); ++g) {
    std::vector<Index> others = groups[g];
    mat::shuffle(others.begin(), static_cast<Index>(others.size()), random.split(g));
    for (std::size_t i = 0; i < others.size(); ++i) names[groups[g][i]] = others[i];
  }
  const auto rename = [&](Index& id) {
    const auto found = names.find(id);
    if (found != names.end()) id = found->second;
  };
  for (Segment& segment : story) {
    for (Index& id : segment.tokens) rename(id);
    for (Index& id : segment.targets) rename(id);
  }
  return story;
}

}  // namespace bench
