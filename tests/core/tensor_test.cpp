#include "support/catch.hpp"

#include <mat/core/tensor.hpp>

namespace tensor_test {

using namespace mat;

TEST_CASE("a tensor is a plain value", "[core]") {
  Tensor<float, 2> a({2, 3}, {1, 2, 3, 4, 5, 6});
  CHECK(a.rows() == 2);
  CHECK(a.cols() == 3);
  CHECK(a(1, 0) == 4);

  Tensor<float, 2> b = a;
  CHECK(b == a);
  b(0, 0) = 7;
  CHECK(b != a);
  CHECK(a(0, 0) == 1);

  const Tensor<float, 2> moved = std::move(b);
  CHECK(moved(0, 0) == 7);
  b = a;
  CHECK(b == a);
}

TEST_CASE("a tensor begins at a multiple of 64 bytes", "[core]") {
  for (const Index n : {1, 3, 17, 1000}) {
    const Tensor<double, 1> a({n});
    CHECK(reinterpret_cast<std::uintptr_t>(a.data()) % 64 == 0);
  }
}

TEST_CASE("resize keeps the memory it has", "[core]") {
  Tensor<float, 2> a({10, 10});
  const float* memory = a.data();
  a.resize({3, 4});
  CHECK(a.data() == memory);
  a.resize({10, 10});
  CHECK(a.data() == memory);
  a.resize({100, 10});
  CHECK(a.shape() == Shape<2>{100, 10});
}

TEST_CASE("a tensor may have a dimension of 0", "[core]") {
  const Tensor<float, 3> a({2, 0, 3});
  CHECK(a.empty());
  CHECK(a.rows() == 0);
  CHECK(a == Tensor<float, 3>({2, 0, 3}));
  CHECK(a != Tensor<float, 3>({0, 2, 3}));
}

TEST_CASE("a tensor refuses a negative size and a list of the wrong length", "[core]") {
  CHECK_THROWS_WITH((Tensor<float, 2>({2, -1})), "Tensor::resize: a size is -1, expected at least 0");
  constexpr Index huge = Index{1} << 40;
  CHECK_THROWS_WITH(
      (Tensor<float, 2>({huge, huge})),
      "Tensor::resize: shape is [1099511627776, 1099511627776], expected fewer elements than memory can hold");
  CHECK((Tensor<float, 3>({0, huge, huge})).empty());
  CHECK_THROWS_WITH((Tensor<float, 2>({2, 2}, {1, 2, 3})),
                    "Tensor: a list of 3 values is not a tensor of shape [2, 2], expected 4 values");
}

TEST_CASE("a view shows memory that belongs to others", "[core]") {
  SECTION("a tensor") {
    Tensor<float, 2> a({2, 3}, {1, 2, 3, 4, 5, 6});
    const MatrixView<float> view = a;
    view(0, 1) = 9;
    CHECK(a(0, 1) == 9);
    const ConstMatrixView<float> reading = view;
    CHECK(reading(0, 1) == 9);
  }
  SECTION("a vector") {
    std::vector<float> values{1, 2, 3, 4, 5, 6};
    const MatrixView<float> view(values, {3, 2});
    CHECK(view(2, 0) == 5);
    CHECK_THROWS_WITH(MatrixView<float>(values, {2, 2}),
                      "TensorView: a vector of 6 elements is not a tensor of shape [2, 2], expected 4 elements");
  }
  SECTION("an Eigen matrix") {
    Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor> m(2, 2);
    m << 1, 2, 3, 4;
    view_of(m)(1, 0) = 8;
    CHECK(m(1, 0) == 8);
  }
  SECTION("its elements as an Eigen matrix") {
    Tensor<float, 3> a({2, 2, 2}, {1, 2, 3, 4, 5, 6, 7, 8});
    CHECK(a.matrix().rows() == 4);
    CHECK(a.matrix()(3, 1) == 8);
  }
}

TEST_CASE("a block of rows or columns is a view", "[core]") {
  const Tensor<int, 2> a({3, 4}, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11});
  const TensorView<const int, 2> block = a.view().middle_rows(1, 2).middle_cols(1, 2);
  CHECK(block.shape() == Shape<2>{2, 2});
  CHECK(block(0, 0) == 5);
  CHECK(block(1, 1) == 10);
  CHECK_FALSE(block.contiguous());
  CHECK(Tensor<int, 2>(block) == Tensor<int, 2>({2, 2}, {5, 6, 9, 10}));
}

TEST_CASE("a shape error names the place, the shape and what is expected", "[core]") {
  const Tensor<float, 2> x({12, 7});
  const TensorView<const float, 2> view = x;
  CHECK_NOTHROW(check_shape("f: x", view, {kAny, 7}));
  CHECK_THROWS_AS(check_shape("f: x", view, {kAny, 5}), ShapeError);
  CHECK_THROWS_WITH(check_shape("f: x", view, {kAny, 5}), "f: x is [12, 7], expected [*, 5]");
}

}  // namespace tensor_test
