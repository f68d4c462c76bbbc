#include "support/catch.hpp"

#include <examples/support/recall_story.hpp>
#include <set>

namespace recall_story_test {

using namespace example;
using mat::Random;

namespace {

RecallStoryConfig config_of(mat::Index pages, mat::Index page_tokens, mat::Index things) {
  RecallStoryConfig config;
  config.pages = pages;
  config.page_tokens = page_tokens;
  config.things = things;
  return config;
}

}  // namespace

TEST_CASE("Stories fill their pages with whole sentences, whatever the length of a page", "[examples]") {
  for (const mat::Index page_tokens : {7, 8, 9, 10, 16, 24}) {
    const RecallStoryteller teller(config_of(20, page_tokens, 10));
    const mat::Index stop = teller.words().id("."), question = teller.words().id("?");
    for (std::uint64_t seed = 0; seed < 20; ++seed) {
      const RecallStory story = teller.tell(Random(seed));
      REQUIRE(story.pages.size() == 20);
      for (const bench::Segment& page : story.pages) {
        CHECK(static_cast<mat::Index>(page.tokens.size()) == page_tokens);
        CHECK((page.tokens.back() == stop || page.tokens.back() == question));
      }
    }
  }
}

TEST_CASE("Each question of a story has the place that was told last, and says where and whether it was overwritten",
          "[examples]") {
  const RecallStoryteller teller(config_of(40, 16, 6));
  const RecallWords& words = teller.words();
  std::set<mat::Index> places;
  for (const std::string& place : RecallWords::places()) places.insert(words.id(place));
  bool any_overwritten = false, any_not = false;
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    const RecallStory story = teller.tell(Random(seed));
    REQUIRE(!story.questions.empty());
    mat::Index targets = 0;
    for (const bench::Segment& page : story.pages) {
      for (const mat::Index target : page.targets) targets += target != bench::kNoTarget ? 1 : 0;
    }
    CHECK(targets == static_cast<mat::Index>(story.questions.size()));
    for (const RecallStory::Question& question : story.questions) {
      const auto& page = story.pages[static_cast<std::size_t>(question.page)];
      const auto at = static_cast<std::size_t>(question.token);
      REQUIRE(page.tokens[at] == words.id("?"));
      CHECK(page.targets[at] == question.answer);
      // Read again from the start: "<color> <noun> <place>" tells.
      mat::Index told = 0, place = -1, fact_page = -1, fact_token = -1;
      for (mat::Index p = 0; p <= question.page; ++p) {
        const auto& tokens = story.pages[static_cast<std::size_t>(p)].tokens;
        for (std::size_t t = 2; t < (p < question.page ? tokens.size() : at); ++t) {
          if (places.count(tokens[t]) == 0 || tokens[t - 1] != page.tokens[at - 1]) continue;
          CHECK(tokens[t - 2] == page.tokens[at - 2]);  // a noun has one colour
          ++told, place = tokens[t], fact_page = p, fact_token = static_cast<mat::Index>(t);
        }
      }
      CHECK(place == question.answer);
      CHECK(fact_page == question.fact_page);
      CHECK(fact_token == question.fact_token);
      CHECK((told > 1) == question.overwritten);
      (question.overwritten ? any_overwritten : any_not) = true;
    }
  }
  CHECK(any_overwritten);
  CHECK(any_not);
}

TEST_CASE("A story with facts first tells in its first half and asks in its second, of what was told long before",
          "[examples]") {
  RecallStoryConfig config = config_of(8, 9, 10);
  config.facts = 1;
  config.questions = 0;
  config.order = RecallOrder::facts_first;
  const RecallStoryteller teller(config);
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    const RecallStory story = teller.tell(Random(seed));
    REQUIRE(!story.questions.empty());
    for (const RecallStory::Question& question : story.questions) {
      CHECK(question.page >= 4);
      CHECK(question.fact_page < 4);
    }
  }
}

TEST_CASE("A story is a function of its generator", "[examples]") {
  const RecallStoryteller teller(config_of(10, 9, 10));
  const auto tokens = [&](std::uint64_t seed) {
    std::vector<mat::Index> all;
    for (const bench::Segment& page : teller.tell(Random(seed)).pages) {
      all.insert(all.end(), page.tokens.begin(), page.tokens.end());
    }
    return all;
  };
  CHECK(tokens(3) == tokens(3));
  CHECK(tokens(3) != tokens(4));
}

TEST_CASE("RecallWords: ids and words belong to each other", "[examples]") {
  const RecallWords words;
  for (mat::Index id = 0; id < words.size(); ++id) CHECK(words.id(words.word(id)) == id);
  CHECK_THROWS_WITH(words.id("castle"), "RecallWords::id: word is 'castle', expected one of a story");
}

TEST_CASE("Stories that cannot be told are refused", "[examples]") {
  CHECK_THROWS_WITH(RecallStoryteller(config_of(0, 9, 10)), "RecallStoryteller: pages is 0, expected at least 1");
  CHECK_THROWS_WITH(RecallStoryteller(config_of(1, 6, 10)), "RecallStoryteller: page_tokens is 6, expected at least 7");
  CHECK_THROWS_WITH(RecallStoryteller(config_of(1, 9, 13)),
                    "RecallStoryteller: things is 13, expected at least 1 and at most 12");
}

}  // namespace recall_story_test
