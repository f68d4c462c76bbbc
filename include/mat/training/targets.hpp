#pragma once

#include <mat/core/tensor.hpp>

#include <vector>

namespace mat {
inline namespace MAT_ABI {

/// What cross entropy compares with: the index of a class for each token, or a distribution over classes.
template <class T>
class Targets {
 public:
  Targets(ConstVectorView<Index> classes) : classes_(classes) {}  // NOLINT(google-explicit-constructor)
  Targets(VectorView<Index> classes) : classes_(classes) {}       // NOLINT(google-explicit-constructor)
  Targets(const Vector<Index>& classes) : classes_(classes) {}    // NOLINT(google-explicit-constructor)
  Targets(const std::vector<Index>& classes)                      // NOLINT(google-explicit-constructor)
      : classes_(classes, {static_cast<Index>(classes.size())}) {}
  Targets(ConstMatrixView<T> soft) : soft_(soft), is_soft_(true) {}  // NOLINT(google-explicit-constructor)
  Targets(MatrixView<T> soft) : soft_(soft), is_soft_(true) {}       // NOLINT(google-explicit-constructor)
  Targets(const Matrix<T>& soft) : soft_(soft), is_soft_(true) {}    // NOLINT(google-explicit-constructor)
  Targets(const Vector<Index>&& temporary) = delete;
  Targets(const std::vector<Index>&& temporary) = delete;
  Targets(const Matrix<T>&& temporary) = delete;

  [[nodiscard]] bool is_soft() const { return is_soft_; }
  [[nodiscard]] Index tokens() const { return is_soft_ ? soft_.rows() : classes_.size(); }
  [[nodiscard]] Index target(Index t) const { return classes_.data()[t]; }
  [[nodiscard]] const T* distribution(Index t) const { return soft_.row(t); }
  [[nodiscard]] ConstMatrixView<T> soft() const { return soft_; }

 private:
  ConstVectorView<Index> classes_;  // [tokens]
  ConstMatrixView<T> soft_;         // [tokens, classes]
  bool is_soft_ = false;
};

}  // namespace MAT_ABI
}  // namespace mat
