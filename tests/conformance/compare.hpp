#pragma once

#include "conformance/case.hpp"

#include <cmath>
#include <limits>

namespace mat::conformance {

/// A number passes if |got - want| <= absolute + relative |want|.
struct Tolerance {
  double relative = 0, absolute = 0;
};

/// How one tensor compares.
struct TensorReport {
  std::string name;
  bool passed = false;
  std::string reason;      // why not
  double error = 0;        // max |got - want|
  double torch_error = 0;  // PyTorch's own in fp32; 0 if unknown or none

  /// This error in units of PyTorch's own in fp32; NaN if that is 0.
  [[nodiscard]] double ratio() const {
    return torch_error > 0 ? error / torch_error : std::numeric_limits<double>::quiet_NaN();
  }
};

enum class Verdict { passed, failed, skipped };

[[nodiscard]] inline const char* name_of(Verdict verdict) {
  constexpr const char* kNames[] = {"passed", "failed", "skipped"};
  return kNames[static_cast<int>(verdict)];
}

/// How one case went.
struct CaseReport {
  std::string name, suite, family;
  Verdict verdict = Verdict::passed;
  std::string reason;
  std::vector<TensorReport> tensors;

  void fail(const std::string& why) {
    verdict = Verdict::failed;
    reason += (reason.empty() ? "" : "; ") + why;
  }
  void skip(const std::string& why) {
    verdict = Verdict::skipped;
    reason = why;
  }
};

namespace detail {

[[nodiscard]] inline std::string text_of(double x) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.9g", x);
  return text.data();
}

[[nodiscard]] inline bool passes(double got, double want, const Tolerance& tolerance) {
  if (std::isnan(got) || std::isnan(want)) return std::isnan(got) && std::isnan(want);
  if (std::isinf(got) || std::isinf(want)) return got == want;
  return std::abs(got - want) <= tolerance.absolute + tolerance.relative * std::abs(want);
}

}  // namespace detail

/// Compares what was computed with what is wanted: the shapes are equal and every element passes.
[[nodiscard]] inline TensorReport compare(const std::string& name, const Array<double>* got, const Array<double>& want,
                                          const Tolerance& tolerance) {
  TensorReport report;
  report.name = name;
  if (got == nullptr) {
    report.reason = name + " was not computed";
    return report;
  }
  if (got->shape != want.shape) {
    report.reason = name + " is " + shape_to_string(got->shape.data(), got->shape.size()) + ", expected " +
                    shape_to_string(want.shape.data(), want.shape.size());
    return report;
  }
  report.passed = true;
  for (std::size_t i = 0; i < want.values.size(); ++i) {
    const double x = got->values[i], y = want.values[i];
    const double error = std::isfinite(x) && std::isfinite(y) ? std::abs(x - y) : 0;
    const bool passed = detail::passes(x, y, tolerance);
    if (!passed && (report.passed || error > report.error)) {
      report.reason = name + "[" + std::to_string(i) + "] is " + detail::text_of(x) + ", expected " +
                      detail::text_of(y) + " +- " +
                      detail::text_of(tolerance.absolute + tolerance.relative * std::abs(y));
    }
    report.passed = report.passed && passed;
    report.error = std::max(report.error, error);
  }
  return report;
}

/// Whole numbers and booleans must be equal; the others may differ by `tolerance`.
[[nodiscard]] inline TensorReport compare_with_file(const Case& c, const std::string& tensor, const Results& results,
                                                    const Tolerance& tolerance) {
  const Dtype dtype = c.file().entry(tensor).dtype;
  const bool real = dtype == Dtype::kF64 || dtype == Dtype::kF32 || dtype == Dtype::kF16 || dtype == Dtype::kBf16;
  return compare(tensor, results.find(tensor), c.array<double>(tensor), real ? tolerance : Tolerance{});
}

/// Runs fn(report); what it throws becomes the verdict.
template <class Function>
CaseReport report_case(const std::string& name, const std::string& suite, const std::string& family,
                       const Function& fn) {
  CaseReport report;
  report.name = name;
  report.suite = suite;
  report.family = family;
  try {
    fn(report);
  } catch (const Unsupported& reason) {
    report.skip(reason.what());
  } catch (const std::exception& error) {
    report.fail(error.what());
  }
  return report;
}

/// Parameters that have no effect on the loss: a bias of the keys, or of scores, shifts all scores of a softmax alike.
/// Their gradient is 0 but for rounding, which Adam scales up to whole steps; in fp32 they end anywhere.
[[nodiscard]] inline bool is_noise_in_fp32(const Case& c, const std::string& tensor) {
  if (c.text("op").rfind("train.", 0) != 0) return false;
  const auto ends_with = [&](const std::string& end) {
    return tensor.size() >= end.size() && tensor.compare(tensor.size() - end.size(), end.size(), end) == 0;
  };
  return ends_with("in_proj_bias") || ends_with("self_attention.fc2.bias");
}

/// Compares outputs and gradients, each with the tolerance that the file gives it.
template <class T>
void compare_torch_tensors(const Case& c, const Results& results, CaseReport& report) {
  const char* const scalar = sizeof(T) == 4 ? "f32" : "f64";
  const Json tolerances = c.json("tol"), relative = c.json("rtol");
  for (const Safetensors::Entry& entry : c.file().entries()) {
    const std::string kind = entry.name.substr(0, entry.name.find('.'));
    if (kind != "output" && kind != "grad_input" && kind != "grad_param") continue;
    if (sizeof(T) == 4 && is_noise_in_fp32(c, entry.name)) continue;
    Tolerance tolerance{relative.at(scalar).as_double(), 0};
    double torch_error = 0;
    if (const Json* row = tolerances.find(entry.name)) {
      tolerance.absolute = row->at(scalar).as_double();
      torch_error = row->at("torch_f32_err").as_double();
    }
    TensorReport tensor = compare_with_file(c, entry.name, results, tolerance);
    tensor.torch_error = torch_error;
    if (!tensor.passed) report.fail(tensor.reason);
    report.tensors.push_back(std::move(tensor));
  }
  if (report.tensors.empty()) report.fail("the case has nothing to compare");
}

/// The family of a torch case: "mha" of "mha.self".
[[nodiscard]] inline std::string family_of(const std::string& name) { return name.substr(0, name.find('.')); }

/// Runs a torch case by its adapter and compares outputs and gradients; without an adapter it is skipped.
template <class T>
[[nodiscard]] CaseReport run_torch_case(const Case& c, const Adapters& adapters) {
  return report_case(c.name(), c.suite(), family_of(c.name()), [&](CaseReport& report) {
    const Adapter* adapter = find_adapter(adapters, c.text("op"));
    if (adapter == nullptr) throw Unsupported("not in this version: " + c.text("op"));
    Results results;
    adapter->run(c, results);
    compare_torch_tensors<T>(c, results, report);
  });
}

}  // namespace mat::conformance
