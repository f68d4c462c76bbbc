#pragma once

#include <mat/training/progress.hpp>

#include <cmath>
#include <string>
#include <utility>
#include <vector>

namespace example {

/// A sentence, its translation, and where the decoder looked.
struct Alignment {
  std::vector<std::string> source, target;   // pieces
  std::vector<std::vector<double>> weights;  // [target][source], each row adding up to about 1
  std::vector<double> memory;                // of the source's pieces, adding up to 1; empty: no memory
};

/// A page about a translator: how its training went, and sentences with the places that the decoder looked at while it
/// wrote each piece. One file of HTML, which needs no other: the pictures are SVG inside it.
class TranslationReport {
 public:
  TranslationReport(std::string title, std::vector<std::pair<std::string, std::string>> facts)
      : title_(std::move(title)), facts_(std::move(facts)) {}

  /// The curves of a training, from the end of each epoch.
  void add_history(const std::vector<mat::Progress>& history) {
    std::vector<double> loss, validation;
    for (const mat::Progress& progress : history) {
      loss.push_back(progress.loss);
      validation.push_back(progress.validation);
    }
    body_ += "<h2>Training</h2>\n<div class=\"row\">\n";
    add_curve("Loss, by epoch", loss);
    add_curve("Validation, by epoch", validation);
    body_ += "</div>\n";
  }

  void add_alignment(const Alignment& a) {
    if (alignments_++ == 0) {
      body_ +=
          "<h2>Where the decoder looked</h2>\n<p>Each row is a piece of the translation; the darker a square, the more "
          "the decoder attended to that piece of the source while it wrote it. Bars, where there are some, are the "
          "memory's weights of the source.</p>\n<div class=\"row\">\n";
    }
    constexpr double kCell = 22, kTop = 110, kLeft = 130, kBars = 46;
    const double bars = a.memory.empty() ? 0.0 : kBars;
    const auto columns = static_cast<double>(a.source.size()), rows = static_cast<double>(a.target.size());
    body_ += "<svg width=\"" + text(kLeft + kCell * columns + 70) + "\" height=\"" +
             text(kTop + bars + kCell * rows + 8) + "\" role=\"img\">\n";
    for (std::size_t j = 0; j < a.source.size(); ++j) {
      const double x = kLeft + kCell * (static_cast<double>(j) + 0.5);
      body_ += "<text transform=\"translate(" + text(x + 4) + " " + text(kTop - 6) + ") rotate(-50)\">" +
               escaped(a.source[j]) + "</text>\n";
    }
    double most = 1e-9;
    for (const double weight : a.memory) most = std::fmax(most, weight);
    for (std::size_t j = 0; j < a.memory.size(); ++j) {
      const double height = (kBars - 6) * a.memory[j] / most;
      add_square(kLeft + kCell * static_cast<double>(j) + 3, kTop + kBars - 4 - height, kCell - 6, height,
                 "class=\"memory\"", a.source[j] + ": memory " + percent(a.memory[j]));
    }
    for (std::size_t i = 0; i < a.target.size(); ++i) {
      const double y = kTop + bars + kCell * static_cast<double>(i);
      body_ += "<text class=\"target\" x=\"" + text(kLeft - 8) + "\" y=\"" + text(y + 16) + "\">" +
               escaped(a.target[i]) + "</text>\n";
      for (std::size_t j = 0; j < a.source.size(); ++j) {
        const double weight = a.weights[i][j];
        add_square(kLeft + kCell * static_cast<double>(j), y, kCell - 1, kCell - 1,
                   "class=\"cell\" fill-opacity=\"" + text(std::fmin(1.0, std::fmax(0.03, weight))) + "\"",
                   a.target[i] + " \xE2\x86\x90 " + a.source[j] + ": " + percent(weight));
      }
    }
    body_ += "</svg>\n";
  }

