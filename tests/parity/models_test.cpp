#include "parity/fixtures.hpp"

namespace models_test {

using mat::Safetensors;
using mat::conformance::Case;
using mat::test::check_parity;
using mat::test::fixture;

TEST_CASE("Softmax over the tokens is PyTorch's softmax over dim 0", "[parity]") {
  check_parity<float>("softmax.dim0_3d");
  check_parity<double>("softmax.dim0_3d");
}

TEST_CASE("TransformerEncoder and its gradients are those of PyTorch's nn.TransformerEncoder", "[parity]") {
  const std::string name = GENERATE("encoder.stack_pre_final_norm", "encoder.stack_causal_padding");
  check_parity<float>(name);
  check_parity<double>(name);
}

TEST_CASE("MAT and its gradients are those of the article's code on PyTorch", "[parity]") {
  check_parity<float>("seed_mat.3d");
  check_parity<double>("seed_mat.3d");
}

TEST_CASE("PyTorch's state_dict loads into the model, gives PyTorch's outputs and is written as it was", "[parity]") {
  const std::string name = GENERATE("seed_mat.3d", "encoder.stack_pre_final_norm");
  const Safetensors weights = Safetensors::read(fixture("weights/" + name));
  Case c(name, "weights", Safetensors::read(fixture("torch/" + name)));
  c.take_weights(weights);
  check_parity<float>(c);
  check_parity<double>(c);
}

TEST_CASE("A state_dict of another model is refused", "[parity]") {
  const Safetensors weights = Safetensors::read(fixture("weights/encoder.stack_pre_final_norm"));
  Case c("seed_mat.3d", "weights", Safetensors::read(fixture("torch/seed_mat.3d")));
  c.take_weights(weights);
  const auto report = mat::conformance::run_torch_case<float>(c, mat::conformance::all_torch_adapters<float>());
  CHECK(report.verdict == mat::conformance::Verdict::failed);
  CHECK_THAT(report.reason, ContainsSubstring("missing"));
  CHECK_THAT(report.reason, ContainsSubstring("unexpected"));
}

}  // namespace models_test
