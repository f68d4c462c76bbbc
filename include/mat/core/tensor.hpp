#pragma once

#include <mat/core/tensor_view.hpp>

#include <algorithm>
#include <limits>
#include <memory>
#include <new>
#include <utility>

namespace mat {
inline namespace MAT_ABI {

namespace detail {

/// The number of elements of a tensor of this shape; small enough that its bytes can be counted too.
[[nodiscard]] EIGEN_DONT_INLINE inline Index element_count(const Index* shape, std::size_t rank) {
  constexpr Index kMost = std::numeric_limits<Index>::max() / 64;
  Index n = 1;
  for (std::size_t i = 0; i < rank; ++i) check_value(shape[i] >= 0, "Tensor::resize: a size", shape[i], "at least 0");
  for (std::size_t i = 0; i < rank; ++i) {
    if (shape[i] > 0 && n > kMost / shape[i]) {
      throw_value_error("Tensor::resize: shape", shape_to_string(shape, rank), "fewer elements than memory can hold");
    }
    n *= shape[i];
  }
  return n;
}

}  // namespace detail

/// Owning, contiguous, row-major numbers of a fixed rank, aligned to 64 bytes.
///
/// A tensor is a plain value: copy, move, compare. `resize` keeps the memory it has, so a loop over batches of
/// different sizes stops allocating once it has seen the largest one.
///
/// Errors: ValueError for a negative size.
/// Threads: const access from any number of threads.
template <class T, std::size_t Rank>
class Tensor {
 public:
  static_assert(std::is_trivially_copyable_v<T>, "a Tensor holds plain numbers");
  static constexpr std::size_t kRank = Rank;
  static constexpr std::size_t kAlignment = 64;
  using Scalar = T;

  /// No elements; every size is 0.
  Tensor() = default;
  /// All elements zero.
  explicit Tensor(const Shape<Rank>& shape) {
    resize(shape);
    fill(T());
  }
  /// The elements in row-major order.
  Tensor(const Shape<Rank>& shape, std::initializer_list<T> values) {
    resize(shape);
    if (static_cast<Index>(values.size()) != size()) {
      detail::throw_shape_error("Tensor: a list of " + std::to_string(values.size()) + " values",
                                "not a tensor of shape " + shape_to_string(shape.data(), Rank),
                                std::to_string(size()) + " values");
    }
    std::copy(values.begin(), values.end(), data());
  }
  /// A copy of what `view` looks at.
  explicit Tensor(TensorView<const T, Rank> view) { assign(view); }

  Tensor(const Tensor& other) : Tensor(TensorView<const T, Rank>(other)) {}
  Tensor(Tensor&& other) noexcept { swap(other); }
  Tensor& operator=(const Tensor& other) {
    if (this != &other) assign(other);
    return *this;
  }
  Tensor& operator=(Tensor&& other) noexcept {
    swap(other);
    return *this;
  }
  ~Tensor() = default;

  void swap(Tensor& other) noexcept {
    std::swap(memory_, other.memory_);
    std::swap(capacity_, other.capacity_);
    std::swap(shape_, other.shape_);
  }

  /// Sets the shape. The elements are unspecified afterwards, unless the shape stays as it was.
  EIGEN_DONT_INLINE void resize(const Shape<Rank>& shape) {
    const Index n = detail::element_count(shape.data(), Rank);
    if (n > capacity_) {
      memory_.reset(
          static_cast<T*>(::operator new(static_cast<std::size_t>(n) * sizeof(T), std::align_val_t(kAlignment))));
      capacity_ = n;
    }
    shape_ = shape;
  }
  EIGEN_DONT_INLINE void assign(TensorView<const T, Rank> view) {
    resize(view.shape());
    for (Index i = 0; i < view.rows(); ++i) std::copy_n(view.row(i), view.cols(), data() + i * view.cols());
  }
  void fill(T value) { std::fill_n(data(), size(), value); }

  [[nodiscard]] T* data() { return memory_.get(); }
  [[nodiscard]] const T* data() const { return memory_.get(); }
  [[nodiscard]] const Shape<Rank>& shape() const { return shape_; }
  [[nodiscard]] Index size(std::size_t dimension) const { return shape_[dimension]; }
  [[nodiscard]] Index size() const { return ConstView(*this).size(); }
  [[nodiscard]] Index rows() const { return ConstView(*this).rows(); }
  [[nodiscard]] Index cols() const { return shape_[Rank - 1]; }
  [[nodiscard]] bool empty() const { return size() == 0; }

  /// `tensor.view()` and `tensor` passed where a view is expected are the same.
  [[nodiscard]] TensorView<T, Rank> view() & { return *this; }
  [[nodiscard]] TensorView<const T, Rank> view() const& { return *this; }
  [[nodiscard]] MatrixMap<T> matrix() & { return view().matrix(); }
  [[nodiscard]] ConstMatrixMap<T> matrix() const& { return view().matrix(); }

  template <class... I>
  [[nodiscard]] T& operator()(I... indices) {
    return view()(indices...);
  }
  template <class... I>
  [[nodiscard]] const T& operator()(I... indices) const {
    return view()(indices...);
  }

  /// Same shape and equal elements.
  friend bool operator==(const Tensor& a, const Tensor& b) {
    return a.shape_ == b.shape_ && std::equal(a.data(), a.data() + a.size(), b.data());
  }
  friend bool operator!=(const Tensor& a, const Tensor& b) { return !(a == b); }

 private:
  using ConstView = TensorView<const T, Rank>;
  struct Free {
    void operator()(T* memory) const { ::operator delete(memory, std::align_val_t(kAlignment)); }
  };
  std::unique_ptr<T, Free> memory_;
  Index capacity_ = 0;
  Shape<Rank> shape_{};
};

template <class T>
using Matrix = Tensor<T, 2>;
template <class T>
using Vector = Tensor<T, 1>;

}  // namespace MAT_ABI
}  // namespace mat
