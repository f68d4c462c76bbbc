#include "support/catch.hpp"
#include "support/temporary_folder.hpp"

#include <bench/tasks/babi_world.hpp>
#include <cstdlib>
#include <filesystem>

namespace babi_test {

namespace {

using bench::BabiStories;
using bench::BabiWords;
using bench::BabiWorld;
using bench::Episode;
using bench::kNoTarget;
using bench::Segment;
using mat::Index;
using mat::Random;

void write(const std::string& path, const char* text) { std::ofstream(path) << text; }

constexpr const char* kStory =
    "1 Mary went to the garden.\n2 Mary took the milk.\n3 Mary moved to the hallway.\n4 John went to the office.\n"
    "5 Mary dropped the milk.\n6 Mary went to the office.\n7 Where was the milk before the hallway?\tgarden\t1 2 3\n";

/// kStory, as a reader reads it.
Episode read_story(BabiStories& reader) {
  const mat::test::TemporaryFolder folder;
  write(folder.path("story.txt"), kStory);
  return reader.read(folder.path("story.txt")).front();
}

/// What the question at the end of a segment asks of a world: bAbI 1 and 2 ask where somebody or something is.
Index answer(const BabiWorld& world, const BabiWords& words, const Segment& question) {
  const std::vector<Index>& tokens = question.tokens;
  if (tokens[1] == words.was) return world.place_before(tokens[3], tokens[6]);
  return world.place_of(tokens[tokens.size() - 2]);
}

/// Of the questions of a story, those that the world answers otherwise.
Index disagreements(const Episode& story, const BabiWords& words, Index& asked) {
  BabiWorld world(words);
  Index others = 0;
  for (const Segment& segment : story) {
    if (segment.is_question()) {
      ++asked;
      others += answer(world, words, segment) == segment.targets.back() ? 0 : 1;
    } else {
      world.follow(segment);
    }
  }
  return others;
}

TEST_CASE("bAbI stories are read one sentence per segment, a question asking at its mark") {
  const mat::test::TemporaryFolder folder;
  const std::string path = folder.path("stories.txt");
  write(path,
        "1 Mary went back to the garden.\n2 Where is Mary? \tgarden\t1\n1 John left.\n2 Where is John?|hall|1 \n");
  bench::BabiStories reader;
  const std::vector<Episode> stories = reader.read(path);
  REQUIRE(stories.size() == 2);
  REQUIRE(stories[0].size() == 2);
  const auto id = [&](const char* word) { return reader.id_of(word); };
  CHECK(stories[0][0].tokens ==
        std::vector<Index>{id("mary"), id("went"), id("back"), id("to"), id("the"), id("garden"), id(".")});
  CHECK(stories[0][0].targets == std::vector<Index>(7, kNoTarget));
  CHECK(stories[0][1].tokens == std::vector<Index>{id("where"), id("is"), id("mary"), id("?")});
  CHECK(stories[0][1].targets == std::vector<Index>{kNoTarget, kNoTarget, kNoTarget, id("garden")});
  CHECK(stories[1][1].targets.back() == id("hall"));
  const Index words = reader.vocabulary();
  CHECK(id("nobody") == words);

  const std::vector<std::vector<Index>> people{{id("mary"), id("john")}};
  bool exchanged = false;
  for (std::uint64_t seed = 0; seed < 10; ++seed) {
    const Episode story = bench::renamed(stories[0], people, Random(seed));
    CHECK(story[1].tokens[2] == story[0].tokens[0]);
    CHECK(story[1].targets == stories[0][1].targets);
    exchanged = exchanged || story[0].tokens[0] == id("john");
  }
  CHECK(exchanged);
}

TEST_CASE("bAbI files that are none are refused") {
  const mat::test::TemporaryFolder folder;
  const std::string path = folder.path("stories.txt");
  bench::BabiStories reader;
  CHECK_THROWS_WITH(reader.read(path), path + ": cannot be read");
  write(path, "1 A.\nB.\n");
  CHECK_THROWS_WITH(reader.read(path), path + ": line 2 is 'B.', expected a number and a sentence, 1 at first");
  write(path, "2 A.\n");
  CHECK_THROWS_WITH(reader.read(path), path + ": line 1 is '2 A.', expected a number and a sentence, 1 at first");
  write(path, "1 Who?\n");
  CHECK_THROWS_WITH(reader.read(path),
                    path + ": line 1 is '1 Who?', expected an answer between tabs after the question");
}

TEST_CASE("A bAbI world knows where people and things are and have been") {
  BabiStories reader;
  const Episode story = read_story(reader);
  const BabiWords words(reader);
  const auto id = [&](const char* word) { return reader.id_of(word); };
  BabiWorld world(words);
  CHECK(world.place_of(id("mary")) == -1);
  CHECK(world.place_before(id("milk"), id("hallway")) == -1);
  CHECK(world.ask_where(words.people, Random(1)).tokens.empty());
  CHECK(world.ask_before(Random(1)).tokens.empty());
  for (std::size_t i = 0; i + 1 < story.size(); ++i) world.follow(story[i]);
  CHECK(world.place_of(id("mary")) == id("office"));
  CHECK(world.place_of(id("milk")) == id("hallway"));  // where it was dropped
  CHECK(world.place_before(id("milk"), id("hallway")) == id("garden"));
  CHECK(world.place_before(id("milk"), id("garden")) == -1);
  CHECK(world.place_before(id("milk"), id("office")) == -1);
  const Segment where = world.ask_where(words.things, Random(1)), before = world.ask_before(Random(1));
  CHECK(where.tokens == std::vector<Index>{id("where"), id("is"), id("the"), id("milk"), id("?")});
  CHECK(where.targets == std::vector<Index>{kNoTarget, kNoTarget, kNoTarget, kNoTarget, id("hallway")});
  CHECK(before.tokens == story.back().tokens);  // there is nothing else to ask
  CHECK(before.targets == story.back().targets);
}

TEST_CASE("More is asked of a part of a bAbI story, and the story answers it") {
  BabiStories reader;
  const Episode story = read_story(reader);
  const BabiWords words(reader);
  Index asked = 0, before = 0;
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    for (const Index size : {2, 4, 100}) {
      const Episode part = bench::asked_more(story, 3, size, words, Random(seed));
      REQUIRE(disagreements(part, words, asked) == 0);
      Index sentences = 0;
      for (const Segment& segment : part) {
        sentences += segment.is_question() ? 0 : 1;
        before += segment.tokens[1] == words.was ? 1 : 0;
      }
      REQUIRE(sentences == std::min<Index>(size, 6));
    }
  }
  CHECK(asked > 150);
  CHECK(before > 20);
}

TEST_CASE("A bAbI world gives the answers of bAbI's own files") {
  const char* variable = std::getenv("MAT_DATA_DIR");
  const std::string data = variable != nullptr ? variable : MAT_SOURCE_DIR "/../shared/data";
  Index asked = 0, others = 0;
  for (const char* task : {"qa1_single-supporting-fact", "qa2_two-supporting-facts", "qa3_three-supporting-facts"}) {
    for (const char* part : {"_train.txt", "_test.txt"}) {
      const std::string path = data + "/babi/en/" + task + part;
      if (!std::filesystem::exists(path)) {
        WARN("not run: there is no " << path << "; set MAT_DATA_DIR");
        return;
      }
      BabiStories reader;
      const std::vector<Episode> stories = reader.read(path);
      const BabiWords words(reader);
      for (const Episode& story : stories) others += disagreements(story, words, asked);
    }
  }
  CHECK(asked == 6000);
  CHECK(others == 0);
}

}  // namespace

}  // namespace babi_test
