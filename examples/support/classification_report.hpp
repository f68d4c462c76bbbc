#pragma once

#include <mat/training/metrics.hpp>

#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace example {

using Labels = std::vector<std::string>;

/// How many examples have the class `c`.
[[nodiscard]] inline mat::Index examples_of(const mat::ConfusionMatrix& confusion, mat::Index c) {
  mat::Index sum = 0;
  for (mat::Index j = 0; j < confusion.classes(); ++j) sum += confusion.counts()(c, j);
  return sum;
}

[[nodiscard]] inline mat::Index correct(const mat::ConfusionMatrix& confusion) {
  mat::Index sum = 0;
  for (mat::Index c = 0; c < confusion.classes(); ++c) sum += confusion.counts()(c, c);
  return sum;
}

/// "accuracy 0.9020 (451/500)"
[[nodiscard]] inline std::string accuracy_text(const mat::ConfusionMatrix& confusion) {
  std::array<char, 32> number{};
  std::snprintf(number.data(), number.size(), "%.4f", confusion.accuracy());
  return "accuracy " + std::string(number.data()) + " (" + std::to_string(correct(confusion)) + "/" +
         std::to_string(confusion.total()) + ")";
}

/// `text` filled up with spaces to `width` characters, not bytes.
[[nodiscard]] inline std::string padded(const std::string& text, std::size_t width) {
  std::size_t characters = 0;
  for (const char c : text) characters += (static_cast<unsigned char>(c) & 0xC0) != 0x80 ? 1 : 0;
  return text + std::string(width > characters ? width - characters : 0, ' ');
}

/// A line for each class, the confusion matrix, and the accuracy as the last line.
inline void print_report(const mat::ConfusionMatrix& confusion, const Labels& labels) {
  std::size_t width = 5;
  for (const std::string& label : labels) width = std::max(width, label.size());
  std::printf("%s  precision  recall      f1  examples\n", padded("class", width).c_str());
  for (mat::Index c = 0; c < confusion.classes(); ++c) {
    std::printf("%s     %.4f  %.4f  %.4f  %8td\n", padded(labels[static_cast<std::size_t>(c)], width).c_str(),
                confusion.precision(c), confusion.recall(c), confusion.f1(c), examples_of(confusion, c));
  }
  std::printf("\nconfusion (rows: the class; columns: what it was taken for, in the same order)\n");
  for (mat::Index c = 0; c < confusion.classes(); ++c) {
    std::printf("%s", padded(labels[static_cast<std::size_t>(c)], width).c_str());
    for (mat::Index j = 0; j < confusion.classes(); ++j) std::printf(" %6td", confusion.counts()(c, j));
    std::printf("\n");
  }
  std::printf("\nmacro f1 %.4f\n%s\n", confusion.macro_f1(), accuracy_text(confusion).c_str());
}

/// The same as one JSON object.
[[nodiscard]] inline nlohmann::ordered_json report_json(const mat::ConfusionMatrix& confusion, const Labels& labels) {
  nlohmann::ordered_json report;
  report["accuracy"] = confusion.accuracy();
  report["correct"] = correct(confusion);
  report["total"] = confusion.total();
  report["macro_f1"] = confusion.macro_f1();
  for (mat::Index c = 0; c < confusion.classes(); ++c) {
    nlohmann::ordered_json row;
    for (mat::Index j = 0; j < confusion.classes(); ++j) row.push_back(confusion.counts()(c, j));
    report["classes"].push_back({{"label", labels[static_cast<std::size_t>(c)]},
                                 {"precision", confusion.precision(c)},
                                 {"recall", confusion.recall(c)},
                                 {"f1", confusion.f1(c)},
                                 {"examples", examples_of(confusion, c)},
                                 {"taken_for", row}});
  }
  return report;
}

}  // namespace example
