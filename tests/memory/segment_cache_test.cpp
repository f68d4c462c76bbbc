#include "support/bits.hpp"
#include "support/catch.hpp"
#include "support/gradients.hpp"

#include <mat/blocks/encoder_layer.hpp>
#include <mat/memory/segment_cache.hpp>
#include <mat/training/adam.hpp>

namespace segment_cache_test {

using namespace mat;
using mat::test::gradient_error;
using mat::test::inner_product;
using mat::test::largest_difference;
using mat::test::parameter_gradient_error;
using mat::test::random_tensor;
using mat::test::same_bits;

namespace {

/// Causal layers, each with a cache of what went into it: a Transformer-XL, written out.
template <class T>
struct CachedLayers {
  using Layer = EncoderLayer<T>;
  using Memory = SegmentCache<T>;

  struct Segment {  // what one segment leaves for the backward
    std::vector<typename Layer::Cache> layers;
    std::vector<typename Memory::ReadCache> reads;
    std::vector<typename Memory::WriteCache> writes;
    std::vector<typename Memory::State> before;  // of each layer
    std::vector<Matrix<T>> inputs;               // of each layer
  };

  std::vector<Layer> layers;
  Memory memory;
  AttentionCall<T> call{AttentionMask<T>::causal(), {}};

  CachedLayers(const typename Layer::Config& config, std::size_t count, Index length,
               StateGradient gradient = StateGradient::detached)
      : memory({config.d_model, length, gradient}, Random(0)) {
    for (std::size_t i = 0; i < count; ++i) layers.emplace_back(config, Random(i + 1));
  }

  [[nodiscard]] std::vector<typename Memory::State> initial(Index batch) const {
    std::vector<typename Memory::State> states(layers.size());
    for (auto& state : states) memory.initial(batch, state);
    return states;
  }

  ConstMatrixView<T> forward(const Matrix<T>& x, const Sequences& sequences,
                             std::vector<typename Memory::State>& states, Segment& s) const {
    s.layers.resize(layers.size());
    s.reads.resize(layers.size());
    s.writes.resize(layers.size());
    s.inputs.assign(1, x);
    s.before = states;
    for (std::size_t i = 0; i < layers.size(); ++i) {
      const auto rows = memory.read(s.before[i], s.inputs[i], sequences, s.reads[i]);
      memory.write(s.before[i], s.inputs[i], sequences, states[i], s.writes[i]);
      s.inputs.emplace_back(
          layers[i].forward(s.inputs[i], sequences, {rows, &s.reads[i].sequences}, call, s.layers[i]));
    }
    return s.inputs.back();
  }

