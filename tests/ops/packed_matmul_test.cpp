#include "support/bits.hpp"
#include "support/catch.hpp"
#include "support/gradients.hpp"

#include <mat/ops/matmul.hpp>
#include <mat/ops/packed_matmul.hpp>

namespace packed_matmul_test {

using namespace mat;
using mat::test::largest_difference;
using mat::test::random_tensor;
using mat::test::same_bits;

namespace {

/// The number that a weight of this storage stands for, by its definition.
template <class T>
T stored(T weight, T largest_of_row, WeightStorage storage) {
  switch (storage) {
    case WeightStorage::bfloat16:
      return to_float(to_bfloat16(static_cast<float>(weight)));
    case WeightStorage::float16:
      return to_float(to_float16(static_cast<float>(weight)));
    case WeightStorage::int8:
      return largest_of_row == T(0) ? T(0) : std::round(weight / (largest_of_row / 127)) * (largest_of_row / 127);
    default:
      return weight;
  }
}

template <class T>
Matrix<T> stored(const Matrix<T>& weight, WeightStorage storage) {
  Matrix<T> result(weight.shape());
  for (Index i = 0; i < weight.rows(); ++i) {
    T largest = 0;
    for (Index j = 0; j < weight.cols(); ++j) largest = std::max(largest, std::abs(weight(i, j)));
    for (Index j = 0; j < weight.cols(); ++j) result(i, j) = stored(weight(i, j), largest, storage);
  }
  return result;
}

}  // namespace

TEMPLATE_TEST_CASE("packed weights multiply with the bits of matmul", "[ops]", float, double) {
  using T = TestType;
  for (const Index rows : {0, 1, 2, 3, 5, 8, 9, 30}) {
    for (const Index outputs : {1, 3, 16, 33, 128, 150}) {
      for (const Index inputs : {1, 2, 7, 64, 300}) {
        const auto x = random_tensor<T, 2>({rows, inputs}, 1), w = random_tensor<T, 2>({outputs, inputs}, 2);
        const auto bias = random_tensor<T, 1>({outputs}, 3);
        const PackedWeights<T> packed(w);
        Matrix<T> expected({rows, outputs}), y({rows, outputs});
        y.fill(NAN);
        matmul<T>(x, transposed<T>(w), expected);
        packed_matmul<T>(x, packed, y);
        REQUIRE(same_bits(y, expected));
        matmul<T>(x, transposed<T>(w), expected, bias);
        packed_matmul<T>(x, packed, y, bias);
        REQUIRE(same_bits(y, expected));
      }
    }
  }
}

TEMPLATE_TEST_CASE("stored in fewer bytes, the product is that of the rounded weights", "[ops]", float, double) {
  using T = TestType;
  const double tolerance = sizeof(T) == 4 ? 2e-5 : 1e-13;
  const auto storage = GENERATE(WeightStorage::bfloat16, WeightStorage::float16, WeightStorage::int8);
  for (const Index rows : {1, 3, 8, 9, 30}) {
    for (const Index outputs : {1, 17, 64, 150}) {
      for (const Index inputs : {1, 2, 7, 64, 301}) {
        auto w = random_tensor<T, 2>({outputs, inputs}, 2);
        w(0, 0) = T(3e-7);  // a subnormal of Float16
        const auto x = random_tensor<T, 2>({rows, inputs}, 1);
        const auto bias = random_tensor<T, 1>({outputs}, 3);
        Matrix<T> expected({rows, outputs}), y({rows, outputs});
        const Matrix<T> rounded = stored(w, storage);
        matmul<T>(x, transposed<T>(rounded), expected, bias);
        packed_matmul<T>(x, PackedWeights<T>(w, storage), y, bias);
        REQUIRE(largest_difference(y, expected) < tolerance * std::sqrt(double(inputs)));
        matmul<T>(x, transposed<T>(rounded), expected);
        packed_matmul<T>(x, PackedWeights<T>(w, storage), y);
        REQUIRE(largest_difference(y, expected) < tolerance * std::sqrt(double(inputs)));
      }
    }
  }
}

TEST_CASE("a row of a packed product has the same bits alone and among others", "[ops]") {
  const auto storage =
      GENERATE(WeightStorage::full, WeightStorage::bfloat16, WeightStorage::float16, WeightStorage::int8);
  const auto w = random_tensor<float, 2>({70, 45}, 2), x = random_tensor<float, 2>({20, 45}, 1);
  const PackedWeights<float> packed(w, storage);
  Matrix<float> all({20, 70}), some({20, 70});
  packed_matmul<float>(x, packed, all);
  for (const Index count : {1, 2, 7, 8, 9, 13}) {
    some.resize({count, 70});
    packed_matmul<float>(x.view().middle_rows(3, count), packed, some);
    CHECK(same_bits<float>(some, all.view().middle_rows(3, count)));
  }
}

TEST_CASE("packed weights take the bytes of their storage", "[ops]") {
  const auto w = random_tensor<float, 2>({128, 64}, 2);
  CHECK(PackedWeights<float>(w).bytes() == 4 * 128 * 64);
  CHECK(PackedWeights<float>(w, WeightStorage::bfloat16).bytes() == 2 * 128 * 64);
  CHECK(PackedWeights<float>(w, WeightStorage::float16).bytes() == 2 * 128 * 64);
  CHECK(PackedWeights<float>(w, WeightStorage::int8).bytes() == 128 * 64 + 4 * 128);
}

TEST_CASE("packed weights say what is wrong", "[ops]") {
  Matrix<float> w({2, 2});
  w(1, 0) = 70000;
  CHECK_THROWS_WITH(PackedWeights<float>(w, WeightStorage::float16),
                    "PackedWeights: a weight is 70000, expected finite and within the storage's range");
  w(1, 0) = std::numeric_limits<float>::infinity();
  CHECK_THROWS_WITH(PackedWeights<float>(w, WeightStorage::int8),
                    "PackedWeights: a weight is inf, expected finite and within the storage's range");
  w(1, 0) = 3.4e38f;
  CHECK_THROWS_WITH(PackedWeights<float>(w, WeightStorage::bfloat16),
                    "PackedWeights: a weight is 3.4e+38, expected finite and within the storage's range");
  w.fill(0);
  const PackedWeights<float> packed(w, WeightStorage::int8);
  Matrix<float> y({3, 2});
  const auto x = random_tensor<float, 2>({3, 2}, 1), wide = random_tensor<float, 2>({3, 4}, 1);
  packed_matmul<float>(x, packed, y);
  CHECK(largest_difference(y, Matrix<float>({3, 2})) == 0);
  CHECK_THROWS_WITH(packed_matmul<float>(wide, packed, y), "packed_matmul: x is [3, 4], expected [*, 2]");
}

}  // namespace packed_matmul_test
