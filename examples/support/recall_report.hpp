#pragma once

#include <examples/support/line_chart.hpp>
#include <examples/support/recall_page.hpp>
#include <examples/support/recall_result.hpp>

namespace example {

/// What a report tells besides the results.
struct RecallReport {
  RecallStoryConfig training;  ///< The stories of training,
  RecallStoryConfig stories;   ///< and those that were asked about.
  Index steps = 0, seed = 0, test_stories = 0;
  std::string model;  ///< The sizes that all models share, as a phrase.
  RecallStory story;
  std::vector<RecallResult> results;  // at least one

  /// One HTML page that needs no other file: a table, two charts, and a story in which a reader chooses a question.
  [[nodiscard]] std::string html() const {
    return std::string(kRecallPageHead) + "<main>\n" + introduction() + table() + charts() + reading() + "</main>\n" +
           data() + kRecallPageScript + "</body>\n</html>\n";
  }

 private:
  [[nodiscard]] double chance() const { return 1.0 / static_cast<double>(RecallWords::places().size()); }
  /// The colour and the mark of a memory, whatever others there are.
  [[nodiscard]] static std::size_t style_of(const std::string& name) {
    static const std::array<const char*, 5> names{"none", "cache", "tokens", "delta", "neural"};
    return static_cast<std::size_t>(std::find(names.begin(), names.end(), name) - names.begin());
  }

  [[nodiscard]] std::string introduction() const {
    const std::string window = std::to_string(stories.page_tokens), pages = std::to_string(stories.pages);
    return "<h1>Which memory remembers?</h1>\n<p>A small Transformer reads stories of " +
           std::to_string(stories.pages * stories.page_tokens) + " words and sees <strong>" + window +
           "</strong> of them at a time: one page of " + pages + ". Facts tell where " +
           std::to_string(stories.things) +
           " things are, and tell it anew now and then; questions ask for them pages later. What the model knows of " +
           "earlier pages is in its memory alone.</p>\n<p>Every model had " + std::to_string(steps) +
           " training steps, or fewer if it made no mistakes any more, on the same stories of " +
           std::to_string(training.pages) + " pages (seed " + std::to_string(seed) + "): " + model + ". Asked on " +
           std::to_string(test_stories) + " other stories; a guess among all places is right in " +
           percent_text(chance()) + "%.</p>\n";
  }

  [[nodiscard]] std::string table() const {
    const auto rows = recall_rows(results);
    const std::size_t distances = kRecallDistances.size();
    std::string text =
        "<section>\n<h2>Results</h2>\n<div class=\"scroll\"><table>\n<thead><tr><th rowspan=\"2\">memory</th>";
    text += "<th colspan=\"" + std::to_string(distances) + "\">right answers in % at a distance of … pages</th>";
    for (std::size_t i = 1 + distances; i < rows[0].size(); ++i) text += "<th rowspan=\"2\">" + rows[0][i] + "</th>";
    text += "</tr>\n<tr>";
    for (std::size_t i = 1; i <= distances; ++i) text += "<th>" + rows[0][i] + "</th>";
    text += "</tr></thead>\n<tbody>\n";
    for (std::size_t r = 1; r < rows.size(); ++r) {
      text += "<tr><th>" + rows[r][0] + "</th>";
      for (std::size_t i = 1; i < rows[r].size(); ++i) text += "<td>" + rows[r][i] + "</td>";
      text += "</tr>\n";
    }
    return text +
           "</tbody></table></div>\n<p class=\"note\">overwritten: of the questions whose answer was another one "
           "before. us/word: a stream that is read page by page, on one core. seconds: of the training.</p>\n"
           "</section>\n";
  }

