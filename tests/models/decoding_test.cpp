#include "models/decoding_reference.hpp"

namespace decoding_test {

TEMPLATE_TEST_CASE("a beam search finds what its definition finds, sentence by sentence read anew", "[models]", float,
                   double) {
  using T = TestType;
  for (const auto kind : {TranslatorKind::vanilla, TranslatorKind::mat_prior, TranslatorKind::mat_literal}) {
    const auto model = model_of<T>(kind);
    const PackedTranslator<T> packed(model);
    const auto sources = sources_of(7);
    for (const Index beam : {1, 2, 5, 20}) {
      auto config = config_of(beam);
      config.n_best = std::min<Index>(beam, 3);
      const auto found = translate(packed, sources, config);
      REQUIRE(found.size() == 7);
      for (std::size_t b = 0; b < 7; ++b) {
        if (sources[b].empty()) continue;
        const auto expected = reference(model, sources[b], config);
        REQUIRE(found[b].size() == expected.size());
        for (std::size_t i = 0; i < expected.size(); ++i) {
          CHECK(found[b][i].tokens == expected[i].tokens);
          CHECK(found[b][i].finished == expected[i].finished);
          CHECK(std::abs(found[b][i].score - expected[i].score) < 1e-12);
        }
      }
    }
  }
}

TEMPLATE_TEST_CASE("a beam of 1 is greedy", "[models]", float, double) {
  using T = TestType;
  for (const auto kind : {TranslatorKind::vanilla, TranslatorKind::mat_prior, TranslatorKind::mat_literal}) {
    const auto model = model_of<T>(kind);
    const auto sources = sources_of(12);
    const auto config = config_of(1);
    const auto found = translate(PackedTranslator<T>(model), sources, config);
    for (std::size_t b = 0; b < sources.size(); ++b) {
      if (!sources[b].empty()) CHECK(found[b].front().tokens == greedy(model, sources[b], config));
    }
  }
}

TEMPLATE_TEST_CASE("the batch does not change a translation in any bit", "[models]", float, double) {
  using T = TestType;
  const PackedTranslator<T> packed(model_of<T>(TranslatorKind::mat_prior));
  const auto sources = sources_of(12);
  auto config = config_of(4);
  config.n_best = 4;
  const auto together = translate(packed, sources, config);
  const std::vector<Tokens> backwards(sources.rbegin(), sources.rend());
  const auto turned = translate(packed, backwards, config);
  const auto drawn = draw_translations<T>(packed, sources, config, {{0.8, 5, 0.9}, Random(3)});
  for (std::size_t b = 0; b < sources.size(); ++b) {
    const auto alone = translate(packed, {sources[b]}, config).front();
    const auto drawn_alone = draw_translations<T>(packed, {sources[b]}, config, {{0.8, 5, 0.9}, Random(3)}).front();
    REQUIRE(alone.size() == together[b].size());
    REQUIRE(drawn_alone.size() == drawn[b].size());
    for (std::size_t i = 0; i < alone.size(); ++i) {
      check_same(alone[i], together[b][i]);
      check_same(alone[i], turned[sources.size() - 1 - b][i]);
      check_same(drawn_alone[i], drawn[b][i]);
    }
  }
}

TEST_CASE("a cache that other batches used changes no translation, and a second time nothing is allocated for it",
          "[models]") {
  const PackedTranslator<float> packed(model_of<float>(TranslatorKind::mat_prior));
  const auto sources = sources_of(12);
  DecodingCache<float> cache;
  for (const auto& [count, beam] : std::vector<std::pair<int, Index>>{{12, 4}, {2, 1}, {5, 3}, {12, 2}}) {
    CAPTURE(count, beam);
    const std::vector<Tokens> some(sources.begin(), sources.begin() + count);
    const auto config = config_of(beam);
    const auto fresh = translate(packed, some, config);
    const auto kept = translate(packed, some, config, {}, cache);
    REQUIRE(kept.size() == fresh.size());
    for (std::size_t b = 0; b < kept.size(); ++b) check_same(kept[b].front(), fresh[b].front());
  }
  const float* keys = cache.earlier.keys(0).panels(0, 0, 0);
  const float* values = cache.earlier.values(0).data();
  (void)translate(packed, sources, config_of(4), {}, cache);
  CHECK(cache.earlier.keys(0).panels(0, 0, 0) == keys);
  CHECK(cache.earlier.values(0).data() == values);
}

TEST_CASE("an empty source gives an empty translation", "[models]") {
  const PackedTranslator<float> packed(model_of<float>(TranslatorKind::vanilla));
  auto config = config_of(4);
  config.n_best = 3;
  for (const auto& found : {translate(packed, {{}, {}}, config), translate(packed, {{3}, {}}, config, {{2}, {5}}),
                            draw_translations<float>(packed, {{4, 3}, {}}, config, {})}) {
    REQUIRE(found.size() == 2);
    REQUIRE(found[1].size() == 1);
    check_same(found[1][0], Hypothesis());
  }
  CHECK(translate(packed, {}, config).empty());
}

TEST_CASE("a model whose scores are no numbers gives an empty translation that is not finished", "[models]") {
  auto model = model_of<float>(TranslatorKind::vanilla);
  model.parameters().output_bias.fill(NAN);
  const PackedTranslator<float> packed(model);
  const auto found = translate(packed, {{3, 4}, {}}, config_of(2));
  for (const float spoils : {NAN, INFINITY}) {  // one is enough
    auto other = model_of<float>(TranslatorKind::vanilla);
    other.parameters().output_bias(5) = spoils;
    const auto nothing = translate(PackedTranslator<float>(other), {{3, 4}}, config_of(2));
    CHECK(nothing[0].size() == 1);
    CHECK(nothing[0][0].tokens.empty());
    CHECK(!nothing[0][0].finished);
  }
  CHECK(found[0].size() == 1);
  CHECK(found[0][0].tokens.empty());
  CHECK(!found[0][0].finished);
  CHECK(found[1][0].finished);
  CHECK_THROWS_AS(draw_translations<float>(packed, {{3}}, config_of(2), {}), ValueError);
}

TEST_CASE("without early stopping nothing that scores better is missed", "[models]") {
  const auto model = model_of<double>(TranslatorKind::vanilla);
  const PackedTranslator<double> packed(model);
  const auto sources = sources_of(10);
  for (const double penalty : {0.0, 1.0}) {
    auto config = config_of(6);
    config.length_penalty = penalty;
    const auto early = translate(packed, sources, config);
    config.early_stopping = false;
    const auto late = translate(packed, sources, config);
    for (std::size_t b = 0; b < sources.size(); ++b) CHECK(late[b].front().score >= early[b].front().score);
  }
}

TEST_CASE("a greater length penalty makes translations longer", "[models]") {
  const PackedTranslator<double> packed(model_of<double>(TranslatorKind::vanilla));
  const auto sources = sources_of(10);
  std::size_t short_tokens = 0, long_tokens = 0;
  for (const double penalty : {0.0, 3.0}) {
    auto config = config_of(8);
    config.length_penalty = penalty;
    for (const auto& found : translate(packed, sources, config)) {
      (penalty == 0 ? short_tokens : long_tokens) += found.front().tokens.size();
    }
  }
  CHECK(short_tokens < long_tokens);
}

TEST_CASE("a translation begins with its prefix and goes on as if it had been found", "[models]") {
  const auto model = model_of<float>(TranslatorKind::mat_prior);
  const PackedTranslator<float> packed(model);
  const auto sources = sources_of(8);
  auto config = config_of(1);
  const auto free = translate(packed, sources, config);
  std::vector<Tokens> prefixes;
  for (const auto& found : free) {
    const Tokens& tokens = found.front().tokens;
    prefixes.emplace_back(tokens.begin(), tokens.begin() + static_cast<std::ptrdiff_t>(tokens.size() / 2));
  }
  config.max_length_extra = 20;  // counts from the prefix on
  const auto continued = translate(packed, sources, config, prefixes);
  for (std::size_t b = 0; b < sources.size(); ++b) {
    const Tokens &expected = free[b].front().tokens, &tokens = continued[b].front().tokens;
    if (free[b].front().finished) CHECK(tokens == expected);
    CHECK(std::equal(prefixes[b].begin(), prefixes[b].end(), tokens.begin()));
  }
  prefixes.assign(sources.size(), {5, 5, 6});
  prefixes[3].clear();
  for (const Index beam : {1, 4}) {
    config.beam_size = beam;
    const auto forced = translate(packed, sources, config, prefixes);
    CHECK(forced[0].front().tokens.size() >= 3);
    CHECK(Tokens(forced[0].front().tokens.begin(), forced[0].front().tokens.begin() + 3) == Tokens{5, 5, 6});
    CHECK(forced[3].front().tokens == translate(packed, {sources[3]}, config).front().front().tokens);
  }
}

TEST_CASE("no translation is longer than it may be, and none has a forbidden token", "[models]") {
  const PackedTranslator<float> packed(model_of<float>(TranslatorKind::vanilla));
  const auto sources = sources_of(12);
  auto config = config_of(3);
  config.n_best = 3;
  config.forbidden = {kBegin, 4, 5};
  config.max_length_ratio = 0.5;
  config.max_length_extra = 2;
  config.max_length = 4;
  for (const auto& list : {translate(packed, sources, config), draw_translations<float>(packed, sources, config, {})}) {
    for (std::size_t b = 0; b < sources.size(); ++b) {
      const auto most = std::min<std::size_t>(4, sources[b].size() / 2 + 2);
      for (const Hypothesis& hypothesis : list[b]) {
        CHECK(hypothesis.tokens.size() <= most);
        if (!hypothesis.finished) CHECK(hypothesis.tokens.size() == most);
        for (const Index token : hypothesis.tokens) CHECK((token != kBegin && token != 4 && token != 5));
      }
    }
  }
}

TEST_CASE("draws follow the model: the temperature 0 is greedy, and each draw is another", "[models]") {
  const auto model = model_of<double>(TranslatorKind::vanilla);
  const PackedTranslator<double> packed(model);
  const auto sources = sources_of(6);
  auto config = config_of(1);
  const auto best = translate(packed, sources, config);
  config.n_best = 5;
  const auto cold = draw_translations<double>(packed, sources, config, {{0, 0, 1}, Random(1)}),
             warm = draw_translations<double>(packed, sources, config, {{1, 0, 1}, Random(1)}),
             again = draw_translations<double>(packed, sources, config, {{1, 0, 1}, Random(1)}),
             other = draw_translations<double>(packed, sources, config, {{1, 0, 1}, Random(2)});
  bool differ = false, seeds_differ = false;
  for (std::size_t b = 0; b < sources.size(); ++b) {
    if (sources[b].empty()) continue;
    for (std::size_t i = 0; i < 5; ++i) {
      CHECK(cold[b][i].tokens == best[b].front().tokens);
      check_same(warm[b][i], again[b][i]);
      differ = differ || warm[b][i].tokens != warm[b][0].tokens;
      seeds_differ = seeds_differ || warm[b][i].tokens != other[b][i].tokens;
      double log_p = 0;
      Tokens so_far;
      for (const Index token : warm[b][i].tokens) {
        log_p += log_probabilities(model, sources[b], so_far)[static_cast<std::size_t>(token)];
        so_far.push_back(token);
      }
      if (warm[b][i].finished) log_p += log_probabilities(model, sources[b], so_far)[kEnd];
      CHECK(std::abs(log_p - warm[b][i].log_probability) < 1e-12);
    }
  }
  CHECK(differ);
  CHECK(seeds_differ);
}

TEST_CASE("decoding says what does not fit", "[models]") {
  const PackedTranslator<float> packed(model_of<float>(TranslatorKind::vanilla));
  const auto run = [&](const DecodingConfig& config) { return translate(packed, {{3}}, config); };
  auto config = config_of(0);
  CHECK_THROWS_WITH(run(config), "translate: beam_size is 0, expected at least 1");
  config = config_of(1);
  config.end_token = kWords;
  CHECK_THROWS_WITH(run(config), "translate: end_token is 13, expected in the vocabulary, below 13");
  config.end_token = kBegin;
  CHECK_THROWS_WITH(run(config), "translate: a forbidden token is 0, expected not the end_token");
  config = config_of(1);
  config.n_best = 2;
  CHECK_THROWS_WITH(run(config), "translate: n_best is 2, expected at most beam_size, 1");
  config.n_best = 1;
  CHECK_THROWS_WITH(translate(packed, {{3}}, config, {{2}, {2}}),
                    "translate: prefixes is 2, expected none or as many as sources, 1");
  CHECK_THROWS_WITH(translate(packed, {{3}}, config, {{2, 99}}), "translate: a prefix[1] is 99, expected in [0, 13)");
  CHECK_THROWS_WITH(translate(packed, {{3}, {4, 13}}, config),
                    "PackedTranslator::read: source[2] is 13, expected in [0, 13)");
  CHECK_THROWS_WITH(draw_translations<float>(packed, {{3}}, config, {{1, 0, 0}, Random(1)}),
                    "draw_translations: top_p is 0, expected in (0, 1]");
}

TEST_CASE("the longest translation is bounded, however large the ratio", "[models]") {
  DecodingConfig config;
  config.max_length_ratio = 2;
  config.max_length_extra = 10;
  config.max_length = 256;
  CHECK(most_tokens(config, 7) == 24);
  CHECK(most_tokens(config, 1000) == 256);
  config.max_length_ratio = 1e300;
  CHECK(most_tokens(config, 7) == 256);
  CHECK(most_tokens(config, 0) == 10);
  config.max_length = Index{1} << 40;
  CHECK_THROWS_WITH(check_decoding("f", config, 9),
                    "f: max_length is 1099511627776, expected at least 1 and at most 2147483648");
  config.max_length_ratio = INFINITY;
  CHECK_THROWS_AS(check_decoding("f", config, 9), ValueError);
}

}  // namespace decoding_test
