#include "support/catch.hpp"

#include <mat/training/bleu.hpp>

namespace bleu_test {

using namespace mat;

namespace {

using Tokens = Bleu::Tokens;

bool near(double a, double b) { return std::abs(a - b) < 1e-12; }

BleuScore score_of(const Tokens& hypothesis, const std::vector<Tokens>& references, const BleuConfig& config = {}) {
  Bleu bleu(config);
  bleu.add(hypothesis, references);
  return bleu.score();
}

}  // namespace

TEST_CASE("Bleu: an equal translation scores 100, one without a common word 0", "[training]") {
  const Tokens text{"the", "cat", "sat", "on", "the", "mat"};
  CHECK(near(score_of(text, {text}).score, 100.0));
  CHECK(score_of({"a", "dog"}, {text}).score == 0.0);
  CHECK(score_of({}, {text}).score == 0.0);
  CHECK(Bleu().score().score == 0.0);
}

TEST_CASE("Bleu: a word counts as often as one reference has it", "[training]") {
  // The example of the paper: "the" seven times, which the two references have twice and once.
  const BleuScore score = score_of(
      Tokens(7, "the"), {{"the", "cat", "is", "on", "the", "mat"}, {"there", "is", "a", "cat", "on", "the", "mat"}});
  CHECK(score.counts == std::vector<double>{2, 0, 0, 0});
  CHECK(score.totals == std::vector<double>{7, 6, 5, 4});
  CHECK(near(score.precisions[0], 200.0 / 7.0));
  CHECK(score.reference_length == 7);
}

TEST_CASE("Bleu: short translations pay the brevity penalty, against the closest reference", "[training]") {
  const BleuScore score = score_of({"a", "b", "c", "d"}, {{"a", "b", "c", "d", "e"}, {"a", "b", "c", "d", "e", "f"}});
  CHECK(score.reference_length == 5);
  CHECK(near(score.brevity_penalty, std::exp(-0.25)));
  CHECK(near(score.score, 100.0 * std::exp(-0.25)));
  CHECK(score_of({"a", "b"}, {{"a", "b", "c"}, {"a"}}).reference_length == 1);  // of two as close, the shorter
}

TEST_CASE("Bleu: what stands in for a precision of 0", "[training]") {
  const Tokens hypothesis{"a", "b", "x", "c", "d"}, reference{"a", "b", "y", "c", "d"};
  BleuConfig config;
  CHECK(near(score_of(hypothesis, {reference}).precisions[2], 100.0 / 6.0));
  CHECK(near(score_of(hypothesis, {reference}).precisions[3], 100.0 / 8.0));
  config.smoothing = BleuSmoothing::none;
  CHECK(score_of(hypothesis, {reference}, config).score == 0.0);
  config.smoothing = BleuSmoothing::floor;
  CHECK(near(score_of(hypothesis, {reference}, config).precisions[3], 10.0 / 2.0));
  config.smooth_value = 0.5;
  CHECK(near(score_of(hypothesis, {reference}, config).precisions[3], 50.0 / 2.0));
  config.smoothing = BleuSmoothing::add_k;
  config.smooth_value.reset();
  const BleuScore score = score_of(hypothesis, {reference}, config);
  CHECK(score.counts == std::vector<double>{4, 3, 1, 1});
  CHECK(score.totals == std::vector<double>{5, 5, 4, 3});
}

TEST_CASE("Bleu: the effective order leaves out what no translation is long enough for", "[training]") {
  BleuConfig config;
  CHECK(score_of({"a", "b"}, {{"a", "b"}}, config).score == 0.0);
  config.effective_order = true;
  CHECK(near(score_of({"a", "b"}, {{"a", "b"}}, config).score, 100.0));
}

TEST_CASE("Bleu: the score is that of the corpus, not a mean over sentences", "[training]") {
  BleuConfig config;
  config.max_order = 1;
  Bleu bleu(config);
  bleu.add({"a"}, Tokens{"a"});
  bleu.add({"x", "y", "z"}, Tokens{"a", "b", "c"});
  CHECK(near(bleu.score().score, 25.0));
}

TEST_CASE("Bleu refuses settings out of range and sentences without a reference", "[training]") {
  BleuConfig config;
  config.max_order = 0;
  CHECK_THROWS_WITH(Bleu(config), "Bleu: max_order is 0, expected at least 1");
  config.max_order = 4;
  config.smooth_value = -1.0;
  CHECK_THROWS_WITH(Bleu(config), "Bleu: smooth_value is -1, expected at least 0");
  Bleu bleu;
  CHECK_THROWS_WITH(bleu.add({"a"}, std::vector<Tokens>()),
                    "Bleu::add: the number of references is 0, expected at least 1");
}

}  // namespace bleu_test
