#include "support/catch.hpp"

#include <mat/ops/positions.hpp>

namespace positions_test {

using namespace mat;

TEST_CASE("tokens count their positions from the first one of their sequence", "[ops]") {
  const Sequences sequences({2, 0, 3});
  Vector<Index> positions;
  fill_positions(sequences, {}, positions);
  CHECK(positions == Vector<Index>({5}, {0, 1, 0, 1, 2}));
  CHECK(positions_end(sequences, {}) == 3);

  const Vector<Index> first({3}, {4, 100, 1});
  fill_positions(sequences, first, positions);
  CHECK(positions == Vector<Index>({5}, {4, 5, 1, 2, 3}));
  CHECK(positions_end(sequences, first) == 6);
  CHECK(first_position(first, 2) == 1);
  CHECK(first_position({}, 2) == 0);
}

TEST_CASE("rows between the sequences have no position", "[ops]") {
  Vector<Index> positions;
  fill_positions(Sequences::with_capacity({1, 2}, 3), {}, positions);
  CHECK(positions == Vector<Index>({6}, {0, -1, -1, 0, 1, -1}));
}

TEST_CASE("no sequences have no positions", "[ops]") {
  Vector<Index> positions;
  fill_positions(Sequences(), {}, positions);
  CHECK(positions.size() == 0);
  CHECK(positions_end(Sequences(), {}) == 0);
}

TEST_CASE("first positions are checked", "[ops]") {
  const Sequences sequences({2, 3});
  const Vector<Index> one({1}, {5}), negative({2}, {0, -3}), good({2}, {0, 3});
  check_first_positions("Layer::forward", sequences, {});
  check_first_positions("Layer::forward", sequences, good);
  CHECK_THROWS_WITH(check_first_positions("Layer::forward", sequences, one),
                    "Layer::forward: first is [1], expected [2]");
  CHECK_THROWS_WITH(check_first_positions("Layer::forward", sequences, negative),
                    "Layer::forward: first[1] is -3, expected at least 0");
}

TEST_CASE("a table of positions grows by doubling", "[ops]") {
  CHECK(detail::grown_rows(0) == 64);
  CHECK(detail::grown_rows(64) == 64);
  CHECK(detail::grown_rows(65) == 128);
  CHECK(detail::grown_rows(1000) == 1024);
}

}  // namespace positions_test
