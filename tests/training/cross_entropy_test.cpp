#include "support/catch.hpp"
#include "support/gradients.hpp"

#include <mat/ops/softmax.hpp>
#include <mat/training/cross_entropy.hpp>

namespace cross_entropy_test {

using namespace mat;

namespace {

using Loss = CrossEntropy<double>;

// Expected numbers in this file: PyTorch 2.13.0, torch.nn.functional.cross_entropy in double.
const Matrix<double> kLogits({4, 3}, {0.5, -1.25, 2.0, 1.5, 0.25, -0.75, -2.0, 3.0, 0.125, 0.0, 1.0, -1.0});
const Vector<Index> kTargets({4}, {2, 0, -100, 1});
const Vector<double> kWeight({3}, {0.5, 2.0, 1.25});
const Matrix<double> kSoft({4, 3}, {0.2, 0.3, 0.5, 1, 0, 0, 0.1, 0.1, 0.8, 0.25, 0.5, 0.25});

bool near(ConstMatrixView<double> a, const Matrix<double>& b) {
  return test::largest_difference(a, ConstMatrixView<double>(b)) < 1e-14;
}
bool near(double a, double b) { return std::abs(a - b) < 1e-14; }

Loss::Config config_of(double label_smoothing, bool weighted, Reduction reduction = Reduction::mean) {
  Loss::Config config;
  config.label_smoothing = label_smoothing;
  if (weighted) config.weight = kWeight;
  config.reduction = reduction;
  return config;
}

}  // namespace

TEST_CASE("CrossEntropy is PyTorch's for classes as targets", "[training]") {
  Loss::Cache cache;
  SECTION("the mean leaves ignored tokens out") {
    CHECK(near(Loss().forward(kLogits, kTargets, cache), 0.3236335189845457));
    CHECK(near(Loss().backward(cache),
               Matrix<double>({4, 3}, {0.05894006070248143, 0.01024224677547881, -0.06918230747796024,
                                       -0.09385321961631168, 0.06861220133255051, 0.02524101828376117, 0.0, 0.0, 0.0,
                                       0.08157615701826587, -0.1115863480750594, 0.030010191056793478})));
  }
  SECTION("the mean with class weights divides by their sum") {
    const Loss loss(config_of(0.0, true));
    CHECK(near(loss.forward(kLogits, kTargets, cache), 0.33902018999197703));
    CHECK(near(loss.backward(cache),
               Matrix<double>({4, 3}, {0.05894006070248143, 0.01024224677547881, -0.06918230747796024,
                                       -0.037541287846524676, 0.027444880533020206, 0.010096407313504469, 0.0, 0.0, 0.0,
                                       0.1305218512292254, -0.17853815692009506, 0.048016305690869565})));
  }
  SECTION("label smoothing") {
    const Loss loss(config_of(0.1, false));
    CHECK(near(loss.forward(kLogits, kTargets, cache), 0.4486335189845457));
    CHECK(near(loss.backward(cache),
               Matrix<double>({4, 3}, {0.047828949591370316, -0.0008688643356323014, -0.04696008525573804,
                                       -0.07163099739408944, 0.05750109022143941, 0.014129907172650063, 0.0, 0.0, 0.0,
                                       0.07046504590715477, -0.08936412585283716, 0.01889907994568237})));
  }
  SECTION("label smoothing with class weights") {
    const Loss loss(config_of(0.2, true));
    CHECK(near(loss.forward(kLogits, kTargets, cache), 0.6126095224571575));
    CHECK(near(loss.backward(cache),
               Matrix<double>({4, 3}, {0.05005117181359254, -0.025313308780076746, -0.024737863033515786,
                                       0.008974103577295693, 0.00012278913737071462, -0.009096892714666413, 0.0, 0.0,
                                       0.0, 0.11184382349814462, -0.13403668403997684, 0.022192860541832126})));
  }
  SECTION("the sum") {
    const Loss loss(config_of(0.0, true, Reduction::sum));
    CHECK(near(loss.forward(kLogits, kTargets, cache), 1.2713257124699138));
    CHECK(near(loss.backward(cache),
               Matrix<double>({4, 3}, {0.22102522763430538, 0.03840842540804554, -0.2594336530423509,
                                       -0.14077982942446754, 0.10291830199882578, 0.03786152742564176, 0.0, 0.0, 0.0,
                                       0.4894569421095953, -0.6695180884503564, 0.18006114634076087})));
  }
  SECTION("no reduction: a loss for each token, and an upstream gradient for each") {
    const Loss loss(config_of(0.2, true, Reduction::none));
    const Vector<double> dlosses({4}, {1.0, -2.0, 3.0, 0.5});
    CHECK(near(loss.forward(kLogits, kTargets, cache), 0.7741108122108742 + 0.5691038627813624 + 0.9540710342221038));
    const double expected[] = {0.7741108122108742, 0.5691038627813624, 0.0, 0.9540710342221038};
    for (Index t = 0; t < 4; ++t) CHECK(near(cache.losses(t), expected[t]));
    CHECK(near(loss.backward(dlosses, cache),
               Matrix<double>({4, 3}, {0.18769189430097205, -0.0949249079252878, -0.09276698637568417,
                                       -0.06730577682971774, -0.0009209185302803632, 0.06822669535999809, 0.0, 0.0, 0.0,
                                       0.20970716905902118, -0.2513187825749565, 0.041611613515935245})));
  }
}

TEST_CASE("CrossEntropy is PyTorch's for distributions as targets", "[training]") {
  Loss::Cache cache;
  SECTION("the mean divides by the tokens") {
    CHECK(near(Loss().forward(kLogits, kSoft, cache), 1.4642851500464205));
    CHECK(near(Loss().backward(cache),
               Matrix<double>({4, 3}, {-0.005794954473138929, -0.0673183149183909, 0.07311326939152982,
                                       -0.07038991471223377, 0.05145915099941289, 0.01893076371282088,
                                       -0.023415576094607024, 0.2101493571570134, -0.18673378106240637,
                                       -0.0013178822363005896, 0.041310238943705446, -0.03999235670740489})));
  }
  SECTION("also with class weights and label smoothing") {
    const Loss loss(config_of(0.2, true));
    CHECK(near(loss.forward(kLogits, kSoft, cache), 1.847655099560137));
    CHECK(near(loss.backward(cache),
               Matrix<double>(
                   {4, 3}, {0.029575276306854675, -0.14327032587642538, 0.11369504956957073, 0.008413222103714717,
                            0.0001151148162850454, -0.008528336919999761, -0.016352803451592113, 0.22060336311293346,
                            -0.20425055966134134, 0.05232163153584583, -0.000498998812145727, -0.05182263272370018})));
  }
  SECTION("a distribution with all on one class is that class") {
    const Matrix<double> one_hot({4, 3}, {0, 0, 1, 1, 0, 0, 0, 1, 0, 0, 1, 0});
    const Vector<Index> classes({4}, {2, 0, 1, 1});
    Loss::Cache other;
    CHECK(near(Loss().forward(kLogits, one_hot, cache), Loss().forward(kLogits, classes, other)));
    CHECK(near(cache.dlogits, other.dlogits));
  }
}

TEST_CASE("CrossEntropy of log-probabilities is PyTorch's nll_loss", "[training]") {
  Loss::Config config = config_of(0.0, true);
  config.input = Loss::Input::log_probabilities;
  Loss::Cache cache;
  CHECK(near(Loss(config).forward(kLogits, kTargets, cache), -1.4));
  const double third = 1.0 / 3.0, y1 = -2.0 / 15.0, y3 = -8.0 / 15.0;
  CHECK(near(Loss(config).backward(cache), Matrix<double>({4, 3}, {0, 0, -third, y1, 0, 0, 0, 0, 0, 0, y3, 0})));

  Matrix<double> log_probabilities({4, 3});
  log_softmax_forward<double>(kLogits, log_probabilities);
  CHECK(near(Loss(config).evaluate(log_probabilities, kTargets, cache), 0.33902018999197703));
}

TEST_CASE("CrossEntropy's gradient agrees with central differences", "[training]") {
  const double smoothing = GENERATE(0.0, 0.15);
  const bool weighted = GENERATE(false, true), soft = GENERATE(false, true);
  const Reduction reduction = GENERATE(Reduction::mean, Reduction::sum, Reduction::none);
  const Index tokens = 5, classes = 19;
  Loss::Config config;
  config.label_smoothing = smoothing;
  config.reduction = reduction;
  if (weighted) {
    config.weight.resize({classes});
    for (Index j = 0; j < classes; ++j) config.weight(j) = 0.25 + 0.1 * static_cast<double>(j);
  }
  const Loss loss(config);
  Matrix<double> logits = test::random_tensor<double, 2>({tokens, classes}, 1, 2.0);
  Matrix<double> distribution = test::random_tensor<double, 2>({tokens, classes}, 2);
  softmax_forward<double>(distribution, distribution);
  const Vector<Index> indices({tokens}, {3, -100, 18, 0, 3});
  const Targets<double> targets = soft ? Targets<double>(distribution) : Targets<double>(indices);

  const Vector<double> dlosses = test::random_tensor<double, 1>({tokens}, 3);
  Loss::Cache cache;
  loss.forward(logits, targets, cache);
  const Matrix<double> gradient(reduction == Reduction::none ? loss.backward(dlosses, cache)
                                                             : loss.backward(-1.5, cache));
  const auto value = [&] {
    Loss::Cache scratch;
    const double reduced = loss.evaluate(logits, targets, scratch);
    return reduction == Reduction::none ? test::inner_product<double, 1>(scratch.losses, dlosses) : -1.5 * reduced;
  };
  CHECK(test::gradient_error(value, logits, gradient) < 1e-6);
}

TEST_CASE("CrossEntropy is safe for huge logits", "[training]") {
  const Matrix<double> logits({3, 3}, {1e4, -1e4, 0.0, 1e4, 1e4, -1e4, -1e4, -1e4, -1e4});
  const Vector<Index> targets({3}, {1, 0, 2});
  Loss::Cache cache;
  Loss().forward(logits, targets, cache);
  CHECK(near(cache.losses(0), 2e4));
  CHECK(near(cache.losses(1), std::log(2.0)));
  CHECK(near(cache.losses(2), std::log(3.0)));
  CHECK(near(cache.dlogits,
             Matrix<double>({3, 3}, {1.0 / 3, -1.0 / 3, 0, -0.5 / 3, 0.5 / 3, 0, 1.0 / 9, 1.0 / 9, -2.0 / 9})));

  CrossEntropy<float>::Cache single;
  const Matrix<float> pair({1, 2}, {1e4f, -1e4f});
  const std::vector<Index> second{1};
  CrossEntropy<float>().forward(pair, second, single);
  CHECK(single.losses(0) == 2e4f);
}

TEST_CASE("CrossEntropy with every target ignored is NaN with gradient 0, as in PyTorch", "[training]") {
  Loss::Config config;
  config.ignore_index = 2;
  const std::vector<Index> ignored{2, 2, 2, 2};
  Loss::Cache cache;
  CHECK(std::isnan(Loss(config).forward(kLogits, ignored, cache)));
  CHECK(cache.dlogits == Matrix<double>({4, 3}));
  config.reduction = Reduction::sum;
  CHECK(Loss(config).forward(kLogits, ignored, cache) == 0.0);
  const Matrix<double> nothing({0, 3});
  const Vector<Index> no_targets({0});
  CHECK(std::isnan(Loss().forward(nothing, no_targets, cache)));
}

TEST_CASE("CrossEntropy keeps NaN within its row", "[training]") {
  Matrix<double> logits = kLogits;
  logits(1, 1) = std::numeric_limits<double>::quiet_NaN();
  Loss::Cache cache, clean;
  CHECK(std::isnan(Loss().forward(logits, kTargets, cache)));
  Loss().forward(kLogits, kTargets, clean);
  for (const Index t : {0, 2, 3}) {
    CHECK(cache.losses(t) == clean.losses(t));
    for (Index j = 0; j < 3; ++j) CHECK(cache.dlogits(t, j) == clean.dlogits(t, j));
  }
  CHECK(std::isnan(cache.dlogits(1, 0)));
}

TEST_CASE("CrossEntropy gives a row the same bits alone and in a batch", "[training]") {
  const Matrix<float> logits = test::random_tensor<float, 2>({9, 37}, 4, 3.0);
  const std::vector<Index> targets{0, 36, 5, 7, 11, 30, 2, 2, 9};
  CrossEntropy<float>::Config config;
  config.label_smoothing = 0.1f;
  config.reduction = Reduction::sum;
  const CrossEntropy<float> loss(config);
  CrossEntropy<float>::Cache all, one;
  loss.forward(logits, targets, all);
  for (Index t = 0; t < 9; ++t) {
    const Vector<Index> target({1}, {targets[static_cast<std::size_t>(t)]});
    loss.forward(logits.view().middle_rows(t, 1), target, one);
    CHECK(one.losses(0) == all.losses(t));
    CHECK(one.dlogits == Matrix<float>(ConstMatrixView<float>(all.dlogits.view().middle_rows(t, 1))));
  }
}

TEST_CASE("CrossEntropy without a gradient gives the same loss", "[training]") {
  const Loss loss(config_of(0.2, true));
  Loss::Cache with, without;
  CHECK(loss.forward(kLogits, kTargets, with) == loss.evaluate(kLogits, kTargets, without));
  CHECK(with.losses == without.losses);
  CHECK(with.sum == without.sum);
  CHECK(without.dlogits.empty());
}

TEST_CASE("Micro-batches with a common normalizer add up to one big batch", "[training]") {
  const Loss loss(config_of(0.1, true));
  Loss::Cache whole, part;
  const double expected = loss.forward(kLogits, kTargets, whole);
  const ConstVectorView<Index> targets = kTargets;
  const double normalizer = loss.weight_sum(ConstVectorView<Index>(targets.data(), {1})) +
                            loss.weight_sum(ConstVectorView<Index>(targets.data() + 1, {3}));
  CHECK(normalizer == 3.75);
  double value = 0.0;
  LossSum sum;
  for (const auto& [begin, count] : {std::pair<Index, Index>{0, 1}, {1, 3}}) {
    const auto rows = kLogits.view().middle_rows(begin, count);
    value += loss.forward(rows, ConstVectorView<Index>(targets.data() + begin, {count}), part, normalizer);
    sum += part.sum;
    CHECK(part.dlogits == Matrix<double>(ConstMatrixView<double>(whole.dlogits.view().middle_rows(begin, count))));
  }
  CHECK(near(value, expected));
  CHECK(near(sum.mean(), expected));
}

TEST_CASE("CrossEntropy refuses what does not fit before anything changes", "[training]") {
  Loss::Cache cache;
  Loss().forward(kLogits, kTargets, cache);
  const Matrix<double> before = cache.dlogits, wide({4, 5}), narrow({4, 2});
  const std::vector<Index> beyond{0, 1, 2, 3}, negative{0, -1, 2, 2}, two{0, 1}, seven{7};
  const Vector<double> dlosses({4}), three({3});
  CHECK_THROWS_WITH(Loss().forward(kLogits, beyond, cache),
                    "CrossEntropy::forward: target of row 3 is 3, expected in [0, 3) or ignore_index -100");
  CHECK_THROWS_WITH(Loss().evaluate(kLogits, negative, cache),
                    "CrossEntropy::evaluate: target of row 1 is -1, expected in [0, 3) or ignore_index -100");
  CHECK_THROWS_WITH(Loss().forward(kLogits, two, cache),
                    "CrossEntropy::forward: targets is 2 tokens, expected 4, the rows of logits [4, 3]");
  CHECK_THROWS_WITH(Loss().forward(kLogits, narrow, cache),
                    "CrossEntropy::forward: targets is [4, 2], expected [4, 3]");
  CHECK_THROWS_WITH(Loss(config_of(0, true)).forward(wide, kTargets, cache),
                    "CrossEntropy::forward: logits is [4, 5], expected [*, 3], one column for each class weight");
  CHECK_THROWS_WITH(Loss(config_of(0, true)).weight_sum(seven),
                    "CrossEntropy::weight_sum: target of row 0 is 7, expected in [0, 3) or ignore_index -100");
  CHECK_THROWS_WITH(Loss().forward(kLogits, kTargets, cache, -1.0),
                    "CrossEntropy::forward: normalizer is -1, expected at least 0");
  CHECK_THROWS_WITH(Loss(config_of(0, false, Reduction::sum)).forward(kLogits, kTargets, cache, 2.0),
                    "CrossEntropy::forward: normalizer is given with another reduction, expected Reduction::mean");
  CHECK_THROWS_WITH(Loss().backward(dlosses, cache),
                    "CrossEntropy::backward: dlosses is given with another reduction, expected Reduction::none");
  CHECK_THROWS_WITH(Loss(config_of(0, false, Reduction::none)).backward(three, cache),
                    "CrossEntropy::backward: dlosses is [3], expected [4]");
  CHECK_THROWS_WITH(Loss(config_of(1.5, false)), "CrossEntropy: label_smoothing is 1.5, expected in [0, 1]");
  Loss::Config ignoring;
  ignoring.ignore_index = 1;
  CHECK_THROWS_WITH(Loss(ignoring).forward(kLogits, kSoft, cache),
                    "CrossEntropy::forward: ignore_index is 1, expected negative for soft targets");
  CHECK(cache.dlogits == before);
}

}  // namespace cross_entropy_test
