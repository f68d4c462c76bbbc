#include "support/catch.hpp"

#include <mat/layers/linear.hpp>
#include <mat/layers/parameters.hpp>

#include <optional>

namespace parameters_test {

using namespace mat;

namespace {

/// Two layers under one name, and a list of layers.
struct Pair {
  struct Parameters {
    Linear<float> first;
    std::vector<Linear<float>> layers;
    std::optional<Linear<float>> last;

    template <class Visitor, class... P>
    static void visit(Visitor&& visitor, P&... p) {
      visit_layer("first", visitor, p.first...);
      visit_layers("layers", visitor, p.layers...);
      visit_optional_layer("last", visitor, p.last...);
    }
  };
};

Pair::Parameters pair() {
  const Linear<float> with({2, 3}, Random(1)), without({2, 2, /*bias=*/false}, Random(2));
  return {with, {without, with}, std::nullopt};
}

}  // namespace

TEST_CASE("parameters have dotted names in a fixed order", "[layers]") {
  auto p = pair();
  CHECK(parameter_names(p) ==
        std::vector<std::string>{"first.weight", "first.bias", "layers.0.weight", "layers.1.weight", "layers.1.bias"});
  p.last = p.first;
  CHECK(parameter_names(p).back() == "last.bias");
  CHECK(parameter_count(pair()) == 9 + 4 + 9);
}

TEST_CASE("several values are walked in lockstep", "[layers]") {
  const auto p = pair();
  auto twice = p;
  for_each_parameter(
      [](const ParameterName& name, auto& to, const auto& from) {
        CHECK((name.leaf() == "weight" || name.leaf() == "bias"));
        for (Index i = 0; i < to.size(); ++i) to.data()[i] += from.data()[i];
      },
      twice, p);
  CHECK(twice.first.parameters().weight(2, 1) == 2 * p.first.parameters().weight(2, 1));
}

TEST_CASE("a gradient is a value of the same shapes that starts at zero", "[layers]") {
  const auto p = pair();
  const auto grads = zeros_like(p);
  CHECK(parameter_names(grads) == parameter_names(p));
  for_each_parameter(
      [](const ParameterName&, const auto& values, const auto& gradient) {
        CHECK(gradient.shape() == values.shape());
        for (Index i = 0; i < gradient.size(); ++i) CHECK(gradient.data()[i] == 0.0f);
      },
      p, grads);
}

}  // namespace parameters_test
