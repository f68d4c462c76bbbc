#include "conformance/suites.hpp"

#include <mat/io/tokenize_13a.hpp>
#include <mat/training/bleu.hpp>

namespace mat::conformance {

namespace {

[[nodiscard]] BleuSmoothing smoothing_of(const std::string& name) {
  if (name == "none") return BleuSmoothing::none;
  if (name == "floor") return BleuSmoothing::floor;
  if (name == "add-k") return BleuSmoothing::add_k;
  if (name == "exp") return BleuSmoothing::exp;
  throw Unsupported("smoothing " + name);
}

void run_bleu_case(const Json& row, CaseReport& report) {
  Bleu::Config config;
  config.max_order = row.at("max_ngram_order").as_index();
  config.smoothing = smoothing_of(row.at("smooth_method").as_string());
  if (!row.at("smooth_value").is_null()) config.smooth_value = row.at("smooth_value").as_double();
  Bleu bleu(config);
  const Json::Array& hypotheses = row.at("hypotheses").as_array();
  for (std::size_t i = 0; i < hypotheses.size(); ++i) {
    std::vector<Bleu::Tokens> references;
    for (const Json& texts : row.at("references").as_array()) {
      references.push_back(split_at_white_space(texts.as_array().at(i).as_string()));
    }
    bleu.add(split_at_white_space(hypotheses[i].as_string()), references);
  }
  const BleuScore score = bleu.score();
  const auto check = [&](const char* name, const std::vector<double>& actual) {
    std::vector<double> expected;
    const Json& json = row.at(name);
    if (json.kind() == Json::Kind::kArray) {
      for (const Json& number : json.as_array()) expected.push_back(number.as_double());
    } else {
      expected.push_back(json.as_double());
    }
    const Array<double> got{{static_cast<Index>(actual.size())}, actual};
    const Array<double> want{{static_cast<Index>(expected.size())}, expected};
    TensorReport tensor = compare(name, &got, want, {0.0, row.at("tolerance").as_double()});
    if (!tensor.passed) report.fail(tensor.reason);
    report.tensors.push_back(std::move(tensor));
  };
  check("score", {score.score});
  check("precisions", score.precisions);
  check("counts", score.counts);
  check("totals", score.totals);
  check("bp", {score.brevity_penalty});
  check("sys_len", {static_cast<double>(score.length)});
  check("ref_len", {static_cast<double>(score.reference_length)});
}

}  // namespace

void run_metrics_suite(const Selection& selection, Reports& reports) {
  const std::filesystem::path path = selection.folder / "metrics" / "bleu.json";
  if (!std::filesystem::exists(path)) return;
  const Json file = Json::parse(read_file(path.string()), path.string());
  for (const Json& row : file.at("cases").as_array()) {
    const std::string name = row.at("name").as_string();
    if (!selection.wants(name)) continue;
    reports.push_back(
        report_case(name, "metrics", family_of(name), [&](CaseReport& report) { run_bleu_case(row, report); }));
  }
}

}  // namespace mat::conformance