  /// The gradient of x; dstates becomes that of the states before the segment.
  Matrix<T> backward(const Matrix<T>& dy, Segment& s, std::vector<typename Memory::State>& dstates,
                     std::vector<typename Layer::Parameters>& grads) const {
    Matrix<T> d = dy;
    for (std::size_t i = layers.size(); i-- > 0;) {
      typename Memory::Parameters none;
      typename Memory::State dstate;
      zero_state_like(s.before[i], dstate);
      const auto layer = layers[i].backward_with_earlier(d, s.layers[i], grads[i]);
      const auto read = memory.read_backward(layer.dearlier, s.before[i], s.reads[i], dstate, none);
      const auto written = memory.write_backward(dstates[i], s.before[i], s.writes[i], dstate, none);
      Matrix<T> dx(layer.dx);
      add<T>(dx, read, dx);
      add<T>(dx, written, dx);
      d = dx;
      dstates[i] = dstate;
    }
    return d;
  }
};

template <class T>
typename EncoderLayer<T>::Config config_of(Index d_model, Index nhead) {
  typename EncoderLayer<T>::Config config;
  config.d_model = d_model;
  config.nhead = nhead;
  config.dim_feedforward = 5;
  config.activation = Activation::gelu;
  return config;
}

/// Row t of a whole sequence belongs to the segment [first, first + count).
template <class T>
Matrix<T> rows_of(const Matrix<T>& x, Index first, Index count) {
  return Matrix<T>(x.view().middle_rows(first, count));
}

const std::vector<std::vector<Index>> kSegments{{2, 3, 0}, {1, 0, 2}, {3, 1, 2}, {0, 2, 1}};

}  // namespace

TEST_CASE("a segment cache keeps the memory contract and learns nothing", "[memory]") {
  check_is_memory<float, SegmentCache<float>>();
  check_is_memory<double, SegmentCache<double>>();
  const SegmentCache<double> memory({3, 4}, Random(1));
  CHECK(parameter_count(memory.parameters()) == 0);
  auto grads = zeros_like(memory.parameters()), parameters = grads;
  Adam<SegmentCache<double>::Parameters> adam(parameters, {});
  adam.step(parameters, grads);
  SegmentCache<double>::State state;
  memory.initial(2, state);
  CHECK(state_bytes(state) == 2 * 4 * 3 * 8 + 2 * 8);
}

TEST_CASE("a segment cache keeps each sequence's last rows, oldest first", "[memory]") {
  const SegmentCache<double> memory({2, 3}, Random(1));
  SegmentCache<double>::State state, next;
  SegmentCache<double>::ReadCache read;
  SegmentCache<double>::WriteCache write;
  std::vector<std::vector<double>> kept(3);  // the first number of each row
  memory.initial(3, state);
  std::uint64_t seed = 1;
  for (const std::vector<Index>& lengths :
       std::vector<std::vector<Index>>{{1, 0, 5}, {1, 2, 0}, {0, 2, 1}, {4, 0, 3}}) {
    const Sequences sequences(lengths);
    const auto x = random_tensor<double, 2>({sequences.rows(), 2}, ++seed);
    const auto rows = memory.read(state, x, sequences, read);
    for (Index b = 0; b < 3; ++b) {
      const std::vector<double>& expected = kept[static_cast<std::size_t>(b)];
      REQUIRE(read.sequences.length(b) == static_cast<Index>(expected.size()));
      for (Index j = 0; j < read.sequences.length(b); ++j) {
        CHECK(rows(read.sequences.begin(b) + j, 0) == expected[static_cast<std::size_t>(j)]);
      }
    }
    const auto before = state;
    memory.write(state, x, sequences, next, write);
    CHECK(same_state(state, before));
    for (Index b = 0; b < 3; ++b) {
      auto& rows_kept = kept[static_cast<std::size_t>(b)];
      for (Index t = sequences.begin(b); t < sequences.end(b); ++t) rows_kept.push_back(x(t, 0));
      if (rows_kept.size() > 3) rows_kept.erase(rows_kept.begin(), rows_kept.end() - 3);
      if (sequences.length(b) > 0) continue;
      CHECK(same_bits<double>(next.rows.view().middle_rows(3 * b, 3), state.rows.view().middle_rows(3 * b, 3)));
      CHECK(next.lengths(b) == state.lengths(b));
    }
    std::swap(state, next);
  }
}

TEMPLATE_TEST_CASE("P2: a cache of length 0 is no cache", "[memory]", float, double) {
  using T = TestType;
  const CachedLayers<T> cached(config_of<T>(4, 2), 2, 0);
  typename CachedLayers<T>::Segment segment;
  auto states = cached.initial(3);
  std::uint64_t seed = 1;
  for (const auto& lengths : kSegments) {
    const Sequences sequences(lengths);
    const auto x = random_tensor<T, 2>({sequences.rows(), 4}, ++seed), dy = random_tensor<T, 2>(x.shape(), ++seed);
    std::vector<typename EncoderLayer<T>::Parameters> grads, plain_grads;
    for (const auto& layer : cached.layers) grads.push_back(zeros_like(layer.parameters()));
    plain_grads = grads;
    const Matrix<T> y(cached.forward(x, sequences, states, segment));
    auto dstates = states;
    const Matrix<T> dx = cached.backward(dy, segment, dstates, grads);
    typename EncoderLayer<T>::Cache first, second;
    const auto h = cached.layers[0].forward(x, sequences, cached.call, first);
    CHECK(largest_difference<T, 2>(cached.layers[1].forward(h, sequences, cached.call, second), y) == 0);
    const auto dh = cached.layers[1].backward(dy, second, plain_grads[1]);
    CHECK(largest_difference<T, 2>(cached.layers[0].backward(dh, first, plain_grads[0]), dx) == 0);
    CHECK(plain_grads[0].self_attn.parameters().in_proj_weight == grads[0].self_attn.parameters().in_proj_weight);
  }
}

TEMPLATE_TEST_CASE("P2: with room for everything a segmented forward is the unsegmented one", "[memory]", float,
                   double) {
  using T = TestType;
  for (const std::string positions : {"none", "rotary", "relative"}) {
    for (const bool norm_first : {false, true}) {
      auto config = config_of<T>(8, 2);
      config.norm_first = norm_first;
      if (positions == "rotary") config.attention.rotary.emplace();
      if (positions == "relative") config.attention.relative.emplace();
      const CachedLayers<T> cached(config, 3, 16);
      const auto whole = random_tensor<T, 2>({16, 8}, 7);
      auto states = cached.initial(1);
      typename CachedLayers<T>::Segment segment;
      const Matrix<T> y(cached.forward(whole, Sequences({16}), states, segment));
      auto streamed = cached.initial(1);
      Index first = 0;
      for (const Index length : {5, 1, 0, 7, 3}) {
        const auto part = cached.forward(rows_of(whole, first, length), Sequences({length}), streamed, segment);
        CHECK(largest_difference<T, 2>(part, y.view().middle_rows(first, length)) == 0);
        first += length;
      }
      for (std::size_t i = 0; i < states.size(); ++i) CHECK(same_state(states[i], streamed[i]));
    }
  }
}

TEST_CASE("the gradient through a cache agrees with central differences over 4 segments", "[memory]") {
  for (const Index length : {2, 3}) {
    for (const bool norm_first : {false, true}) {
      auto config = config_of<double>(4, 2);
      config.norm_first = norm_first;
      if (norm_first) {
        config.attention.rotary.emplace();
      } else {
        config.attention.relative.emplace();
      }
      CachedLayers<double> cached(config, 2, length, StateGradient::through);
      std::vector<Matrix<double>> x, dy;
      std::vector<EncoderLayer<double>::Parameters> grads;
      for (const auto& layer : cached.layers) grads.push_back(zeros_like(layer.parameters()));
      std::vector<CachedLayers<double>::Segment> segments(kSegments.size());
      const auto run = [&](std::vector<CachedLayers<double>::Segment>& at) {
        auto states = cached.initial(3);
        double loss = 0;
        for (std::size_t i = 0; i < kSegments.size(); ++i) {
          loss += inner_product(cached.forward(x[i], Sequences(kSegments[i]), states, at[i]), dy[i]);
        }
        return std::make_pair(loss, states);
      };
      for (std::size_t i = 0; i < kSegments.size(); ++i) {
        const Index rows = Sequences(kSegments[i]).rows();
        x.push_back(random_tensor<double, 2>({rows, 4}, 10 + i));
        dy.push_back(random_tensor<double, 2>({rows, 4}, 20 + i));
      }
      auto dstates = run(segments).second;
      for (auto& d : dstates) zero_state_like(d, d);
      std::vector<Matrix<double>> dx(kSegments.size());
      for (std::size_t i = kSegments.size(); i-- > 0;) dx[i] = cached.backward(dy[i], segments[i], dstates, grads);
      std::vector<CachedLayers<double>::Segment> scratch(kSegments.size());
      const auto loss = [&] { return run(scratch).first; };
      std::string name;
      for (std::size_t i = 0; i < kSegments.size(); ++i) CHECK(gradient_error(loss, x[i], dx[i]) < 1e-6);
      for (std::size_t i = 0; i < cached.layers.size(); ++i) {
        CHECK(parameter_gradient_error(loss, cached.layers[i].parameters(), grads[i], name) < 1e-6);
      }
    }
  }
}

TEST_CASE("a detached cache passes nothing back, but its layer's weights learn from the cached rows", "[memory]") {
  for (const StateGradient gradient : {StateGradient::detached, StateGradient::through}) {
    CachedLayers<double> cached(config_of<double>(4, 2), 1, 3, gradient);
    auto x = random_tensor<double, 2>({2, 4}, 1), late = random_tensor<double, 2>({2, 4}, 2);
    const auto dy = random_tensor<double, 2>({2, 4}, 3);
    const Sequences two({2});
    auto states = cached.initial(1);
    CachedLayers<double>::Segment first, second, scratch;
    (void)cached.forward(x, two, states, first);
    const auto kept = states;
    (void)cached.forward(late, two, states, second);
    std::vector<EncoderLayer<double>::Parameters> grads{zeros_like(cached.layers[0].parameters())};
    for (auto& state : states) zero_state_like(state, state);
    (void)cached.backward(dy, second, states, grads);
    // The loss of the second segment as a function of the weights, the cached rows fixed.
    const auto loss = [&] {
      auto from = kept;
      return inner_product(cached.forward(late, two, from, scratch), dy);
    };
    std::string name;
    CHECK(parameter_gradient_error(loss, cached.layers[0].parameters(), grads[0], name) < 1e-6);
    const Matrix<double> dx = cached.backward(Matrix<double>({2, 4}), first, states, grads);
    CHECK((state_norm(states[0]) == 0));  // nothing was cached before the first segment
    CHECK((largest_difference(dx, Matrix<double>({2, 4})) == 0) == (gradient == StateGradient::detached));
  }
}

TEMPLATE_TEST_CASE("P6 and P10: a sequence has the same bits alone, in any batch and after a copy of the state",
                   "[memory]", float, double) {
  using T = TestType;
  auto config = config_of<T>(10, 2);
  config.attention.rotary.emplace().rotary_dim = 4;
  const CachedLayers<T> cached(config, 2, 4);
  typename CachedLayers<T>::Segment segment, alone_segment;
  auto states = cached.initial(3);
  std::vector<std::vector<typename SegmentCache<T>::State>> alone(3, cached.initial(1));
  std::uint64_t seed = 1;
  for (const auto& lengths : kSegments) {
    const Sequences sequences(lengths);
    const auto x = random_tensor<T, 2>({sequences.rows(), 10}, ++seed);
    const auto copy = states;  // a stream that was saved and loaded
    const Matrix<T> y(cached.forward(x, sequences, states, segment));
    auto again = copy;
    CHECK(same_bits<T>(cached.forward(x, sequences, again, segment), y));
    for (Index b = 0; b < 3; ++b) {
      const Index begin = sequences.begin(b), length = sequences.length(b);
      const auto y_alone = cached.forward(rows_of(x, begin, length), Sequences({length}),
                                          alone[static_cast<std::size_t>(b)], alone_segment);
      CHECK(same_bits<T>(y_alone, y.view().middle_rows(begin, length)));
    }
  }
}

TEST_CASE("P11: a token leaves outputs before it as they are", "[memory]") {
  const CachedLayers<float> cached(config_of<float>(8, 2), 2, 5);
  CachedLayers<float>::Segment segment;
  auto x = random_tensor<float, 2>({12, 8}, 3);
  const auto run = [&] {
    auto states = cached.initial(1);
    Matrix<float> y({12, 8});
    for (Index first = 0; first < 12; first += 3) {
      const auto part = cached.forward(rows_of(x, first, 3), Sequences({3}), states, segment);
      for (Index t = 0; t < 3; ++t) std::copy_n(part.row(t), 8, y.view().row(first + t));
    }
    return y;
  };
  const Matrix<float> before = run();
  x(7, 2) += 1;
  const Matrix<float> after = run();
  CHECK(same_bits<float>(before.view().middle_rows(0, 7), after.view().middle_rows(0, 7)));
  CHECK(largest_difference<float, 2>(before.view().middle_rows(9, 3), after.view().middle_rows(9, 3)) > 0);
}

TEST_CASE("a segment cache says what does not fit", "[memory]") {
  CHECK_THROWS_WITH(SegmentCache<float>({0, 4}, Random(1)), "SegmentCache: features is 0, expected at least 1");
  CHECK_THROWS_WITH(SegmentCache<float>({2, -1}, Random(1)), "SegmentCache: length is -1, expected at least 0");
  const SegmentCache<float> memory({2, 3}, Random(1));
  SegmentCache<float>::State state, next;
  SegmentCache<float>::ReadCache read;
  SegmentCache<float>::WriteCache write;
  memory.initial(2, state);
  const Matrix<float> x({4, 2});
  CHECK_THROWS_WITH(memory.read(state, x, Sequences({4}), read),
                    "SegmentCache::read: the state's lengths is [2], expected [1]");
  const Matrix<float> wide({4, 3});
  CHECK_THROWS_WITH(memory.write(state, wide, Sequences({4, 0}), next, write),
                    "SegmentCache::write: h is [4, 3], expected [*, 2]");
  CHECK_THROWS_WITH(memory.read(state, x, Sequences({2, 3}), read),
                    "SegmentCache::read: x is 4 tokens, expected 5, the rows of its sequences");
  state.lengths(1) = 4;
  CHECK_THROWS_WITH(memory.read(state, x, Sequences({2, 2}), read),
                    "SegmentCache::read: a length of the state is 4, expected at least 0 and at most 3");
}

}  // namespace segment_cache_test
