#include "support/catch.hpp"

#include <mat/ops/rows.hpp>

#include <vector>

namespace rows_test {

using namespace mat;

TEST_CASE("for_each_row visits each row once, whatever a row costs", "[ops]") {
  for (const Index rows : {0, 1, 7, 1000}) {
    for (const Index work : {0, 1, 300, 1 << 15}) {
      CAPTURE(rows, work);
      std::vector<int> visits(static_cast<std::size_t>(rows), 0);
      detail::for_each_row(rows, work, [&](Index row) { ++visits[static_cast<std::size_t>(row)]; });
      CHECK(visits == std::vector<int>(static_cast<std::size_t>(rows), 1));
    }
  }
}

TEST_CASE("for_each_column_block covers each column once", "[ops]") {
  for (const Index cols : {0, 1, 127, 128, 129, 1000}) {
    CAPTURE(cols);
    std::vector<int> visits(static_cast<std::size_t>(cols), 0);
    detail::for_each_column_block(cols, 1000, [&](Index first, Index count) {
      for (Index j = first; j < first + count; ++j) ++visits[static_cast<std::size_t>(j)];
    });
    CHECK(visits == std::vector<int>(static_cast<std::size_t>(cols), 1));
  }
}

TEST_CASE("for_each_piece covers each element once", "[ops]") {
  for (const Index n : {0, 1, (1 << 15) - 1, 1 << 15, (1 << 15) + 1, 100000}) {
    CAPTURE(n);
    std::vector<int> visits(static_cast<std::size_t>(n), 0);
    detail::for_each_piece(n, 1000, [&](Index begin, Index count) {
      for (Index i = begin; i < begin + count; ++i) ++visits[static_cast<std::size_t>(i)];
    });
    CHECK(visits == std::vector<int>(static_cast<std::size_t>(n), 1));
  }
}

}  // namespace rows_test
