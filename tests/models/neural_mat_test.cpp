#include "support/bits.hpp"
#include "support/catch.hpp"
#include "support/gradients.hpp"

#include <mat/models/neural_mat.hpp>

namespace neural_mat_test {

using namespace mat;
using mat::test::gradient_error;
using mat::test::inner_product;
using mat::test::largest_difference;
using mat::test::parameter_gradient_error;
using mat::test::random_tensor;
using mat::test::same_bits;

namespace {

template <class T>
typename NeuralMAT<T>::Config small(double write_rate_max) {
  typename NeuralMAT<T>::Config config;
  config.mat.input_dim = 4;
  config.mat.hidden_dim = 6;
  config.mat.nhead = 2;
  config.mat.activation = Activation::gelu;
  config.memory.write_rate_max = write_rate_max;
  return config;
}

const std::vector<Sequences>& segments() {
  static const std::vector<Sequences> all{Sequences({3, 2}), Sequences({0, 4}), Sequences({2, 1}), Sequences({1, 0})};
  return all;
}

template <class T>
std::vector<Matrix<T>> rows_of_segments(std::uint64_t seed) {
  std::vector<Matrix<T>> rows;
  for (const Sequences& sequences : segments()) rows.push_back(random_tensor<T, 2>({sequences.rows(), 4}, seed++));
  return rows;
}

}  // namespace

TEMPLATE_TEST_CASE("P1: with a write rate of 0 NeuralMAT is the article's MAT, bit for bit", "[models]", float,
                   double) {
  using T = TestType;
  const auto config = small<T>(0);
  const NeuralMAT<T> model(config, Random(1));
  const MAT<T> article(config.mat, Random(1));
  typename NeuralMAT<T>::State state, next;
  typename NeuralMAT<T>::Cache cache;
  typename MAT<T>::Cache article_cache;
  model.initial(2, state);
  const auto start = state.memory;
  const auto x = rows_of_segments<T>(10);
  for (std::size_t i = 0; i < x.size(); ++i) {
    const Matrix<T> expected(article.forward(x[i], segments()[i], article_cache));
    CHECK(same_bits<T>(model.forward(x[i], segments()[i], state, next, {}, cache), expected));
    CHECK(same_bits<T>(model.infer(x[i], segments()[i], state, next, cache), expected));
    CHECK(same_state(next.memory, start));
    std::swap(state, next);
  }
}

TEST_CASE("P4: NeuralMAT pools a document of several segments as the article pools one", "[models]") {
  auto config = small<double>(0);
  config.mat.num_layers = 0;  // attention would see the cuts
  const NeuralMAT<double> model(config, Random(1));
  const MAT<double> article(config.mat, Random(1));
  const auto x = random_tensor<double, 2>({12, 4}, 2);
  MAT<double>::Cache article_cache;
  (void)article.forward(x, Sequences::single(12), article_cache);
  NeuralMAT<double>::State state, next;
  NeuralMAT<double>::Cache cache;
  model.initial(1, state);
  for (const Index first : {0, 5, 6}) {
    const Index count = first == 0 ? 5 : first == 5 ? 1 : 6;
    (void)model.forward(x.view().middle_rows(first, count), Sequences::single(count), state, next, {}, cache);
    std::swap(state, next);
  }
  CHECK(largest_difference<double, 2>(model.pooled(state, cache), article.pooled(article_cache)) < 1e-15);
}

TEST_CASE("NeuralMAT remembers: the same segment reads differently after another", "[models]") {
  const NeuralMAT<float> model(small<float>(1), Random(1));
  const auto x = random_tensor<float, 2>({5, 4}, 2);
  NeuralMAT<float>::State state, next;
  NeuralMAT<float>::Cache cache;
  model.initial(1, state);
  const Matrix<float> first(model.forward(x, Sequences::single(5), state, next, {}, cache));
  CHECK(Matrix<float>(model.forward(x, Sequences::single(5), state, next, {}, cache)) == first);
  const Matrix<float> second(model.forward(x, Sequences::single(5), next, state, {}, cache));
  CHECK(largest_difference(first, second) > 1e-3);
}

TEST_CASE("NeuralMAT's gradients agree with central differences over four segments", "[models]") {
  auto config = small<double>(1.5);
  config.pool_decay = 0.8;
  NeuralMAT<double> model(config, Random(1));
  auto x = rows_of_segments<double>(10);
  const auto dy = rows_of_segments<double>(30);
  const auto dpooled = random_tensor<double, 2>({2, 4}, 50);
  const auto weights = random_tensor<double, 2>({2 * 6, 4}, 51);
  std::vector<NeuralMAT<double>::State> states(5);
  std::vector<NeuralMAT<double>::Cache> caches(4);
  const auto loss = [&] {
    model.initial(2, states[0]);
    double sum = 0;
    for (std::size_t i = 0; i < 4; ++i) {
      sum += inner_product(model.forward(x[i], segments()[i], states[i], states[i + 1], {}, caches[i]), dy[i]);
      if (i % 2 == 1) sum += inner_product(model.pooled(states[i + 1], caches[i]), dpooled);
    }
    return sum + inner_product(ConstMatrixView<double>(states[4].memory.weights.fc1_weight), weights);
  };
  (void)loss();
  auto grads = zeros_like(model.parameters());
  std::vector<Matrix<double>> dx(4);
  NeuralMAT<double>::State dnext, dstate;
  zero_state_like(states[4], dnext);
  dnext.memory.weights.fc1_weight = weights;
  for (std::size_t i = 4; i-- > 0;) {
    zero_state_like(states[i], dstate);
    NeuralMAT<double>::OutputGradients d{dy[i], {}};
    if (i % 2 == 1) d.dpooled = dpooled;
    dx[i].assign(model.backward(d, dnext, states[i], states[i + 1], caches[i], dstate, grads));
    std::swap(dnext, dstate);
  }
  model.initial_backward(dnext, grads);
  std::string name;
  const double error = parameter_gradient_error(loss, model.parameters(), grads, name);
  INFO(name);
  CHECK(error < 1e-6);
  for (std::size_t i = 0; i < 4; ++i) CHECK(gradient_error(loss, x[i], dx[i]) < 1e-6);
}

TEST_CASE("a gradient of the pooled row alone is a gradient of the rows that is 0", "[models]") {
  const NeuralMAT<double> model(small<double>(1), Random(1));
  const auto x = random_tensor<double, 2>({5, 4}, 2), dpooled = random_tensor<double, 2>({2, 4}, 3);
  const Sequences sequences({3, 2});
  NeuralMAT<double>::State state, next, dnext, dstate;
  NeuralMAT<double>::Cache cache;
  model.initial(2, state);
  (void)model.forward(x, sequences, state, next, {}, cache);
  zero_state_like(next, dnext);
  const auto gradient = [&](ConstMatrixView<double> dy) {
    zero_state_like(state, dstate);
    auto grads = zeros_like(model.parameters());
    return Matrix<double>(model.backward({dy, dpooled}, dnext, state, next, cache, dstate, grads));
  };
  const Matrix<double> zeros({5, 4});
  CHECK(gradient({}) == gradient(zeros));
}

TEST_CASE("NeuralMAT has the article's names, and more for what it writes", "[models]") {
  const NeuralMAT<float> model(small<float>(1), Random(1));
  const MAT<float> article(small<float>(1).mat, Random(1));
  const auto names = parameter_names(model.parameters());
  for (const std::string& name : parameter_names(article.parameters())) {
    CHECK(std::find(names.begin(), names.end(), name) != names.end());
  }
  CHECK(std::find(names.begin(), names.end(), "memory_layer.key_proj.weight") != names.end());
}

}  // namespace neural_mat_test
