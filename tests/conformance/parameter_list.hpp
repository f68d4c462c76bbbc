#pragma once

#include "conformance/case.hpp"

namespace mat::conformance {

/// Any number of flat parameters with names: what an optimiser needs to know of a model.
template <class T>
struct ParameterList {
  std::vector<std::string> names;
  std::vector<std::vector<Index>> shapes;
  std::vector<Vector<T>> tensors;

  template <class Visitor, class... P>
  static void visit(Visitor&& visitor, P&... p) {
    const auto& first = std::get<0>(std::tie(p...));
    for (std::size_t i = 0; i < first.tensors.size(); ++i) visitor(ParameterName(first.names[i]), p.tensors[i]...);
  }
  void add(const std::string& name, const Array<T>& values) {
    names.push_back(name);
    shapes.push_back(values.shape);
    tensors.emplace_back(vector_of(values));
  }
  /// Element `s` of the leading dimension of `all`.
  void assign(std::size_t i, const Array<T>& all, Index s) {
    const Index n = tensors[i].size();
    std::copy_n(all.values.data() + s * n, n, tensors[i].data());
  }
};

}  // namespace mat::conformance
