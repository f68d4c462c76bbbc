#include "conformance/suites.hpp"

namespace mat::conformance {

void run_metrics_suite(const Selection& selection, Reports& reports) {
  const std::filesystem::path path = selection.folder / "metrics" / "bleu.json";
  if (!std::filesystem::exists(path)) return;
  const Json file = Json::parse(read_file(path.string()), path.string());
  for (const Json& row : file.at("cases").as_array()) {
    const std::string name = row.at("name").as_string();
    if (!selection.wants(name)) continue;
    reports.push_back(report_case(name, "metrics", family_of(name),
                                  [](CaseReport&) { throw Unsupported("not in this version: bleu"); }));
  }
}

}  // namespace mat::conformance
