#pragma once

#include <mat/memory/neural_memory.hpp>

#include <bench/tasks/babi_world.hpp>
#include <bench/tasks/copy.hpp>
#include <bench/tasks/recall.hpp>
#include <functional>
#include <memory>

namespace bench {

/// Episodes that a model is measured on, the i-th being a function of i.
struct TaskTest {
  std::string name;
  Index count = 0;
  std::function<Episode(Index)> episode;
};

/// What a model learns and how long it may take: everything but the memory.
struct Task {
  std::string name;
  Index vocabulary = 0;
  /// The sizes of a curriculum, in episodes of which training moves on when it masters one. One size: no curriculum.
  std::vector<Index> stages{0};
  std::function<Episode(Index size, const mat::Random&)> episode;
  std::vector<TaskTest> tests;

  Index d_model = 32, heads = 2, hidden = 64, layers = 1;
  Index memory_size = 0;  ///< Rows that a memory of rows keeps: tokens, cached or remembered rows.
  mat::NeuralMemory<float>::Config neural;
  Index steps = 600, batch = 32;
  double learning_rate = 4e-3;
};

namespace detail {

/// A test on episodes that training does not draw.
[[nodiscard]] inline TaskTest fresh_test(std::string name, Index count,
                                         const std::function<Episode(const mat::Random&)>& episode) {
  const mat::Random random(0x7E57);
  return {std::move(name), count, [=](Index i) { return episode(random.split(static_cast<std::uint64_t>(i))); }};
}

inline Task segment_recall_task() {
  Task task;
  const RecallAlphabet alphabet{16, 16, 0};
  task.vocabulary = alphabet.vocabulary();
  task.episode = [=](Index, const mat::Random& random) { return segment_recall(4, alphabet, random); };
  task.tests = {fresh_test("4 pairs", 1000, [=](const mat::Random& r) { return segment_recall(4, alphabet, r); })};
  task.memory_size = 8;
  return task;
}

inline Task overwrite_task() {
  Task task;
  const RecallAlphabet alphabet{16, 16, 0};
  task.vocabulary = alphabet.vocabulary();
  task.episode = [=](Index, const mat::Random& random) { return overwrite(8, 4, alphabet, random); };
  task.tests = {
      fresh_test("8 writes, 4 keys", 1000, [=](const mat::Random& r) { return overwrite(8, 4, alphabet, r); })};
  task.memory_size = 16;
  task.steps = 4000;
  task.learning_rate = 2e-3;
  // Each pair is a step of its own: what a chunk holds twice under a key is averaged, and momentum writes an old value
  // again.
  task.neural.chunk = 2;
  task.neural.momentum = 0;
  task.neural.forgetting = 0;
  return task;
}

inline Task copy_task(Index n, Index length, Index symbols) {
  Task task;
  task.vocabulary = symbols + 1;
  task.episode = [=](Index size, const mat::Random& random) { return copy_twice(size, length, symbols, random); };
  task.stages = {n};
  const std::string name = std::to_string(n) + " symbols, " + std::to_string((3 * n + length - 1) / length) +
                           " segments of " + std::to_string(length);
  task.tests = {fresh_test(name, 1000, [=](const mat::Random& r) { return copy_twice(n, length, symbols, r); })};
  task.layers = 2;
  task.memory_size = n;
  task.steps = 1000;
  task.learning_rate = 3e-3;
  return task;
}

inline Task copy_stretch_task() {
  Task task = copy_task(24, 24, 10);
  task.episode = [](Index size, const mat::Random& random) { return copy_twice(size, size, 10, random); };
  task.stages = {2, 4, 8, 12, 16, 20, 24};
  task.d_model = 64, task.heads = 4, task.hidden = 128;
  task.steps = 1500, task.batch = 24;
  task.learning_rate = 2e-3;
  return task;
}

inline Task retrieval_task() {
  Task task;
  constexpr Index kSymbols = 16;
  task.vocabulary = kSymbols + 3;
  task.episode = [](Index pairs, const mat::Random& random) { return associative_retrieval(pairs, kSymbols, random); };
  task.stages = {1, 2, 3, 5, 10};
  task.tests = {
      fresh_test("10 pairs", 1000, [](const mat::Random& r) { return associative_retrieval(10, kSymbols, r); })};
  task.d_model = 64, task.heads = 2, task.hidden = 128, task.layers = 2;
  task.memory_size = 40;
  task.steps = 2000, task.batch = 64;
  task.learning_rate = 3e-3;
  return task;
}

/// Two segments at first, one more for every stage, four at last; measured at 4 and at 18.
template <class Make>
Task segments_task(const Make& make) {
  Task task;
  task.stages = {2, 3, 4};
  task.episode = make;
  task.tests = {fresh_test("4 segments", 500, [=](const mat::Random& random) { return make(4, random); }),
                fresh_test("18 segments", 100, [=](const mat::Random& random) { return make(18, random); })};
  task.d_model = 64, task.heads = 4, task.hidden = 128, task.layers = 2;
  task.steps = 500;
  task.learning_rate = 3e-3;
  return task;
}

inline Task long_recall_task() {
  const RecallAlphabet alphabet{16, 16, 16};
  Task task =
      segments_task([=](Index segments, const mat::Random& r) { return long_recall(8, segments, 24, alphabet, r); });
  task.vocabulary = alphabet.vocabulary();
  task.memory_size = 72;
  return task;
}

inline Task long_copy_task() {
  Task task = segments_task([](Index segments, const mat::Random& r) { return long_copy(8, segments, 24, 16, r); });
  task.vocabulary = 33;
  task.memory_size = 72;
  return task;
}

/// Of bAbI's stories of a task, in any order and with names exchanged: a part of `size` sentences, of which more is
/// asked, or with 0 a story as it is.
inline std::function<Episode(Index, const mat::Random&)> babi_episodes(Index number, const BabiWords& words,
                                                                       std::vector<Episode> all) {
  const auto stories = std::make_shared<const std::vector<Episode>>(std::move(all));
  return [=](Index size, const mat::Random& random) {
    const Index index = random.below(0, static_cast<Index>(stories->size()));
    const Episode& story = (*stories)[static_cast<std::size_t>(index)];
    return renamed(size > 0 ? asked_more(story, number, size, words, random.split(0)) : story,
                   {words.people, words.things, words.places}, random.split(1));
  };
}

/// Learns from bAbI's stories of a task, of 2 and 3 also with more questions than their files ask; the test is bAbI's.
inline Task babi_task(Index number, const std::string& folder) {
  const std::vector<std::string> files{"qa1_single-supporting-fact", "qa2_two-supporting-facts",
                                       "qa3_three-supporting-facts"};
  const std::string& file = files[static_cast<std::size_t>(number - 1)];
  BabiStories reader;
  std::vector<Episode> train = reader.read(folder + (number < 3 ? "/en-10k/" : "/en/") + file + "_train.txt");
  const auto test = std::make_shared<const std::vector<Episode>>(reader.read(folder + "/en/" + file + "_test.txt"));
  const BabiWords words(reader);
  Task task;
  task.vocabulary = reader.vocabulary();
  task.episode = babi_episodes(number, words, std::move(train));
  task.tests = {{"1,000 questions", static_cast<Index>(test->size()),
                 [=](Index i) { return (*test)[static_cast<std::size_t>(i)]; }}};
  task.d_model = 64, task.heads = 4, task.hidden = 128, task.layers = 2;
  task.memory_size = 16;
  // Task 3 asks five questions in eighty sentences, of 200 stories: too little to learn from.
  if (number == 2) task.stages = {8, 16, 0};
  if (number == 3) task.stages = {8, 24};
  task.steps = number == 1 ? 600 : number == 2 ? 900 : 1400;
  task.learning_rate = number < 3 ? 3e-3 : 2e-3;
  if (number == 3) task.batch = 16;
  return task;
}

}  // namespace detail

/// The names of all tasks, in the order of the table.
[[nodiscard]] inline std::vector<std::string> task_names() {
  return {"recall",      "overwrite", "copy-6x4", "copy-3x8", "copy-3x24", "retrieval",
          "long-recall", "long-copy", "babi-1",   "babi-2",   "babi-3"};
}

/// One of task_names(). `data` is the folder with babi/.
/// Errors: ValueError for another name; FileError without the data of bAbI.
[[nodiscard]] inline Task make_task(const std::string& name, const std::string& data) {
  const std::map<std::string, std::function<Task()>> tasks{
      {"recall", [] { return detail::segment_recall_task(); }},
      {"overwrite", [] { return detail::overwrite_task(); }},
      {"copy-6x4", [] { return detail::copy_task(8, 4, 4); }},
      {"copy-3x8", [] { return detail::copy_task(8, 8, 4); }},
      {"copy-3x24", [] { return detail::copy_stretch_task(); }},
      {"retrieval", [] { return detail::retrieval_task(); }},
      {"long-recall", [] { return detail::long_recall_task(); }},
      {"long-copy", [] { return detail::long_copy_task(); }},
      {"babi-1", [&] { return detail::babi_task(1, data + "/babi"); }},
      {"babi-2", [&] { return detail::babi_task(2, data + "/babi"); }},
      {"babi-3", [&] { return detail::babi_task(3, data + "/babi"); }},
  };
  const auto found = tasks.find(name);
  if (found == tasks.end()) throw mat::ValueError("make_task: name is " + name + ", expected one of task_names()");
  Task task = found->second();
  task.name = name;
  return task;
}

}  // namespace bench