  [[nodiscard]] std::string charts() const {
    LineChart distance;
    distance.title = "Right answers over the distance between fact and question";
    distance.x_label = "pages between fact and question";
    distance.marks = true;
    LineChart learning;
    learning.title = "Right answers in training";
    learning.x_label = "training step";
    distance.chance = learning.chance = chance();
    const double last = static_cast<double>(kRecallDistances.size() - 1),
                 end = static_cast<double>(std::max<Index>(steps, 1));
    for (std::size_t i = 0; i < kRecallDistances.size(); ++i) {
      distance.ticks.push_back({static_cast<double>(i) / last, kRecallDistances[i].name()});
    }
    for (int quarter = 0; quarter <= 4; ++quarter) {
      learning.ticks.push_back({quarter / 4.0, std::to_string(steps * quarter / 4)});
    }
    std::string legend = "<p class=\"legend\">";
    for (const RecallResult& result : results) {
      LineChart::Line line{result.name, style_of(result.name), {}}, curve = line;
      for (std::size_t i = 0; i < kRecallDistances.size(); ++i) {
        line.points.push_back({static_cast<double>(i) / last, result.distances[i].accuracy()});
      }
      for (const RecallResult::Point& point : result.training) {
        curve.points.push_back({static_cast<double>(point.step) / end, point.accuracy});
      }
      distance.lines.push_back(line);
      learning.lines.push_back(curve);
      legend += "<span>" + LineChart::sample(line.style) + result.name + "</span> ";
    }
    legend += "<span>" + LineChart::chance_sample() + "chance</span>";
    const auto figure = [](const LineChart& chart) {
      return "<figure><figcaption>" + chart.title + "</figcaption>\n" + chart.svg() + "</figure>\n";
    };
    return "<section>\n<h2>How far back, and how fast</h2>\n" + legend + "</p>\n<div class=\"charts\">\n" +
           figure(distance) + figure(learning) + "</div>\n</section>\n";
  }

  /// The memory that is shown at first: the last that chooses what it writes, or else the last.
  [[nodiscard]] std::size_t shown() const {
    for (std::size_t i = results.size(); i-- > 0;) {
      if (!results[i].example.strength.empty()) return i;
    }
    return results.size() - 1;
  }

  [[nodiscard]] std::string reading() const {
    std::string text =
        "<section>\n<h2>What the memory holds</h2>\n<p>A story that no model has seen. The bar above a word is how "
        "strongly it was written to the memory. Choose a question: the shade of a word is how much the right answer "
        "depends on it, by the gradient; the fact that holds is framed.</p>\n<p class=\"choice\" id=\"memories\">";
    for (std::size_t i = 0; i < results.size(); ++i) {
      text += "<button type=\"button\" data-memory=\"" + std::to_string(i) + "\">" + results[i].name + "</button> ";
    }
    text += "</p>\n<p id=\"answer\" aria-live=\"polite\"></p>\n<div class=\"story\" id=\"story\">\n";
    const RecallWords words;
    std::size_t question = 0, number = 0;
    for (std::size_t page = 0; page < story.pages.size(); ++page) {
      text += "<p class=\"page\"><span class=\"number\">" + std::to_string(page + 1) + "</span>";
      for (std::size_t t = 0; t < story.pages[page].tokens.size(); ++t, ++number) {
        text += word(words.word(story.pages[page].tokens[t]), number);
        if (question < story.questions.size() && is_at(story.questions[question], page, t)) text += asked(question++);
      }
      text += "</p>\n";
    }
    return text + "</div>\n</section>\n";
  }
  [[nodiscard]] static bool is_at(const RecallStory::Question& question, std::size_t page, std::size_t token) {
    return question.page == static_cast<Index>(page) && question.token == static_cast<Index>(token);
  }
  [[nodiscard]] std::string word(const std::string& text, std::size_t number) const {
    const auto& strength = results[shown()].example.strength;
    const double height = strength.empty() ? 0 : strength[number];
    return "<span class=\"word\"><i style=\"--s:" + detail::format("%.2f", height) + "\"></i><b>" + text +
           "</b></span>";
  }
  [[nodiscard]] std::string asked(std::size_t question) const {
    const auto& answer = results[shown()].example.answers[question];
    const RecallWords words;
    return "<button type=\"button\" class=\"question\" data-question=\"" + std::to_string(question) + "\">" +
           words.word(answer.word) + "</button>";
  }

  /// What the script needs: whole numbers of percent.
  [[nodiscard]] std::string data() const {
    const RecallWords words;
    const auto percents = [](const std::vector<double>& shares) {
      std::vector<int> numbers;
      for (const double share : shares) numbers.push_back(static_cast<int>(std::lround(100 * share)));
      return numbers;
    };
    nlohmann::ordered_json json;
    for (const RecallStory::Question& question : story.questions) {
      json["questions"].push_back({{"answer", words.word(question.answer)},
                                   {"fact", question.fact_page * stories.page_tokens + question.fact_token},
                                   {"pages", question.distance()}});
    }
    for (const RecallResult& result : results) {
      nlohmann::ordered_json memory{{"name", result.name}, {"strength", percents(result.example.strength)}};
      for (const auto& answer : result.example.answers) {
        memory["answers"].push_back({{"word", words.word(answer.word)}, {"influence", percents(answer.influence)}});
      }
      json["memories"].push_back(memory);
    }
    json["shown"] = shown();
    return "<script type=\"application/json\" id=\"data\">" + json.dump() + "</script>\n";
  }
};

}  // namespace example