  [[nodiscard]] std::string html() const {
    std::string page =
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>" + escaped(title_) +
        "</title>\n<meta name=\"viewport\" content=\"width=device-width\">\n<style>\n"
        "body { font: 15px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 70em; padding: 0 1em; color: #222 "
        "}\n"
        "h1 { font-size: 1.5em } h2 { font-size: 1.15em; margin-top: 2em }\n"
        "table { border-collapse: collapse } td { padding: .1em 1.5em .1em 0 } td:first-child { color: #666 }\n"
        ".row { display: flex; flex-wrap: wrap; align-items: flex-end; gap: 0 2em } figure { margin: 0 }\n"
        "svg { display: block; margin: 1em 0; max-width: 100%; overflow: visible } svg text { font-size: 12px; fill: "
        "#333 }\n"
        ".target { text-anchor: end } .cell { fill: #14548c } .memory { fill: #c4621a } .axis { stroke: #999 }\n"
        ".grid { stroke: #e4e4e4 } .curve { fill: none; stroke: #14548c; stroke-width: 2 } .dot { fill: #14548c }\n"
        ".number { text-anchor: end } .center { text-anchor: middle }\n"
        "</style></head><body>\n<h1>" +
        escaped(title_) + "</h1>\n<table>\n";
    for (const auto& [name, value] : facts_) {
      page += "<tr><td>" + escaped(name) + "</td><td>" + escaped(value) + "</td></tr>\n";
    }
    return page + "</table>\n" + body_ + (alignments_ > 0 ? "</div>\n" : "") + "</body></html>\n";
  }

 private:
  [[nodiscard]] static std::string text(double x) {
    std::array<char, 32> digits{};
    std::snprintf(digits.data(), digits.size(), "%.4g", x);
    return digits.data();
  }
  [[nodiscard]] static std::string percent(double x) { return text(std::round(1000 * x) / 10) + " %"; }
  [[nodiscard]] static std::string escaped(const std::string& plain) {
    std::string result;
    for (const char c : plain) {
      if (c == '&') {
        result += "&amp;";
      } else if (c == '<') {
        result += "&lt;";
      } else if (c == '>') {
        result += "&gt;";
      } else {
        result += c;
      }
    }
    return result;
  }

  void add_square(double x, double y, double width, double height, const std::string& look, const std::string& tip) {
    body_ += "<rect x=\"" + text(x) + "\" y=\"" + text(y) + "\" width=\"" + text(width) + "\" height=\"" +
             text(height) + "\" " + look + "><title>" + escaped(tip) + "</title></rect>\n";
  }

  /// A curve over 1, 2, ...; numbers that are none are left out, and without any there is no picture.
  void add_curve(const std::string& name, const std::vector<double>& values) {
    constexpr double kWidth = 420, kHeight = 200, kLeft = 48, kBottom = 30, kTop = 8;
    double low = HUGE_VAL, high = -HUGE_VAL;
    for (const double value : values) {
      if (std::isnan(value)) continue;
      low = std::fmin(low, value);
      high = std::fmax(high, value);
    }
    if (!(low <= high)) return;
    if (low == high) high = low + 1.0;
    const auto x_of = [&](std::size_t i) {
      const double steps = values.size() > 1 ? static_cast<double>(values.size() - 1) : 1.0;
      return kLeft + (kWidth - kLeft - 10) * static_cast<double>(i) / steps;
    };
    const auto y_of = [&](double value) { return kTop + (kHeight - kBottom - kTop) * (high - value) / (high - low); };
    body_ += "<figure><svg width=\"" + text(kWidth) + "\" height=\"" + text(kHeight) + "\" role=\"img\">\n";
    for (int i = 0; i <= 4; ++i) {
      const double value = low + (high - low) * i / 4;
      body_ += "<line class=\"grid\" x1=\"" + text(kLeft) + "\" x2=\"" + text(kWidth - 10) + "\" y1=\"" +
               text(y_of(value)) + "\" y2=\"" + text(y_of(value)) + "\"/><text class=\"number\" x=\"" +
               text(kLeft - 6) + "\" y=\"" + text(y_of(value) + 4) + "\">" + text(value) + "</text>\n";
    }
    const std::string below = "\" y=\"" + text(kHeight - 10) + "\">";
    body_ += "<text class=\"center\" x=\"" + text(kLeft) + below + "1</text><text class=\"number\" x=\"" +
             text(kWidth - 8) + below + std::to_string(values.size()) + "</text>\n<polyline class=\"curve\" points=\"";
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (!std::isnan(values[i])) body_ += text(x_of(i)) + "," + text(y_of(values[i])) + " ";
    }
    body_ += "\"/>\n";
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (std::isnan(values[i])) continue;
      body_ += "<circle class=\"dot\" cx=\"" + text(x_of(i)) + "\" cy=\"" + text(y_of(values[i])) +
               "\" r=\"3\"><title>" + std::to_string(i + 1) + ": " + text(values[i]) + "</title></circle>\n";
    }
    body_ += "</svg><figcaption>" + escaped(name) + "</figcaption></figure>\n";
  }

  std::string title_;
  std::vector<std::pair<std::string, std::string>> facts_;
  std::string body_;
  int alignments_ = 0;
};

}  // namespace example
