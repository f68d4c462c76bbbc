#include "support/catch.hpp"
#include "support/gradients.hpp"

#include <mat/models/mat.hpp>

namespace mat_test {

using namespace mat;
using mat::test::gradient_error;
using mat::test::inner_product;
using mat::test::largest_difference;
using mat::test::parameter_gradient_error;
using mat::test::random_tensor;

namespace {

template <class T>
typename MAT<T>::Config small() {
  typename MAT<T>::Config config;
  config.input_dim = 6;
  config.hidden_dim = 8;
  config.nhead = 2;
  config.activation = Activation::gelu;
  return config;
}

}  // namespace

TEST_CASE("MAT is the article's composition of its three parts", "[models]") {
  auto config = small<double>();
  const MAT<double> model(config, Random(1));
  const Sequences sequences({3, 5});
  const auto x = random_tensor<double, 2>({8, 6}, 2);
  MAT<double>::Cache cache;
  const auto y = model.forward(x, sequences, cache);

  const auto& parts = model.parameters();
  TransformerEncoder<double>::Cache encoder_cache;
  MemoryLayer<double>::Cache memory_cache;
  SelfAttention<double>::Cache attention_cache;
  const auto encoded = parts.transformer_encoder.forward(x, sequences, {}, encoder_cache);
  const auto memory = parts.memory_layer.forward(encoded, memory_cache);
  CHECK(largest_difference<double, 2>(y, parts.self_attention.forward(encoded, memory, sequences, attention_cache)) ==
        0);

  MAT<double>::Cache inference;
  CHECK(largest_difference<double, 2>(model.infer(x, sequences, inference), y) == 0);
}

TEST_CASE("MAT's gradients agree with central differences", "[models]") {
  for (const bool norm_first : {false, true}) {
    auto config = small<double>();
    config.num_layers = 2;
    config.norm_first = config.final_norm = norm_first;
    MAT<double> model(config, Random(1));
    const Sequences sequences({3, 0, 1, 4});
    auto x = random_tensor<double, 2>({8, 6}, 2);
    MAT<double>::Cache cache, scratch;
    auto grads = zeros_like(model.parameters());
    std::string name;
    SECTION(norm_first ? "row by row, norm first" : "row by row") {
      const auto dy = random_tensor<double, 2>({8, 6}, 3);
      (void)model.forward(x, sequences, cache);
      const Matrix<double> dx(model.backward(dy, cache, grads));
      const auto loss = [&] { return inner_product(model.forward(x, sequences, scratch), dy); };
      CHECK(gradient_error(loss, x, dx) < 1e-6);
      CHECK(parameter_gradient_error(loss, model.parameters(), grads, name) < 1e-6);
    }
    SECTION(norm_first ? "pooled, norm first" : "pooled") {
      const auto dpooled = random_tensor<double, 2>({4, 6}, 3);
      (void)model.forward(x, sequences, cache);
      (void)model.pooled(cache);
      const Matrix<double> dx(model.pooled_backward(dpooled, cache, grads));
      const auto loss = [&] {
        (void)model.forward(x, sequences, scratch);
        return inner_product(model.pooled(scratch), dpooled);
      };
      CHECK(gradient_error(loss, x, dx) < 1e-6);
      CHECK(parameter_gradient_error(loss, model.parameters(), grads, name) < 1e-6);
    }
  }
}

TEST_CASE("the article's MAT remembers nothing between calls", "[models]") {
  const MAT<float> model(small<float>(), Random(1));
  const auto x = random_tensor<float, 2>({5, 6}, 2), history = random_tensor<float, 2>({9, 6}, 3);
  MAT<float>::Cache cache;
  const Matrix<float> first(model.forward(x, Sequences::single(5), cache));
  (void)model.forward(history, Sequences::single(9), cache);
  CHECK(Matrix<float>(model.forward(x, Sequences::single(5), cache)) == first);
}

TEST_CASE("without positions MAT sees a bag of tokens", "[models]") {
  const MAT<double> model(small<double>(), Random(1));
  const auto x = random_tensor<double, 2>({5, 6}, 2);
  Matrix<double> turned(x.shape());
  for (Index t = 0; t < 5; ++t) turned.matrix().row(t) = x.matrix().row(4 - t);
  MAT<double>::Cache cache;
  (void)model.forward(x, Sequences::single(5), cache);
  const Matrix<double> pooled(model.pooled(cache));
  (void)model.forward(turned, Sequences::single(5), cache);
  CHECK(largest_difference<double, 2>(model.pooled(cache), pooled) < 1e-14);
}

TEMPLATE_TEST_CASE("P6: a sequence's output has the same bits alone and in any batch", "[models]", float, double) {
  using T = TestType;
  const MAT<T> model(small<T>(), Random(1));
  const Sequences batch({5, 0, 17, 2});
  const auto x = random_tensor<T, 2>({batch.rows(), 6}, 2);
  typename MAT<T>::Cache cache, alone_cache;
  const auto y = model.forward(x, batch, cache);
  const auto pooled = model.pooled(cache);
  for (Index b = 0; b < batch.count(); ++b) {
    const Matrix<T> alone(x.view().middle_rows(batch.begin(b), batch.length(b)));
    const auto y_alone = model.forward(alone, Sequences::single(batch.length(b)), alone_cache);
    CHECK(largest_difference<T, 2>(y_alone, y.middle_rows(batch.begin(b), batch.length(b))) == 0);
    CHECK(largest_difference<T, 2>(model.pooled(alone_cache), pooled.middle_rows(b, 1)) == 0);
  }
}

TEST_CASE("MAT has the article's names", "[models]") {
  const MAT<float> model(small<float>(), Random(1));
  const auto names = parameter_names(model.parameters());
  CHECK(names.front() == "transformer_encoder.layers.0.self_attn.in_proj_weight");
  CHECK(std::vector<std::string>(names.end() - 8, names.end()) ==
        std::vector<std::string>{"memory_layer.fc1.weight", "memory_layer.fc1.bias", "memory_layer.fc2.weight",
                                 "memory_layer.fc2.bias", "self_attention.fc1.weight", "self_attention.fc1.bias",
                                 "self_attention.fc2.weight", "self_attention.fc2.bias"});
}

}  // namespace mat_test
