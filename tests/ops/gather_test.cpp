#include "support/bits.hpp"
#include "support/catch.hpp"
#include "support/gradients.hpp"

#include <mat/ops/gather.hpp>

namespace gather_test {

using namespace mat;
using namespace mat::test;

namespace {

const Vector<Index>& ids() {
  static const Vector<Index> value({6}, {3, 0, 3, 1, 0, 3});
  return value;
}

}  // namespace

TEST_CASE("gather_rows copies the rows of the ids", "[ops]") {
  const auto table = random_tensor<float, 2>({4, 5}, 1);
  Matrix<float> y({6, 5});
  gather_rows<float>(table, ids(), y);
  for (Index t = 0; t < 6; ++t) {
    for (Index j = 0; j < 5; ++j) CHECK(y(t, j) == table(ids()(t), j));
  }
}

TEST_CASE("scatter_add_rows adds to the rows of the ids in the order of the tokens", "[ops]") {
  const auto y = random_tensor<float, 2>({6, 5}, 1);
  Matrix<float> table({4, 5}), expected({4, 5});
  scatter_add_rows<float>(ids(), y, table);
  for (Index t = 0; t < 6; ++t) {
    for (Index j = 0; j < 5; ++j) expected(ids()(t), j) += y(t, j);
  }
  CHECK(table == expected);
  SECTION("and adds again to what is there") {
    scatter_add_rows<float>(ids(), y, table);
    for (Index t = 0; t < 6; ++t) {
      for (Index j = 0; j < 5; ++j) expected(ids()(t), j) += y(t, j);
    }
    CHECK(table == expected);
  }
}

TEST_CASE("scatter_add_rows is the gradient of gather_rows", "[ops]") {
  auto table = random_tensor<double, 2>({4, 7}, 1);
  const auto dy = random_tensor<double, 2>({6, 7}, 2);
  Matrix<double> y({6, 7}), dtable({4, 7});
  scatter_add_rows<double>(ids(), dy, dtable);
  const auto loss = [&] {
    gather_rows<double>(table, ids(), y);
    return inner_product<double, 2>(y, dy);
  };
  CHECK(gradient_error(loss, table, dtable) < 1e-6);
}

TEST_CASE("a padding id adds nothing", "[ops]") {
  Matrix<double> y({6, 2}), table({4, 2});
  y.fill(1);
  ScatterOptions options;
  options.padding_id = 3;
  scatter_add_rows<double>(ids(), y, table, options);
  CHECK(table == Matrix<double>({4, 2}, {2, 2, 1, 1, 0, 0, 0, 0}));
}

TEST_CASE("with counts each row is divided by how often its id occurs", "[ops]") {
  Matrix<double> y({6, 1}, {1, 2, 3, 4, 5, 6}), table({4, 1});
  Vector<Index> counts({4});
  count_ids(ids(), counts);
  CHECK(counts == Vector<Index>({4}, {2, 1, 0, 3}));
  ScatterOptions options;
  options.counts = counts;
  scatter_add_rows<double>(ids(), y, table, options);
  CHECK(std::abs(table(0, 0) - 3.5) < 1e-15);
  CHECK(table(1, 0) == 4.0);
  CHECK(table(2, 0) == 0.0);
  CHECK(std::abs(table(3, 0) - 10.0 / 3) < 1e-15);
}

TEST_CASE("no tokens gather and scatter nothing", "[ops]") {
  const Vector<Index> none;
  Matrix<double> table({2, 3}), y({0, 3});
  gather_rows<double>(table, none, y);
  scatter_add_rows<double>(none, y, table);
  CHECK(table == Matrix<double>({2, 3}));
}

TEST_CASE("scatter_add_rows has the same bits for any number of threads", "[ops]") {
  const int before = max_threads();
  const auto y = random_tensor<float, 2>({900, 400}, 1);
  Vector<Index> many({900});
  for (Index t = 0; t < 900; ++t) many(t) = Random(3).below(static_cast<std::uint64_t>(t), 11);
  Matrix<float> one({11, 400});
  set_threads(1);
  scatter_add_rows<float>(many, y, one);
  for (const int threads : {2, 3}) {
    Matrix<float> several({11, 400});
    set_threads(threads);
    scatter_add_rows<float>(many, y, several);
    CHECK(same_bits(several, one));
  }
  set_threads(before);
}

TEST_CASE("ids beyond the table are refused before anything changes", "[ops]") {
  Matrix<double> table({3, 2}), y({6, 2}), narrow({6, 1});
  y.fill(1);
  const Vector<Index> negative({1}, {-1});
  Matrix<double> row({1, 2});
  Vector<Index> counts({2});
  CHECK_THROWS_WITH(gather_rows<double>(table, ids(), y), "gather_rows: ids[0] is 3, expected in [0, 3)");
  CHECK_THROWS_WITH(gather_rows<double>(table, negative, row), "gather_rows: ids[0] is -1, expected in [0, 3)");
  CHECK_THROWS_WITH(scatter_add_rows<double>(ids(), y, table), "scatter_add_rows: ids[0] is 3, expected in [0, 3)");
  CHECK_THROWS_WITH(count_ids(ids(), counts), "count_ids: ids[0] is 3, expected in [0, 2)");
  CHECK_THROWS_WITH(gather_rows<double>(table, ids(), narrow), "gather_rows: y is [6, 1], expected [6, 2]");
  CHECK_THROWS_WITH(scatter_add_rows<double>(ids(), narrow, table), "scatter_add_rows: y is [6, 1], expected [6, 2]");
  ScatterOptions options;
  options.counts = counts;
  CHECK_THROWS_WITH(scatter_add_rows<double>(ids(), y, table, options),
                    "scatter_add_rows: counts is [2], expected [3]");
  CHECK(table == Matrix<double>({3, 2}));
}

}  // namespace gather_test
