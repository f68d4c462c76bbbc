#include "support/catch.hpp"

#include <examples/support/translation_report.hpp>

namespace translation_report_test {

using example::Alignment;
using example::TranslationReport;

namespace {

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t n = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size())) ++n;
  return n;
}

mat::Progress epoch(double loss, double validation) {
  mat::Progress progress;
  progress.loss = loss;
  progress.validation = validation;
  return progress;
}

}  // namespace

TEST_CASE("A report of an alignment has a square for each pair of pieces, and names them", "[examples]") {
  TranslationReport report("a <b> & c", {{"parameters", "7"}});
  Alignment alignment{{"the", "<dog>", "</s>"}, {"Hund", "</s>"}, {{0.1, 0.8, 0.1}, {0, 0, 1}}, {}};
  report.add_alignment(alignment);
  CHECK(count(report.html(), "class=\"cell\"") == 6);
  CHECK(count(report.html(), "class=\"memory\"") == 0);
  CHECK(count(report.html(), "Hund \u2190 &lt;dog&gt;: 80 %") == 1);
  CHECK(count(report.html(), "<h1>a &lt;b&gt; &amp; c</h1>") == 1);
  CHECK(count(report.html(), "<dog>") == 0);
  alignment.memory = {0.2, 0.5, 0.3};
  report.add_alignment(alignment);
  CHECK(count(report.html(), "class=\"cell\"") == 12);
  CHECK(count(report.html(), "class=\"memory\"") == 3);
  CHECK(count(report.html(), "<svg") == count(report.html(), "</svg>"));
  CHECK(count(report.html(), "<div") == count(report.html(), "</div>"));
}

TEST_CASE("A report of a training draws the curves that there are", "[examples]") {
  const auto curves = [](const std::vector<mat::Progress>& history) {
    TranslationReport report("title", {});
    report.add_history(history);
    CHECK(count(report.html(), "nan") == 0);
    CHECK(count(report.html(), "inf\"") == 0);
    return count(report.html(), "<polyline");
  };
  const double none = mat::Progress::kNone;
  CHECK(curves({epoch(3, 10), epoch(2, 20), epoch(1, 30)}) == 2);
  CHECK(curves({epoch(3, none), epoch(2, none)}) == 1);
  CHECK(curves({epoch(3, 10), epoch(none, 20)}) == 2);
  CHECK(curves({epoch(3, 10)}) == 2);
  CHECK(curves({}) == 0);
}

}  // namespace translation_report_test
