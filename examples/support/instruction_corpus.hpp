#pragma once

#include <mat/core/random.hpp>
#include <mat/io/labelled_text.hpp>

#include <set>
#include <string>
#include <vector>

namespace example {

/// Sentences that ask for two or three things at home, labelled with what is to be done first: light, door, heating or
/// music. Every word occurs under every label, so counting words does not help; the order of the words decides:
///
///     door     please lock the front door before you play some jazz
///     music    please lock the front door after you play some jazz
///
/// The corpus is a function of its generator, so a program that shows or tests a classifier needs no files.
class InstructionCorpus {
 public:
  explicit InstructionCorpus(const mat::Random& random) : random_(random) {}

  /// The next `count` sentences; none of them comes twice.
  [[nodiscard]] std::vector<mat::LabelledText> next(mat::Index count) {
    std::vector<mat::LabelledText> examples;
    while (static_cast<mat::Index>(examples.size()) < count) {
      mat::LabelledText example = sentence();
      if (seen_.insert(example.text).second) examples.push_back(std::move(example));
    }
    return examples;
  }

 private:
  using Words = std::vector<std::string>;
  struct Topic {
    std::string label;
    Words verbs, objects;
  };

  [[nodiscard]] static const std::vector<Topic>& topics() {
    static const std::vector<Topic> all{
        {"light",
         {"switch on", "turn off", "dim", "check"},
         {"the lamp", "the lights", "the candle", "the ceiling light"}},
        {"door", {"lock", "open", "check", "shut"}, {"the front door", "the window", "the garage", "the gate"}},
        {"heating",
         {"turn up", "turn off", "check", "switch on"},
         {"the heating", "the radiator", "the stove", "the boiler"}},
        {"music", {"play", "stop", "switch on", "turn up"}, {"the radio", "some jazz", "the record", "a quiet song"}}};
    return all;
  }
  /// A comes first, B second.
  [[nodiscard]] static const Words& orders() {
    static const Words all{"A before you B",   "B after you A",   "before you B , A",     "after you A , B",
                           "first A , then B", "B , but first A", "do not B until you A", "once you A , B"};
    return all;
  }

  [[nodiscard]] mat::Index draw(mat::Index n) { return random_.below(drawn_++, n); }
  [[nodiscard]] const std::string& pick(const Words& words) {
    return words[static_cast<std::size_t>(draw(static_cast<mat::Index>(words.size())))];
  }
  [[nodiscard]] std::string action(const Topic& topic) {
    static const Words places{"", "", "", " upstairs", " in the kitchen", " in the hall", " of the office"};
    return pick(topic.verbs) + " " + pick(topic.objects) + pick(places);
  }

  [[nodiscard]] mat::LabelledText sentence() {
    static const Words beginnings{"", "", "please ", "anna , ", "when you come home , ", "tonight "};
    static const Words endings{"", "", "", " , thank you", " , and tell me"};
    std::vector<Topic> chosen = topics();
    for (std::size_t i = 0; i < 3; ++i)
      std::swap(chosen[i], chosen[i + static_cast<std::size_t>(draw(4 - static_cast<mat::Index>(i)))]);
    const std::string aside = draw(6) == 0 ? "there is no need to " + action(chosen[2]) + " ; " : "";
    std::string text;
    for (const char c : pick(orders())) {
      if (c == 'A' || c == 'B')
        text += action(chosen[c == 'A' ? 0 : 1]);
      else
        text += c;
    }
    return {chosen[0].label, pick(beginnings) + aside + text + pick(endings)};
  }

  mat::Random random_;
  std::uint64_t drawn_ = 0;
  std::set<std::string> seen_;
};

}  // namespace example
