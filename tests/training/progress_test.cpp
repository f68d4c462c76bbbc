#include "support/catch.hpp"

#include <mat/training/progress.hpp>

namespace progress_test {

using namespace mat;

TEST_CASE("A Progress is one line of JSON, in which what is missing is null", "[training]") {
  Progress p;
  p.epoch = 2;
  p.epochs = 5;
  p.step = 31;
  p.batch = 11;
  p.batches = 20;
  p.loss = 0.125;
  p.grad_norm = 3.5;
  p.learning_rate = 1e-3;
  p.tokens_per_second = 12345.5;
  p.seconds = 2.25;
  p.seconds_left = std::numeric_limits<double>::infinity();
  CHECK(json_line(p) ==
        R"({"event":"step","epoch":2,"epochs":5,"step":31,"batch":11,"batches":20,"loss":0.125,"grad_norm":3.5,)"
        R"("learning_rate":0.001,"validation":null,"tokens_per_second":12345.5,"seconds":2.25,"seconds_left":null})");
  p.event = Progress::Event::epoch;
  p.validation = 0.5;
  CHECK_THAT(json_line(p), ContainsSubstring(R"({"event":"epoch",)") && ContainsSubstring(R"("validation":0.5)"));
}

}  // namespace progress_test
