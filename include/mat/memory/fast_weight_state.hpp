#pragma once

#include <mat/core/tensor.hpp>
#include <mat/layers/parameters.hpp>
#include <mat/ops/fast_weights.hpp>

namespace mat {
inline namespace MAT_ABI {

/// A network of fast weights for each sequence of a batch, with the article's names.
template <class T>
struct FastWeightState {
  Matrix<T> fc1_weight;  // [sequences * hidden, features]
  Matrix<T> fc1_bias;    // [sequences, hidden]
  Matrix<T> fc2_weight;  // [sequences * features, hidden]
  Matrix<T> fc2_bias;    // [sequences, features]

  template <class Visitor, class... S>
  static void visit(Visitor&& visitor, S&... s) {
    visit_tensor("fc1_weight", visitor, s.fc1_weight...);
    visit_tensor("fc1_bias", visitor, s.fc1_bias...);
    visit_tensor("fc2_weight", visitor, s.fc2_weight...);
    visit_tensor("fc2_bias", visitor, s.fc2_bias...);
  }

  void resize(Index sequences, Index hidden, Index features) {
    fc1_weight.resize({sequences * hidden, features});
    fc1_bias.resize({sequences, hidden});
    fc2_weight.resize({sequences * features, hidden});
    fc2_bias.resize({sequences, features});
  }
  /// The network of sequence b.
  [[nodiscard]] FastWeights<T> at(Index b) { return part<T>(*this, b); }
  [[nodiscard]] FastWeights<const T> at(Index b) const { return part<const T>(*this, b); }

  /// Throws ShapeError unless this is `sequences` networks of these sizes.
  void check(std::string_view what, Index sequences, Index hidden, Index features) const {
    check_shape({what, "the state's fc1_weight"}, fc1_weight, {sequences * hidden, features});
    check_shape({what, "the state's fc1_bias"}, fc1_bias, {sequences, hidden});
    check_shape({what, "the state's fc2_weight"}, fc2_weight, {sequences * features, hidden});
    check_shape({what, "the state's fc2_bias"}, fc2_bias, {sequences, features});
  }

 private:
  template <class U, class Self>
  [[nodiscard]] static FastWeights<U> part(Self& self, Index b) {
    const Index hidden = self.fc1_bias.cols(), features = self.fc2_bias.cols();
    return {self.fc1_weight.view().middle_rows(b * hidden, hidden),
            {self.fc1_bias.view().row(b), {hidden}},
            self.fc2_weight.view().middle_rows(b * features, features),
            {self.fc2_bias.view().row(b), {features}}};
  }
};

/// The weights of a MemoryLayer, or of its gradient, seen as fast weights.
template <class T, class Parameters>
[[nodiscard]] FastWeights<T> fast_weights_of(Parameters& p) {
  auto& fc1 = p.fc1.parameters();
  auto& fc2 = p.fc2.parameters();
  return {fc1.weight, fc1.bias, fc2.weight, fc2.bias};
}

}  // namespace MAT_ABI
}  // namespace mat
