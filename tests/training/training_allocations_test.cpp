#include "support/allocations.hpp"
#include "support/catch.hpp"
#include "training/toy_model.hpp"

#include <mat/training/adamw.hpp>
#include <mat/training/clip.hpp>
#include <mat/training/moving_average.hpp>
#include <mat/training/sgd.hpp>

namespace training_allocations_test {

using namespace mat;
using namespace mat::test;

TEST_CASE("After warm-up a loss, its gradient and a step allocate nothing", "[training]") {
  if (!allocations_are_counted()) {
    WARN("skipped: under a sanitizer allocations are not counted");
    return;
  }
  Pair<double> p = start();
  const std::vector<Pair<double>> gradients = three_gradients();
  Pair<double> g = gradients[0];
  SgdConfig momentum;
  momentum.momentum = 0.9;
  Sgd<Pair<double>> sgd(p, momentum);
  AdamW<Pair<double>> adamw(p);
  MovingAverage<Pair<double>> average(p);
  const CrossEntropy<double> loss;
  CrossEntropy<double>::Cache cache;
  const Matrix<double> logits({40, 33}), smaller({7, 5});
  const std::vector<Index> targets(40, 2), fewer(7, 2);
  loss.forward(logits, targets, cache);
  loss.backward(2.0, cache);

  const long before = allocations();
  loss.forward(smaller, fewer, cache, 9.0);
  loss.backward(2.0, cache);
  loss.evaluate(logits, targets, cache);
  clip_grad_norm(g);
  sgd.step(p, g);
  adamw.set_learning_rate(0.1);
  adamw.step(p, g);
  average.update(p);
  average.swap(p);
  CHECK(allocations() == before);
}

}  // namespace training_allocations_test
