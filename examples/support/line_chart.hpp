#pragma once

#include <array>
#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

namespace example {

/// Lines of shares over a horizontal axis, as one SVG element that a page styles: the i-th line has the class
/// "line lineI", its marks "mark markI".
struct LineChart {
  struct Tick {
    double x = 0;  ///< In [0, 1].
    std::string label;
  };
  struct Point {
    double x = 0, y = 0;  ///< In [0, 1]; a y that is no number is left out.
  };
  struct Line {
    std::string name;
    std::size_t style = 0;  ///< I
    std::vector<Point> points;
  };

  std::string title, x_label;
  std::vector<Tick> ticks;
  std::vector<Line> lines;
  double chance = 0;   ///< A dashed line at this share.
  bool marks = false;  ///< A mark at each point.

  [[nodiscard]] std::string svg() const {
    std::string text = "<svg viewBox=\"0 0 440 300\" role=\"img\" aria-label=\"" + title + "\">\n";
    for (int percent = 0; percent <= 100; percent += 25) {
      const double y = at_y(percent / 100.0);
      text += segment("grid", {kLeft, y}, {kRight, y});
      text += label("tick end", kLeft - 6, y + 5, std::to_string(percent) + "%");
    }
    for (const Tick& tick : ticks) text += label("tick middle", at_x(tick.x), kBottom + 20, tick.label);
    text += label("tick middle", (kLeft + kRight) / 2, kBottom + 42, x_label);
    text += segment("chance", {kLeft, at_y(chance)}, {kRight, at_y(chance)});
    for (const Line& line : lines) text += drawn(line);
    return text + "</svg>\n";
  }

  /// What stands for the dashed line in a legend, and for another.
  [[nodiscard]] static std::string chance_sample() {
    return "<svg class=\"sample\" viewBox=\"0 0 36 14\" aria-hidden=\"true\"><path class=\"chance\" d=\"M2 "
           "7H34\"/></svg>";
  }
  [[nodiscard]] static std::string sample(std::size_t style) {
    return "<svg class=\"sample\" viewBox=\"0 0 36 14\" aria-hidden=\"true\">" + path(style, "M2 7H34") +
           mark(style, 18, 7) + "</svg>";
  }

 private:
  static constexpr double kLeft = 48, kRight = 428, kTop = 12, kBottom = 248;

  [[nodiscard]] static double at_x(double x) { return kLeft + 8 + x * (kRight - kLeft - 16); }
  [[nodiscard]] static double at_y(double y) { return kBottom - y * (kBottom - kTop); }
  [[nodiscard]] static std::string number(double value) {
    std::array<char, 32> text{};
    std::snprintf(text.data(), text.size(), "%.1f", value);
    return text.data();
  }
  [[nodiscard]] static std::string segment(const std::string& style, std::array<double, 2> from,
                                           std::array<double, 2> to) {
    return "<path class=\"" + style + "\" d=\"M" + number(from[0]) + " " + number(from[1]) + "L" + number(to[0]) + " " +
           number(to[1]) + "\"/>\n";
  }
  [[nodiscard]] static std::string label(const std::string& style, double x, double y, const std::string& text) {
    return "<text class=\"" + style + "\" x=\"" + number(x) + "\" y=\"" + number(y) + "\">" + text + "</text>\n";
  }
  [[nodiscard]] static std::string path(std::size_t style, const std::string& d) {
    return "<path class=\"line line" + std::to_string(style) + "\" d=\"" + d + "\"/>";
  }
  /// A shape of its own for each line, for those who do not see its colour.
  [[nodiscard]] static std::string mark(std::size_t style, double x, double y) {
    static const std::array<const char*, 5> shapes{"m-4 -4h8v8h-8z", "m0 -5l5 9h-10z", "m0 -5l5 5l-5 5l-5 -5z",
                                                   "m-4 0a4 4 0 1 0 8 0a4 4 0 1 0 -8 0z", "m0 5l5 -9h-10z"};
    return "<path class=\"mark mark" + std::to_string(style) + "\" d=\"M" + number(x) + " " + number(y) +
           shapes[style % shapes.size()] + "\"/>";
  }
  [[nodiscard]] std::string drawn(const Line& line) const {
    std::string d, shapes;
    for (const Point& point : line.points) {
      if (std::isnan(point.y)) continue;
      d += (d.empty() ? "M" : "L") + number(at_x(point.x)) + " " + number(at_y(point.y));
      if (marks) shapes += mark(line.style, at_x(point.x), at_y(point.y));
    }
    if (d.empty()) return "";
    return "<g><title>" + line.name + "</title>" + path(line.style, d) + shapes + "</g>\n";
  }
};

}  // namespace example
