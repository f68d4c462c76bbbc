#include "support/bits.hpp"
#include "support/catch.hpp"

#include <mat/ops/earlier_tokens.hpp>

namespace earlier_tokens_test {

using namespace mat;
using mat::test::random_tensor;
using mat::test::same_bits;

TEST_CASE("earlier tokens stand before those of their sequence", "[ops]") {
  const Sequences sequences = Sequences::with_capacity({1, 0, 2}, 2), before = Sequences::with_capacity({2, 1, 0}, 3);
  const auto x = random_tensor<float, 2>({6, 2}, 1), rows = random_tensor<float, 2>({9, 2}, 2);
  Matrix<float> joined;
  Sequences joined_sequences;
  join_earlier_tokens<float>("test", {rows, &before}, x, sequences, joined, joined_sequences);
  CHECK(joined_sequences == Sequences({3, 1, 2}));
  REQUIRE(joined.shape() == Shape<2>{6, 2});
  const auto same_row = [](const Matrix<float>& a, Index i, const Matrix<float>& b, Index j) {
    return same_bits<float>(a.view().middle_rows(i, 1), b.view().middle_rows(j, 1));
  };
  CHECK(same_row(joined, 0, rows, 0));
  CHECK(same_row(joined, 1, rows, 1));
  CHECK(same_row(joined, 2, x, 0));
  CHECK(same_row(joined, 3, rows, 3));
  CHECK(same_row(joined, 4, x, 4));
  CHECK(same_row(joined, 5, x, 5));

  Matrix<float> of_earlier, of_x, again;
  split_earlier_tokens<float>(joined, joined_sequences, before, sequences, of_earlier, of_x);
  CHECK(of_earlier.shape() == rows.shape());
  CHECK(of_x.shape() == x.shape());
  CHECK(of_x(1, 0) == 0);        // a gap
  CHECK(of_earlier(8, 1) == 0);  // likewise
  Sequences again_sequences;
  join_earlier_tokens<float>("test", {of_earlier, &before}, of_x, sequences, again, again_sequences);
  CHECK(same_bits(again, joined));
}

TEST_CASE("earlier tokens are given or not", "[ops]") {
  CHECK(!EarlierTokens<float>{}.given());
  const Sequences none({0});
  const Matrix<float> no_rows({0, 2});
  CHECK(EarlierTokens<float>{no_rows, &none}.given());
}

}  // namespace earlier_tokens_test
