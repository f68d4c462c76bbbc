#include "support/catch.hpp"
#include "training/toy_model.hpp"

#include <mat/training/parameter_groups.hpp>

namespace parameter_groups_test {

using namespace mat;
using namespace mat::test;

TEST_CASE("ParameterGroups asks its rule for every parameter by name and rank", "[training]") {
  std::vector<std::string> asked;
  const ParameterGroups groups(start(), DecayRule::all, [&](std::string_view name, std::size_t rank) {
    asked.push_back(std::string(name) + " " + std::to_string(rank));
    return ParameterGroup{0.5, 2.0};
  });
  CHECK(asked == std::vector<std::string>{"weight 2", "bias 1"});
  CHECK(groups.size() == 2);
  CHECK(groups[1].learning_rate == 0.5);
  CHECK(groups[1].weight_decay == 2.0);
}

TEST_CASE("DecayRule::matrices_only takes the decay from vectors", "[training]") {
  const ParameterGroups groups(start(), DecayRule::matrices_only);
  CHECK(groups[0].weight_decay == 1.0);
  CHECK(groups[1].weight_decay == 0.0);
  CHECK(groups[1].learning_rate == 1.0);
}

TEST_CASE("ParameterGroups refuses negative factors, naming the parameter", "[training]") {
  const auto slow = [](std::string_view, std::size_t) { return ParameterGroup{-1.0, 1.0}; };
  CHECK_THROWS_WITH(ParameterGroups(start(), DecayRule::all, slow),
                    "ParameterGroups: learning_rate of weight is -1, expected at least 0");
  const auto growing = [](std::string_view name, std::size_t) {
    return ParameterGroup{1.0, name == "bias" ? -2.0 : 0};
  };
  CHECK_THROWS_WITH(ParameterGroups(start(), DecayRule::all, growing),
                    "ParameterGroups: weight_decay of bias is -2, expected at least 0");
}

}  // namespace parameter_groups_test
