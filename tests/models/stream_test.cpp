#include "support/allocations.hpp"
#include "support/catch.hpp"
#include "support/gradients.hpp"
#include "support/small_language_model.hpp"

#include <mat/memory/delta_cache.hpp>
#include <mat/memory/segment_cache.hpp>
#include <mat/models/stream.hpp>

#include <deque>

namespace stream_test {

using namespace mat;

namespace {

template <class Model>
[[nodiscard]] Model small_model() {
  auto config = test::small_model_config<Model>(7);
  config.decoder.encoder.num_layers = 2;
  config.decoder.encoder.final_norm = true;
  return Model(config, Random(3));
}

using test::random_ids;

/// The outputs of `ids`, pushed in pieces of these sizes, over and over.
template <class Model>
[[nodiscard]] Matrix<float> outputs(Stream<Model>& stream, const Vector<Index>& ids, const std::vector<Index>& pieces) {
  Matrix<float> all({ids.size(), 7});
  std::size_t i = 0;
  for (Index done = 0; done < ids.size(); ++i) {
    const Index count = std::min(pieces[i % pieces.size()], ids.size() - done);
    const auto y = stream.push(ConstVectorView<Index>(ids.data() + done, {count}));
    REQUIRE(y.rows() == count);
    for (Index r = 0; r < count; ++r) std::copy_n(y.row(r), 7, all.view().row(done + r));
    done += count;
  }
  return all;
}

using Tokens = LanguageModel<float, MemoryTokens<float>>;
using Cached = LanguageModel<float, SegmentCache<float>>;
using CachedByDelta = LanguageModel<float, DeltaCache<float>>;
using Plain = LanguageModel<float, NoMemory<float>>;

}  // namespace

TEMPLATE_TEST_CASE("P5: any split of a stream into pushes gives the same bits", "[models]", Tokens, Cached,
                   CachedByDelta, Plain) {
  const auto model = small_model<TestType>();
  const auto ids = random_ids(23, 5);
  Stream<TestType> whole(model, {5});
  const auto expected = outputs(whole, ids, {23});
  for (const auto& pieces : std::vector<std::vector<Index>>{{1}, {2, 3}, {5}, {7, 0, 1}, {4, 4, 11}}) {
    Stream<TestType> stream(model, {5});
    CHECK(outputs(stream, ids, pieces) == expected);
    CHECK(same_state(stream.state(), whole.state()));
    CHECK(stream.pending() == whole.pending());
    CHECK(stream.position() == 23);
  }
}

TEST_CASE("P11: the outputs before a token do not depend on it", "[models]") {
  const auto model = small_model<Tokens>();
  auto ids = random_ids(17, 5);
  Stream<Tokens> one(model, {5}), other(model, {5});
  const auto before = outputs(one, ids, {17});
  ids(11) = (ids(11) + 1) % 7;
  const auto after = outputs(other, ids, {17});
  for (Index t = 0; t < 17; ++t) {
    const bool same = std::equal(before.view().row(t), before.view().row(t) + 7, after.view().row(t));
    CHECK(same == (t < 11));
  }
}

TEST_CASE("P10: a fork goes on as the stream does, and interleaved streams do not leak into each other", "[models]") {
  const auto model = small_model<Tokens>();
  const auto first = random_ids(13, 5), second = random_ids(21, 6);
  Stream<Tokens> alone(model, {4});
  (void)outputs(alone, first, {13});
  const auto expected = outputs(alone, second, {21});

  Stream<Tokens> stream(model, {4});
  (void)outputs(stream, first, {13});
  std::deque<Stream<Tokens>> others;
  for (std::uint64_t i = 0; i < 20; ++i) others.emplace_back(model, Stream<Tokens>::Config{4});
  Stream<Tokens> fork = stream;
  Matrix<float> seen({21, 7});
  Stream<Tokens>::Cache shared;  // by all the others
  for (Index t = 0; t < 21; ++t) {
    for (std::size_t i = 0; i < others.size(); ++i) {
      const auto ids = random_ids(1 + t % 3, 100 + i);
      (void)others[i].push(ids, shared);
    }
    const auto y = stream.push(ConstVectorView<Index>(second.data() + t, {1}), shared);
    std::copy_n(y.row(0), 7, seen.view().row(t));
  }
  CHECK(seen == expected);
  CHECK(outputs(fork, second, {2}) == expected);
}

TEST_CASE("a stream that does not learn reads with the memory it has", "[models]") {
  const auto model = small_model<Tokens>();
  const auto ids = random_ids(12, 5);
  Stream<Tokens> stream(model, {4});
  (void)outputs(stream, ids, {12});
  const auto state = stream.state();
  stream.set_learning(Stream<Tokens>::Learning::off);
  const auto once = outputs(stream, ids, {12});
  CHECK(same_state(stream.state(), state));
  stream.set_learning(Stream<Tokens>::Learning::on);
  (void)outputs(stream, ids, {4});
  CHECK_FALSE(same_state(stream.state(), state));
  CHECK(once.rows() == 12);
}

TEST_CASE("a warmed-up stream allocates nothing and does not grow", "[models]") {
  if (!test::allocations_are_counted()) return;
  const auto model = small_model<Tokens>();
  const auto ids = random_ids(64, 5);
  Stream<Tokens> stream(model, {8});
  (void)stream.push(ids);
  (void)stream.push(ids);
  const Index bytes = stream.bytes();
  const long before = test::allocations();
  for (Index i = 0; i < 20; ++i) (void)stream.push(ConstVectorView<Index>(ids.data() + i, {1 + i % 40}));
  CHECK(test::allocations() == before);
  CHECK(stream.bytes() == bytes);
}

TEST_CASE("a stream says what does not fit, and is then as it was before the segment", "[models]") {
  const auto model = small_model<Tokens>();
  CHECK_THROWS_WITH(Stream<Tokens>(model, {0}), "Stream: segment is 0, expected at least 1");
  Stream<Tokens> stream(model, {4}), other(model, {4});
  auto ids = random_ids(3, 5);
  (void)stream.push(ids);
  (void)other.push(ids);
  auto wrong = ids;
  wrong(0) = 9;
  CHECK_THROWS_AS(stream.push(wrong), ValueError);
  CHECK(stream.position() == 3);
  CHECK(Matrix<float>(stream.push(ids)) == Matrix<float>(other.push(ids)));
}

}  // namespace stream_test
