#include "support/catch.hpp"
#include "support/gradients.hpp"

#include <mat/memory/delta_cache.hpp>
#include <mat/memory/memory_tokens.hpp>
#include <mat/memory/no_memory.hpp>
#include <mat/memory/recurrence.hpp>
#include <mat/memory/segment_cache.hpp>
#include <mat/models/language_model.hpp>

namespace recurrence_test {

using namespace mat;
using mat::test::parameter_gradient_error;
using mat::test::random_tensor;

namespace {

using Tokens = LanguageModel<double, MemoryTokens<double>>;
using Cached = LanguageModel<double, SegmentCache<double>>;

/// A story of several segments for a batch of sequences: some segments leave a sequence out.
struct Story {
  std::vector<Sequences> sequences;
  std::vector<Vector<Index>> tokens;
  std::vector<Matrix<double>> dlogits;

  Story(const std::vector<std::vector<Index>>& lengths, Index vocabulary, std::uint64_t seed) {
    for (const auto& of_segment : lengths) {
      sequences.emplace_back(of_segment);
      const Index count = sequences.back().rows();
      Vector<Index> ids({count});
      for (Index i = 0; i < count; ++i)
        ids(i) = Random(seed, sequences.size()).below(static_cast<std::uint64_t>(i), vocabulary);
      tokens.push_back(ids);
      dlogits.push_back(random_tensor<double, 2>({count, vocabulary}, seed + 100 + sequences.size()));
    }
  }
  [[nodiscard]] Index count() const { return static_cast<Index>(tokens.size()); }
};

template <class Model>
[[nodiscard]] typename Model::Config small_config() {
  typename Model::Config config;
  config.vocabulary = 5;
  config.decoder.encoder.layer.d_model = 4;
  config.decoder.encoder.layer.nhead = 2;
  config.decoder.encoder.layer.dim_feedforward = 5;
  config.decoder.encoder.layer.activation = Activation::gelu;
  config.decoder.encoder.layer.norm_first = true;
  config.decoder.encoder.layer.attention.rotary.emplace();
  config.decoder.encoder.num_layers = 2;
  config.decoder.encoder.final_norm = true;
  config.initial_scale = 0.5;
  return config;
}

/// The sum of <logits, dlogits> over all segments; only `last` counts if it is not negative.
template <class Model>
double story_loss(const Model& model, const Story& story, Index last = -1) {
  typename Model::State state, next;
  typename Model::Cache cache;
  model.initial(story.sequences[0].count(), state);
  double loss = 0;
  for (Index i = 0; i < story.count(); ++i) {
    const auto at = static_cast<std::size_t>(i);
    const auto y = model.forward({story.tokens[at], &story.sequences[at]}, state, &next, {}, cache);
    if (last < 0 || i == last) loss += test::inner_product(y, story.dlogits[at]);
    std::swap(state, next);
  }
  return loss;
}

template <class Model>
typename Model::Parameters story_gradient(const Model& model, const Story& story,
                                          const typename Recurrence<Model>::Config& config, Index last = -1,
                                          const typename Recurrence<Model>::Start& start = {}) {
  auto grads = zeros_like(model.parameters());
  typename Recurrence<Model>::Cache cache;
  Matrix<double> none;
  Recurrence<Model>(config).backward(
      model, story.count(),
      [&](Index i) {
        const auto at = static_cast<std::size_t>(i);
        return typename Model::Segment{story.tokens[at], &story.sequences[at]};
      },
      start,
      [&](Index i, ConstMatrixView<double> y) -> ConstMatrixView<double> {
        if (last < 0 || i == last) return story.dlogits[static_cast<std::size_t>(i)];
        none.resize(y.shape());
        none.fill(0);
        return none;
      },
      {}, cache, grads);
  return grads;
}

template <class P>
[[nodiscard]] bool same_bits(const P& a, const P& b) {
  bool same = true;
  for_each_parameter([&](const ParameterName&, const auto& x, const auto& y) { same = same && x == y; }, a, b);
  return same;
}

const std::vector<std::vector<Index>> kRagged{{3, 1, 2}, {2, 0, 3}, {1, 2, 0}, {2, 2, 2}};

}  // namespace

TEST_CASE("P7: with any depth of segments the gradient of all parameters agrees with central differences", "[memory]") {
  const Story story(kRagged, 5, 11);
  std::string name;
  SECTION("memory tokens") {
    auto config = small_config<Tokens>();
    config.decoder.memory.count = 2;
    config.decoder.memory.write_embedding = config.decoder.memory.gated = true;
    config.decoder.memory.initial_scale = 0.5;
    Tokens model(config, Random(3));
    const auto grads = story_gradient(model, story, {});
    const auto loss = [&] { return story_loss(model, story); };
    CHECK(parameter_gradient_error(loss, model.parameters(), grads, name) < 1e-6);
  }
  SECTION("a segment cache through which the gradient flows") {
    auto config = small_config<Cached>();
    config.decoder.memory.length = 3;
    config.decoder.memory.gradient = StateGradient::through;
    Cached model(config, Random(3));
    const auto grads = story_gradient(model, story, {});
    const auto loss = [&] { return story_loss(model, story); };
    CHECK(parameter_gradient_error(loss, model.parameters(), grads, name) < 1e-6);
  }
  SECTION("a delta cache with fewer key features than places") {
    using Model = LanguageModel<double, DeltaCache<double>>;
    auto config = small_config<Model>();
    config.decoder.memory.length = 3;
    config.decoder.memory.key_dim = 2;
    config.decoder.memory.initial_beta = 0.7;
    Model model(config, Random(3));
    const auto grads = story_gradient(model, story, {});
    const auto loss = [&] { return story_loss(model, story); };
    CHECK(parameter_gradient_error(loss, model.parameters(), grads, name) < 1e-6);
  }
  SECTION("no memory, tied") {
    auto config = small_config<LanguageModel<double, NoMemory<double>>>();
    config.tied = true;
    LanguageModel<double, NoMemory<double>> model(config, Random(3));
    const auto grads = story_gradient(model, story, {});
    const auto loss = [&] { return story_loss(model, story); };
    CHECK(parameter_gradient_error(loss, model.parameters(), grads, name) < 1e-6);
  }
}

TEST_CASE("P7: beyond the depth the gradient is exactly 0", "[memory]") {
  // Token 4 occurs in the first segment only, and the loss is that of the last: its embedding learns through the
  // memory or not at all.
  Story story({{2, 2}, {2, 2}, {2, 2}, {2, 2}}, 5, 5);
  for (auto& ids : story.tokens) {
    for (Index i = 0; i < ids.size(); ++i) ids(i) %= 4;
  }
  story.tokens[0](1) = story.tokens[0](3) = 4;
  auto config = small_config<Tokens>();
  config.decoder.memory.initial_scale = 0.5;
  const Tokens model(config, Random(3));
  for (const Index depth : {1, 2, 3}) {
    const auto grads = story_gradient(model, story, {depth, false}, 3);
    for (Index i = 0; i < 4; ++i) CHECK(grads.embedding.parameters().weight(4, i) == 0);
    // Depth 3 is a window of three segments and one of a single one, whose start is not learned from.
    for (Index i = 0; i < 4; ++i) CHECK(grads.decoder.parameters().memories[0].parameters().memory(0, i) == 0);
  }
  for (const Index depth : {0, 4, 9}) {
    const auto grads = story_gradient(model, story, {depth, false}, 3);
    for (Index i = 0; i < 4; ++i) CHECK(grads.embedding.parameters().weight(4, i) != 0);
    for (Index i = 0; i < 4; ++i) CHECK(grads.decoder.parameters().memories[0].parameters().memory(0, i) != 0);
  }
}

TEST_CASE("computing activations again gives the bits of keeping them", "[memory]") {
  const Story story(kRagged, 5, 11);
  const Tokens model(small_config<Tokens>(), Random(3));
  for (const Index depth : {0, 1, 2, 3}) {
    CHECK(same_bits(story_gradient(model, story, {depth, false}), story_gradient(model, story, {depth, true})));
  }
}

TEST_CASE("a window that starts from a state of the caller does not learn the first state", "[memory]") {
  const Story story(kRagged, 5, 11);
  const Tokens model(small_config<Tokens>(), Random(3));
  Tokens::State start;
  model.initial(3, start);
  const auto grads = story_gradient(model, story, {}, -1, {&start, nullptr});
  for (Index i = 0; i < 4; ++i) CHECK(grads.decoder.parameters().memories[0].parameters().memory(0, i) == 0);
  const auto learned = story_gradient(model, story, {});
  CHECK(grads.embedding.parameters().weight == learned.embedding.parameters().weight);
}

TEST_CASE("only the sequences of a batch that begin anew learn the first state", "[memory]") {
  const Story story(kRagged, 5, 11);
  const Tokens model(small_config<Tokens>(), Random(3));
  Tokens::State start, initial;
  model.initial(3, initial);
  start = initial;
  for (Index i = 0; i < start.memories[0].rows.size(); ++i) start.memories[0].rows.data()[i] += 0.5;
  const std::vector<bool> none{false, false, false}, second{false, true, false}, all{true, true, true};
  const auto memory_of = [](const Tokens::Parameters& grads) {
    return grads.decoder.parameters().memories[0].parameters().memory;
  };
  CHECK(same_bits(story_gradient(model, story, {}, -1, {&start, &all}), story_gradient(model, story, {})));
  CHECK(memory_of(story_gradient(model, story, {}, -1, {&start, &none})) == Matrix<double>({4, 4}));
  // What the second sequence adds is what it adds alone.
  Story alone({{1}, {0}, {2}, {2}}, 5, 11);
  for (std::size_t i = 0; i < 4; ++i) {
    for (Index t = 0; t < alone.tokens[i].size(); ++t) {
      const Index row = story.sequences[i].begin(1) + t;
      alone.tokens[i](t) = story.tokens[i](row);
      std::copy_n(story.dlogits[i].view().row(row), 5, alone.dlogits[i].view().row(t));
    }
  }
  CHECK(memory_of(story_gradient(model, story, {}, -1, {&start, &second})) ==
        memory_of(story_gradient(model, alone, {})));
  const std::vector<bool> two{true, true};
  CHECK_THROWS_WITH(story_gradient(model, story, {}, -1, {&start, &two}),
                    "Recurrence::backward: fresh is 2, expected one for each sequence, 3");
}

TEST_CASE("the last state of a recurrence is that of running segment by segment", "[memory]") {
  const Story story(kRagged, 5, 11);
  const Tokens model(small_config<Tokens>(), Random(3));
  Tokens::State state, next;
  Tokens::Cache cache;
  model.initial(3, state);
  for (std::size_t i = 0; i < 4; ++i) {
    (void)model.forward({story.tokens[i], &story.sequences[i]}, state, &next, {}, cache);
    std::swap(state, next);
  }
  for (const Index depth : {0, 1, 3}) {
    Recurrence<Tokens>::Cache recurrence_cache;
    auto grads = zeros_like(model.parameters());
    const auto& last =
        Recurrence<Tokens>({depth, false})
            .backward(
                model, 4,
                [&](Index i) {
                  return Tokens::Segment{story.tokens[static_cast<std::size_t>(i)],
                                         &story.sequences[static_cast<std::size_t>(i)]};
                },
                {}, [&](Index i, ConstMatrixView<double>) { return story.dlogits[static_cast<std::size_t>(i)].view(); },
                {}, recurrence_cache, grads);
    CHECK(same_state(last, state));
  }
}

TEST_CASE("a recurrence may start from the state that it returned, with more segments than before", "[memory]") {
  const Story story({{2, 1}, {1, 2}, {2, 2}, {1, 1}, {2, 1}, {1, 2}, {2, 2}}, 5, 3);
  const Cached model(small_config<Cached>(), Random(1));
  auto grads = zeros_like(model.parameters());
  Recurrence<Cached>::Cache cache;
  Recurrence<Cached>::Start start;
  Index done = 0;
  for (const Index count : {1, 2, 4}) {
    start.state = &Recurrence<Cached>({}).backward(
        model, count,
        [&](Index i) {
          const auto at = static_cast<std::size_t>(done + i);
          return Cached::Segment{story.tokens[at], &story.sequences[at]};
        },
        start,
        [&](Index i, ConstMatrixView<double>) -> ConstMatrixView<double> {
          return story.dlogits[static_cast<std::size_t>(done + i)];
        },
        {}, cache, grads);
    done += count;
  }
  Cached::State state, next;
  Cached::Cache one;
  model.initial(2, state);
  for (std::size_t i = 0; i < story.tokens.size(); ++i) {
    (void)model.forward({story.tokens[i], &story.sequences[i]}, state, &next, {}, one);
    std::swap(state, next);
  }
  CHECK(same_state(*start.state, state));
}

TEST_CASE("a recurrence without segments has the first state and no gradient", "[memory]") {
  const Story story({}, 5, 11);
  const Tokens model(small_config<Tokens>(), Random(3));
  const auto grads = story_gradient(model, story, {});
  CHECK(same_bits(grads, zeros_like(model.parameters())));
}

TEST_CASE("a recurrence says what depth it takes", "[memory]") {
  CHECK_THROWS_WITH(Recurrence<Tokens>({-1, false}), "Recurrence: depth is -1, expected at least 0");
}

}  // namespace recurrence_test
