#pragma once

#include <mat/layers/parameters.hpp>

namespace mat {
inline namespace MAT_ABI {

/// Which parameters weight decay pulls towards 0: all of them, as in PyTorch, or those of rank 2 and above (no biases,
/// no norms).
enum class DecayRule { all, matrices_only };

/// Factors on an optimiser's settings for one parameter: PyTorch's parameter groups.
struct ParameterGroup {
  double learning_rate = 1.0;
  double weight_decay = 1.0;
};

/// The group of every parameter of a model, looked up once by name, so that a step compares no strings.
///
/// A rule is any callable (std::string_view name, std::size_t rank) -> ParameterGroup; its weight decay is multiplied
/// by what the DecayRule says (1 or 0).
///
/// Errors: ValueError for a negative factor, naming the parameter.
class ParameterGroups {
 public:
  template <class P>
  ParameterGroups(const P& parameters, DecayRule decay)
      : ParameterGroups(parameters, decay, [](std::string_view, std::size_t) { return ParameterGroup{}; }) {}
  template <class P, class Rule>
  ParameterGroups(const P& parameters, DecayRule decay, const Rule& rule) {
    for_each_parameter(
        [&](const ParameterName& name, const auto& tensor) {
          constexpr std::size_t rank = std::decay_t<decltype(tensor)>::kRank;
          ParameterGroup group = rule(std::string_view(name.str()), rank);
          check_value(group.learning_rate >= 0.0, "ParameterGroups: learning_rate of " + name.str(),
                      group.learning_rate, "at least 0");
          check_value(group.weight_decay >= 0.0, "ParameterGroups: weight_decay of " + name.str(), group.weight_decay,
                      "at least 0");
          if (decay == DecayRule::matrices_only && rank < 2) group.weight_decay = 0.0;
          groups_.push_back(group);
        },
        parameters);
  }

  /// The group of the i-th parameter of the walk.
  [[nodiscard]] const ParameterGroup& operator[](std::size_t i) const { return groups_[i]; }
  [[nodiscard]] std::size_t size() const { return groups_.size(); }

 private:
  std::vector<ParameterGroup> groups_;
};

/// Throws ShapeError unless `other` has the tensors of `parameters`, in number and in shape.
template <class P>
void check_same_parameters(std::string_view what, const P& parameters, const P& other) {
  Index expected = 0, actual = 0;
  for_each_parameter([&](const ParameterName&, const auto&) { ++expected; }, parameters);
  for_each_parameter([&](const ParameterName&, const auto&) { ++actual; }, other);
  if (actual != expected) {
    detail::throw_shape_error(what, std::to_string(actual) + " tensors",
                              std::to_string(expected) + ", one for each parameter");
  }
  for_each_parameter(
      [&](const ParameterName& name, const auto& p, const auto& q) {
        if (p.shape() == q.shape()) return;
        constexpr std::size_t rank = std::decay_t<decltype(p)>::kRank;
        detail::throw_shape_error(std::string(what) + "." + name.str(), shape_to_string(q.shape().data(), rank),
                                  shape_to_string(p.shape().data(), rank));
      },
      parameters, other);
}

namespace detail {

/// A value like `p` without any number: the place of a moment that an optimiser's settings do not ask for.
template <class P>
[[nodiscard]] P without_values(const P& p) {
  P empty = p;
  for_each_parameter([](const ParameterName&, auto& tensor) { tensor = std::decay_t<decltype(tensor)>(); }, empty);
  return empty;
}

}  // namespace detail
}  // namespace MAT_ABI
}  // namespace mat
