#include "support/catch.hpp"

#include <mat/core/sequences.hpp>

namespace sequences_test {

using namespace mat;

TEST_CASE("sequences lie one after the other", "[core]") {
  const Sequences s({3, 0, 2});
  CHECK(s.count() == 3);
  CHECK(s.rows() == 5);
  CHECK(s.begin(0) == 0);
  CHECK(s.end(0) == 3);
  CHECK(s.length(1) == 0);
  CHECK(s.begin(2) == 3);
  CHECK(s.end(2) == 5);
  CHECK(s.longest() == 3);
  CHECK(Sequences::uniform(2, 4) == Sequences({4, 4}));
  CHECK(Sequences::single(4) != Sequences({2, 2}));
}

TEST_CASE("no sequences are no rows", "[core]") {
  CHECK(Sequences().count() == 0);
  CHECK(Sequences().rows() == 0);
  CHECK(Sequences().longest() == 0);
}

TEST_CASE("sequences with a capacity leave room after each", "[core]") {
  const Sequences s = Sequences::with_capacity({2, 4}, 4);
  CHECK(s.begin(1) == 4);
  CHECK(s.end(0) == 2);
  CHECK(s.rows() == 8);
  CHECK_THROWS_WITH(Sequences::with_capacity({2, 5}, 4), "Sequences::with_capacity: a length is 5, expected at most 4");
}

TEST_CASE("rows between sequences, or behind the last, are gaps", "[core]") {
  CHECK(!Sequences().has_gaps());
  CHECK(!Sequences({3, 0, 2}).has_gaps());
  CHECK(!Sequences::with_capacity({4, 4}, 4).has_gaps());
  CHECK(Sequences::with_capacity({2, 4}, 4).has_gaps());
  CHECK(Sequences::with_capacity({4, 2}, 4).has_gaps());
}

TEST_CASE("lengths may come from a function", "[core]") {
  Sequences s;
  s.assign(3, [](Index b) { return 2 * b; });
  CHECK(s == Sequences({0, 2, 4}));
  CHECK_THROWS_WITH(s.assign(2, [](Index b) { return -b; }), "Sequences: a length is -1, expected at least 0");
  CHECK(s == Sequences({0, 2, 4}));
}

TEST_CASE("a negative length is refused and changes nothing", "[core]") {
  Sequences s({3});
  CHECK_THROWS_WITH(s.assign({1, -2}), "Sequences: a length is -2, expected at least 0");
  CHECK(s == Sequences({3}));
}

TEST_CASE("tokens that the sequences do not divide are refused", "[core]") {
  CHECK_NOTHROW(check_sequences("f: x", 5, Sequences({3, 2})));
  const Sequences* const none = nullptr;
  CHECK_THROWS_WITH(check_sequences("f: x", 5, none),
                    "f: x is without sequences, expected the Sequences that divide its tokens");
  CHECK_THROWS_WITH(check_sequences("f: x", 4, Sequences({3, 2})),
                    "f: x is 4 tokens, expected 5, the rows of its sequences");
}

}  // namespace sequences_test
