#pragma once

#include "conformance/suites.hpp"
#include "support/catch.hpp"

#include <string>

namespace mat::test {

/// The path of a file in tests/parity/fixtures.
[[nodiscard]] inline std::string fixture(const std::string& name) {
  return std::string(MAT_SOURCE_DIR) + "/tests/parity/fixtures/" + name + ".safetensors";
}

/// The library's outputs and gradients of a case are PyTorch's, within the tolerances of its file.
template <class T>
void check_parity(const conformance::Case& c) {
  const conformance::CaseReport report = conformance::run_torch_case<T>(c, conformance::all_torch_adapters<T>());
  INFO(c.name() << (sizeof(T) == 4 ? " in float: " : " in double: ") << report.reason);
  CHECK(report.verdict == conformance::Verdict::passed);
  CHECK_FALSE(report.tensors.empty());
}

template <class T>
void check_parity(const std::string& name) {
  check_parity<T>(conformance::Case(name, "torch", Safetensors::read(fixture("torch/" + name))));
}

}  // namespace mat::test
