#include "conformance/suites.hpp"

#include <cstdio>
#include <cstdlib>
#include <iterator>

using mat::Json;
using mat::conformance::CaseReport;
using mat::conformance::Reports;
using mat::conformance::Selection;
using mat::conformance::TensorReport;
using mat::conformance::Verdict;

namespace {

constexpr const char* kUsage =
    "usage: mat-conformance [DIR] [--scalar float|double] [--json OUT] [--only TEXT]\n"
    "\n"
    "Runs every case of the matconf-1 folder DIR and compares the library with the recorded values.\n"
    "  DIR              default: MAT_CONFORMANCE_DIR, else shared/conformance beside the source tree\n"
    "  --scalar SCALAR  the library's scalar type, default float\n"
    "  --json OUT       writes a report of every case\n"
    "  --only TEXT      runs the cases whose name contains TEXT\n"
    "Exit status: 0 nothing failed, 1 something failed, 2 wrong usage or a folder that cannot be read,\n"
    "77 no DIR given and none found.\n";

struct Arguments {
  Selection selection;
  bool chosen = false;  // a folder was named
  bool is_double = false;
  std::string json;
};

/// False for wrong usage.
bool parse(int argc, char** argv, Arguments& arguments) {
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word.empty() || word[0] != '-') {
      if (arguments.chosen) return false;
      arguments.selection.folder = word;
      arguments.chosen = true;
      continue;
    }
    if (++i == argc) return false;
    const std::string value = argv[i];
    if (word == "--json") {
      arguments.json = value;
    } else if (word == "--only") {
      arguments.selection.only = value;
    } else if (word == "--scalar" && (value == "float" || value == "double")) {
      arguments.is_double = value == "double";
    } else {
      return false;
    }
  }
  return true;
}

/// The folder where none was given.
void choose_folder(Arguments& arguments) {
  if (arguments.chosen) return;
  if (const char* folder = std::getenv("MAT_CONFORMANCE_DIR")) {
    arguments.selection.folder = folder;
    arguments.chosen = true;
    return;
  }
#ifdef MAT_SOURCE_DIR
  arguments.selection.folder = std::filesystem::path(MAT_SOURCE_DIR) / ".." / "shared" / "conformance";
#endif
}

template <class T>
Reports run(const Selection& selection) {
  Reports reports;
  mat::conformance::run_onnx_suite<T>(selection, reports);
  mat::conformance::run_torch_suite<T>(selection, reports);
  mat::conformance::run_weights_suite<T>(selection, reports);
  mat::conformance::run_malformed_suite(selection, reports);
  mat::conformance::run_metrics_suite(selection, reports);
  return reports;
}

void print_verdicts(const Reports& reports) {
  for (const CaseReport& report : reports) {
    if (report.verdict == Verdict::passed) continue;
    std::printf("%-7s %s/%s: %s\n", name_of(report.verdict), report.suite.c_str(), report.name.c_str(),
                report.reason.c_str());
  }
}

/// For each family of torch cases, how our worst fp32 error compares with PyTorch's own.
void print_ratios(const Reports& reports) {
  std::vector<std::string> families;
  for (const CaseReport& report : reports) {
    if (report.suite != "torch" || report.tensors.empty()) continue;
    if (std::find(families.begin(), families.end(), report.family) == families.end()) families.push_back(report.family);
  }
  if (families.empty()) return;
  std::printf("\nour fp32 error / PyTorch's own fp32 error (tensors where PyTorch's is not 0)\n");
  std::printf("%-16s %8s %8s %8s  %s\n", "family", "tensors", "median", "worst", "worst tensor");
  for (const std::string& family : families) {
    std::vector<std::pair<double, std::string>> ratios;
    for (const CaseReport& report : reports) {
      if (report.suite != "torch" || report.family != family) continue;
      for (const TensorReport& tensor : report.tensors) {
        if (tensor.torch_error > 0) ratios.emplace_back(tensor.ratio(), report.name + " " + tensor.name);
      }
    }
    if (ratios.empty()) continue;
    std::sort(ratios.begin(), ratios.end());
    std::printf("%-16s %8zu %8.2f %8.2f  %s\n", family.c_str(), ratios.size(), ratios[ratios.size() / 2].first,
                ratios.back().first, ratios.back().second.c_str());
  }
  std::printf("\n");
}

void write_json(const std::string& path, const Reports& reports, const char* scalar) {
  Json::Array cases;
  for (const CaseReport& report : reports) {
    Json::Array tensors;
    for (const TensorReport& tensor : report.tensors) {
      Json row;
      row.set("name", tensor.name).set("passed", tensor.passed).set("max_error", tensor.error);
      row.set("ratio_to_torch_f32", tensor.torch_error > 0 ? Json(tensor.ratio()) : Json());
      tensors.push_back(std::move(row));
    }
    Json row;
    row.set("name", report.name).set("suite", report.suite).set("verdict", name_of(report.verdict));
    row.set("reason", report.reason).set("tensors", std::move(tensors));
    cases.push_back(std::move(row));
  }
  Json file;
  file.set("scalar", scalar).set("cases", std::move(cases));
  mat::DurableFile out(path);
  out.write(file.str() + "\n");
  out.commit();
}

int count_of(const Reports& reports, Verdict verdict) {
  return static_cast<int>(std::count_if(reports.begin(), reports.end(),
                                        [&](const CaseReport& report) { return report.verdict == verdict; }));
}

int main_of(const Arguments& arguments) {
  const std::filesystem::path& folder = arguments.selection.folder;
  bool found = false;
  for (const char* suite : {"onnx-node", "torch", "weights", "malformed", "metrics"}) {
    found = found || std::filesystem::is_directory(folder / suite);
  }
  if (!found && !arguments.chosen) {
    std::printf("skipped: there is no conformance folder; name one, or set MAT_CONFORMANCE_DIR\n");
    return 77;
  }
  if (!found) {
    std::fprintf(stderr, "mat-conformance: %s has none of onnx-node, torch, weights, malformed, metrics\n",
                 folder.string().c_str());
    return 2;
  }
  const Reports reports = arguments.is_double ? run<double>(arguments.selection) : run<float>(arguments.selection);
  print_verdicts(reports);
  if (!arguments.is_double) print_ratios(reports);
  if (!arguments.json.empty()) write_json(arguments.json, reports, arguments.is_double ? "double" : "float");
  const int failed = count_of(reports, Verdict::failed);
  std::printf("%d passed, %d failed, %d skipped\n", count_of(reports, Verdict::passed), failed,
              count_of(reports, Verdict::skipped));
  return failed > 0 ? 1 : 0;
}

}  // namespace

int main(int argc, char** argv) {
  Arguments arguments;
  if (!parse(argc, argv, arguments)) {
    std::fputs(kUsage, stderr);
    return 2;
  }
  choose_folder(arguments);
  try {
    return main_of(arguments);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "mat-conformance: %s\n", error.what());
    return 2;
  }
}
