#include "support/catch.hpp"

#include <mat/training/metrics.hpp>

#include <utility>

namespace metrics_test {

using namespace mat;

namespace {

bool near(double a, double b) { return std::abs(a - b) < 1e-15; }

ConfusionMatrix example() {
  ConfusionMatrix matrix(4);
  const std::pair<Index, Index> pairs[] = {{0, 0}, {0, 0}, {0, 1}, {1, 1}, {1, 0}, {1, 1}, {2, 1}, {2, 0}};
  for (const auto& [target, predicted] : pairs) matrix.add(target, predicted);
  return matrix;
}

}  // namespace

TEST_CASE("ConfusionMatrix counts targets by row and predictions by column", "[training]") {
  const ConfusionMatrix matrix = example();
  CHECK(matrix.counts() == Matrix<Index>({4, 4}, {2, 1, 0, 0, 1, 2, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0}));
  CHECK(matrix.total() == 8);
  CHECK(matrix.accuracy() == 0.5);
}

TEST_CASE("ConfusionMatrix: precision, recall and F1 of each class", "[training]") {
  const ConfusionMatrix matrix = example();
  CHECK(matrix.precision(0) == 0.5);
  CHECK(near(matrix.recall(0), 2.0 / 3.0));
  CHECK(near(matrix.f1(0), 4.0 / 7.0));
  CHECK(matrix.precision(2) == 0.0);
  CHECK(matrix.recall(2) == 0.0);
  CHECK(matrix.f1(2) == 0.0);
}

TEST_CASE("ConfusionMatrix: macro F1 leaves out classes that never occur", "[training]") {
  CHECK(near(example().macro_f1(), (4.0 / 7.0 + 4.0 / 7.0 + 0.0) / 3.0));
  CHECK(ConfusionMatrix(3).macro_f1() == 0.0);
  CHECK(ConfusionMatrix(3).accuracy() == 0.0);
}

TEST_CASE("ConfusionMatrix: the counts of two parts add up", "[training]") {
  ConfusionMatrix sum = example();
  sum += example();
  CHECK(sum.total() == 16);
  CHECK(sum.counts()(0, 0) == 4);
  CHECK(sum.macro_f1() == example().macro_f1());
}

TEST_CASE("argmax finds the first of the largest", "[training]") {
  const double values[] = {-1.0, 3.0, 3.0, 2.0};
  CHECK(argmax(values, 4) == 1);
  CHECK(argmax(values, 1) == 0);
  CHECK_THROWS_WITH(argmax(values, 0), "argmax: the number of values is 0, expected at least 1");
}

TEST_CASE("ConfusionMatrix refuses classes out of range", "[training]") {
  ConfusionMatrix matrix(2);
  CHECK_THROWS_WITH(matrix.add(2, 0), "ConfusionMatrix::add: target is 2, expected in [0, 2)");
  CHECK_THROWS_WITH(matrix.add(0, -1), "ConfusionMatrix::add: predicted is -1, expected in [0, 2)");
  CHECK_THROWS_WITH(matrix.precision(5), "ConfusionMatrix::precision: class is 5, expected in [0, 2)");
  CHECK_THROWS_WITH(matrix.recall(5), "ConfusionMatrix::recall: class is 5, expected in [0, 2)");
  CHECK_THROWS_WITH(matrix.f1(5), "ConfusionMatrix::f1: class is 5, expected in [0, 2)");
  CHECK_THROWS_WITH(matrix += ConfusionMatrix(3), "ConfusionMatrix::operator+=: counts is [3, 3], expected [2, 2]");
  CHECK_THROWS_WITH(ConfusionMatrix(0), "ConfusionMatrix: classes is 0, expected at least 1");
  CHECK(matrix.total() == 0);
}

}  // namespace metrics_test
