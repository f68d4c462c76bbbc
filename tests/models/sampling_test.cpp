#include "support/catch.hpp"
#include "support/gradients.hpp"

#include <mat/models/sampling.hpp>

namespace sampling_test {

using namespace mat;
using mat::test::random_tensor;

namespace {

/// How often each token is drawn in `count` draws.
std::vector<double> frequencies(ConstVectorView<double> logits, const SamplingConfig& config, Index count) {
  std::vector<double> found(static_cast<std::size_t>(logits.size()), 0.0);
  SamplingCache cache;
  for (Index i = 0; i < count; ++i) {
    const Index token = sample_token<double>(logits, config, Random(5), static_cast<std::uint64_t>(i), cache);
    found[static_cast<std::size_t>(token)] += 1.0 / static_cast<double>(count);
  }
  return found;
}

}  // namespace

TEST_CASE("tokens are drawn as often as the softmax says", "[models]") {
  const Vector<double> logits({4}, {std::log(0.1), std::log(0.4), std::log(0.3), std::log(0.2)});
  const std::vector<double> p{0.1, 0.4, 0.3, 0.2};
  const auto check = [&](const SamplingConfig& config, const std::vector<double>& expected) {
    const auto found = frequencies(logits, config, 20000);
    for (std::size_t i = 0; i < 4; ++i) {
      if (expected[i] == 0) CHECK(found[i] == 0);
      CHECK(std::abs(found[i] - expected[i]) < 0.015);
    }
  };
  SECTION("of all tokens") { check({}, p); }
  SECTION("sharper with a lower temperature") {
    double sum = 0;
    for (const double x : p) sum += x * x;
    check({0.5, 0, 1}, {p[0] * p[0] / sum, p[1] * p[1] / sum, p[2] * p[2] / sum, p[3] * p[3] / sum});
  }
  SECTION("among the k best") { check({1, 2, 1}, {0, 4.0 / 7, 3.0 / 7, 0}); }
  SECTION("among those that reach p") {
    check({1, 0, 0.65}, {0, 4.0 / 7, 3.0 / 7, 0});
    check({1, 0, 0.75}, {0, 4.0 / 9, 3.0 / 9, 2.0 / 9});
  }
  SECTION("among those of the k best that reach p of theirs") { check({1, 3, 0.7}, {0, 4.0 / 7, 3.0 / 7, 0}); }
}

TEST_CASE("at the temperature 0 the first of the highest scores is taken", "[models]") {
  const Vector<float> logits({5}, {1, 3, 3, -2, 0});
  for (std::uint64_t i = 0; i < 20; ++i) {
    CHECK(sample_token<float>(logits, {0, 0, 1}, Random(i), i) == 1);
    CHECK(sample_token<float>(logits, {1, 1, 1}, Random(i), i) == 1);
    CHECK(sample_token<float>(logits, {1, 0, 1e-9}, Random(i), i) == 1);
  }
}

TEST_CASE("what is forbidden is never drawn, and huge scores are no danger", "[models]") {
  constexpr float kNever = -std::numeric_limits<float>::infinity();
  const Vector<float> logits({4}, {kNever, 3e38F, kNever, 3e38F});
  bool first = false, second = false;
  for (std::uint64_t i = 0; i < 200; ++i) {
    for (const SamplingConfig& config : {SamplingConfig{}, SamplingConfig{1, 3, 1}, SamplingConfig{1, 0, 0.99}}) {
      const Index token = sample_token<float>(logits, config, Random(1), i);
      CHECK((token == 1 || token == 3));
      first = first || token == 1;
      second = second || token == 3;
    }
  }
  CHECK(first);
  CHECK(second);
}

TEST_CASE("a draw is a function of its arguments, whatever the cache was used for", "[models]") {
  const auto logits = random_tensor<double, 1>({50}, 3), others = random_tensor<double, 1>({70}, 4);
  const SamplingConfig config{0.8, 10, 0.9};
  SamplingCache cache;
  for (std::uint64_t i = 0; i < 50; ++i) {
    (void)sample_token<double>(others, {}, Random(9), i, cache);
    CHECK(sample_token<double>(logits, config, Random(2), i, cache) ==
          sample_token<double>(logits, config, Random(2), i));
  }
}

TEST_CASE("sampling says what is wrong", "[models]") {
  const Vector<float> logits({2}, {1, 2});
  const auto draw = [&](const SamplingConfig& config) { return sample_token<float>(logits, config, Random(1), 0); };
  CHECK_THROWS_WITH(draw({-1, 0, 1}), "sample_token: temperature is -1, expected at least 0");
  CHECK_THROWS_WITH(draw({1, -1, 1}), "sample_token: top_k is -1, expected at least 0");
  CHECK_THROWS_WITH(draw({1, 0, 1.5}), "sample_token: top_p is 1.5, expected in (0, 1]");
  CHECK_THROWS_WITH(sample_token<float>({}, {}, Random(1), 0), "sample_token: logits is 0, expected at least 1 token");
  const Vector<float> none({1}, {-std::numeric_limits<float>::infinity()});
  CHECK_THROWS_WITH(sample_token<float>(none, {}, Random(1), 0),
                    "sample_token: the highest logit is -inf, expected finite");
}

}  // namespace sampling_test
