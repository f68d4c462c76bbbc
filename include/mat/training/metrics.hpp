#pragma once

#include <mat/core/tensor.hpp>

namespace mat {
inline namespace MAT_ABI {

/// The index of the largest number, the first of equals: the predicted class.
///
/// Errors: ValueError if there is none.
template <class T>
[[nodiscard]] Index argmax(const T* values, Index n) {
  check_value(n >= 1, "argmax: the number of values", n, "at least 1");
  Index best = 0;
  for (Index i = 1; i < n; ++i) {
    if (values[i] > values[best]) best = i;
  }
  return best;
}

/// Counts which classes are taken for which, and what follows from it.
///
///     precision = TP / (TP + FP),   recall = TP / (TP + FN),   F1 = 2 TP / (2 TP + FP + FN)      (0 / 0 is 0)
///
/// Source: scikit-learn's precision_recall_fscore_support.
/// Errors: ValueError for a class outside of [0, classes).
class ConfusionMatrix {
 public:
  explicit ConfusionMatrix(Index classes) {
    check_value(classes >= 1, "ConfusionMatrix: classes", classes, "at least 1");
    counts_.resize({classes, classes});
    counts_.fill(0);
  }

  [[nodiscard]] Index classes() const { return counts_.rows(); }
  /// counts()(target, predicted).
  [[nodiscard]] const Matrix<Index>& counts() const { return counts_; }

  void add(Index target, Index predicted) {
    check_class("ConfusionMatrix::add: target", target);
    check_class("ConfusionMatrix::add: predicted", predicted);
    ++counts_(target, predicted);
  }
  /// Counts of another part of the data.
  ConfusionMatrix& operator+=(const ConfusionMatrix& other) {
    check_shape("ConfusionMatrix::operator+=: counts", other.counts_.view(), counts_.shape());
    for (Index i = 0; i < counts_.size(); ++i) counts_.data()[i] += other.counts_.data()[i];
    return *this;
  }

  [[nodiscard]] Index total() const {
    Index sum = 0;
    for (Index i = 0; i < counts_.size(); ++i) sum += counts_.data()[i];
    return sum;
  }
  [[nodiscard]] double accuracy() const {
    Index right = 0;
    for (Index c = 0; c < classes(); ++c) right += counts_(c, c);
    return ratio(right, total());
  }
  [[nodiscard]] double precision(Index c) const {
    check_class("ConfusionMatrix::precision: class", c);
    return ratio(counts_(c, c), predictions(c));
  }
  [[nodiscard]] double recall(Index c) const {
    check_class("ConfusionMatrix::recall: class", c);
    return ratio(counts_(c, c), targets(c));
  }
  [[nodiscard]] double f1(Index c) const {
    check_class("ConfusionMatrix::f1: class", c);
    return ratio(2 * counts_(c, c), predictions(c) + targets(c));
  }
  /// The mean of f1 over the classes that occur, as a target or as a prediction; 0 if none does.
  [[nodiscard]] double macro_f1() const {
    double sum = 0.0;
    Index present = 0;
    for (Index c = 0; c < classes(); ++c) {
      if (predictions(c) + targets(c) == 0) continue;
      sum += f1(c);
      ++present;
    }
    return present == 0 ? 0.0 : sum / static_cast<double>(present);
  }

 private:
  void check_class(std::string_view what, Index c) const {
    if (c < 0 || c >= classes()) check_value(false, what, c, "in [0, " + std::to_string(classes()) + ")");
  }
  [[nodiscard]] Index targets(Index c) const {
    Index sum = 0;
    for (Index j = 0; j < classes(); ++j) sum += counts_(c, j);
    return sum;
  }
  [[nodiscard]] Index predictions(Index c) const {
    Index sum = 0;
    for (Index i = 0; i < classes(); ++i) sum += counts_(i, c);
    return sum;
  }
  [[nodiscard]] static double ratio(Index part, Index whole) {
    return whole == 0 ? 0.0 : static_cast<double>(part) / static_cast<double>(whole);
  }

  Matrix<Index> counts_;  // [target, predicted]
};

}  // namespace MAT_ABI
}  // namespace mat
