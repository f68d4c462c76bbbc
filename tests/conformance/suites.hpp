#pragma once

#include "conformance/compare.hpp"

#include <filesystem>

namespace mat::conformance {

// The suites of a matconf-1 folder. Each runs all cases of its subfolder and reports them; a subfolder that is not
// there has none.

using Reports = std::vector<CaseReport>;
/// The folder, and a text that the names of the cases to run contain.
struct Selection {
  std::filesystem::path folder;
  std::string only;

  [[nodiscard]] bool wants(const std::string& name) const { return name.find(only) != std::string::npos; }
};

template <class T>
void run_torch_suite(const Selection& selection, Reports& reports);
template <class T>
void run_weights_suite(const Selection& selection, Reports& reports);
template <class T>
void run_onnx_suite(const Selection& selection, Reports& reports);
void run_malformed_suite(const Selection& selection, Reports& reports);
void run_metrics_suite(const Selection& selection, Reports& reports);

/// Every group of torch adapters.
template <class T>
[[nodiscard]] Adapters all_torch_adapters();

/// The rows of a suite's index.json; none if there is no such file.
[[nodiscard]] inline Json::Array index_of(const std::filesystem::path& suite) {
  const std::filesystem::path path = suite / "index.json";
  if (!std::filesystem::exists(path)) return {};
  return Json::parse(read_file(path.string()), path.string()).at("cases").as_array();
}

}  // namespace mat::conformance
