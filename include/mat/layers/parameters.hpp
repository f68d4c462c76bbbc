#pragma once

#include <mat/core/tensor.hpp>
#include <mat/ops/rows.hpp>

#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace mat {
inline namespace MAT_ABI {

// How optimisers, clipping, files and tests see a model.
//
// What a layer learns is its `Parameters`: tensors, and for a block the layers inside it. Gradients, moments and moving
// averages of a model are values of the same type. `Parameters::visit(visitor, a, b, ...)` walks any number of them in
// lockstep and calls visitor(name, tensor_of_a, tensor_of_b, ...) with PyTorch's state_dict names, so each of those
// uses is one visitor, written once. The three visit_* functions below are what a layer writes its `visit` with.

/// The dotted name of a parameter, "layers.0.linear1.weight", as a chain of parts: walking a model allocates nothing.
class ParameterName {
 public:
  explicit ParameterName(std::string_view part, Index index = -1, const ParameterName* rest = nullptr)
      : part_(part), index_(index), rest_(rest) {}

  [[nodiscard]] std::string str() const {
    std::string text(part_);
    if (index_ >= 0) text += (text.empty() ? "" : ".") + std::to_string(index_);
    if (rest_ == nullptr) return text;
    return text.empty() ? rest_->str() : text + "." + rest_->str();
  }
  /// The last part: "weight".
  [[nodiscard]] std::string_view leaf() const { return rest_ == nullptr ? part_ : rest_->leaf(); }

 private:
  std::string_view part_;
  Index index_;
  const ParameterName* rest_;
};

/// Visits one tensor of each; an empty one (a bias that was not asked for) is no parameter.
template <class Visitor, class First, class... Rest>
void visit_tensor(std::string_view name, Visitor&& visitor, First& first, Rest&... rest) {
  if (!first.empty()) visitor(ParameterName(name), first, rest...);
}

/// Visits the parameters of one layer of each, their names prefixed by `name` and a dot.
template <class Visitor, class First, class... Rest>
void visit_layer(std::string_view name, Visitor&& visitor, First& first, Rest&... rest) {
  std::decay_t<First>::Parameters::visit(
      [&](const ParameterName& inner, auto&... tensors) { visitor(ParameterName(name, -1, &inner), tensors...); },
      first.parameters(), rest.parameters()...);
}

namespace detail {

/// Throws ValueError unless lists that are walked in lockstep are of one length.
template <class First, class... Rest>
void check_lists([[maybe_unused]] std::string_view name, [[maybe_unused]] const First& first, const Rest&... rest) {
  (check_value(rest.size() == first.size(), {name, "the number of layers"}, static_cast<Index>(rest.size()),
               "that of the first, ", static_cast<Index>(first.size())),
   ...);
}

}  // namespace detail

/// Visits a list of layers of each, their names prefixed by `name`, a number and dots.
template <class Visitor, class First, class... Rest>
void visit_layers(std::string_view name, Visitor&& visitor, First& first, Rest&... rest) {
  using Layer = typename std::decay_t<First>::value_type;
  detail::check_lists(name, first, rest...);
  for (std::size_t i = 0; i < first.size(); ++i) {
    Layer::Parameters::visit(
        [&](const ParameterName& inner, auto&... tensors) {
          visitor(ParameterName(name, static_cast<Index>(i), &inner), tensors...);
        },
        first[i].parameters(), rest[i].parameters()...);
  }
}

/// Visits a list of values that have a `visit` of their own, their names prefixed by `name`, a number and dots.
template <class Visitor, class First, class... Rest>
void visit_values(std::string_view name, Visitor&& visitor, First& first, Rest&... rest) {
  using Value = typename std::decay_t<First>::value_type;
  detail::check_lists(name, first, rest...);
  for (std::size_t i = 0; i < first.size(); ++i) {
    Value::visit([&](const ParameterName& inner,
                     auto&... tensors) { visitor(ParameterName(name, static_cast<Index>(i), &inner), tensors...); },
                 first[i], rest[i]...);
  }
}

/// Visits a std::optional layer of each, if the first has one.
template <class Visitor, class First, class... Rest>
void visit_optional_layer(std::string_view name, Visitor&& visitor, First& first, Rest&... rest) {
  if (first.has_value()) visit_layer(name, visitor, *first, *rest...);
}

/// Walks the parameters `p`, and others of the same type in lockstep: visitor(name, tensor, tensors...).
/// Errors: ValueError if the others are not made of as many layers, or of other memories.
template <class Visitor, class P, class... Others>
void for_each_parameter(Visitor&& visitor, P& p, Others&... others) {
  std::decay_t<P>::visit(visitor, p, others...);
}

namespace detail {

/// Walks the parameters of one value with their names prefixed by `name` and a dot.
template <class Visitor, class P, class... Others>
void visit_with_prefix(std::string_view name, Visitor&& visitor, P& p, Others&... others) {
  for_each_parameter(
      [&](const ParameterName& inner, auto&... tensors) { visitor(ParameterName(name, -1, &inner), tensors...); }, p,
      others...);
}

}  // namespace detail

/// The number of learned numbers.
template <class P>
[[nodiscard]] Index parameter_count(const P& p) {
  Index count = 0;
  for_each_parameter([&](const ParameterName&, const auto& tensor) { count += tensor.size(); }, p);
  return count;
}

/// Sets every number to 0: what a gradient is before the first backward.
template <class P>
void set_zero(P& p) {
  const auto clear = [](const ParameterName&, auto& tensor) {
    detail::for_each_piece(tensor.size(), 1, [&](Index begin, Index count) {
      std::fill_n(tensor.data() + begin, count, typename std::decay_t<decltype(tensor)>::Scalar(0));
    });
  };
  for_each_parameter(clear, p);
}

/// A value of the same type and shapes as `p` with every number 0: a gradient, or an optimiser's moment.
template <class P>
[[nodiscard]] P zeros_like(const P& p) {
  P zeros = p;
  set_zero(zeros);
  return zeros;
}

/// The names of all parameters, in the order of the walk.
template <class P>
[[nodiscard]] std::vector<std::string> parameter_names(const P& p) {
  std::vector<std::string> names;
  for_each_parameter([&](const ParameterName& name, const auto&) { names.push_back(name.str()); }, p);
  return names;
}

}  // namespace MAT_ABI
}  // namespace mat
