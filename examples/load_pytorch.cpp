// A model trained in PyTorch, loaded and run: mat's parameters have PyTorch's names. The file that comes with this
// program holds a model, an input and PyTorch's output for it, as this Python writes them:
//
//   class MemoryLayer(nn.Module):          # SelfAttention: Linear(hidden_dim, 1) and a softmax, times memory
//       def __init__(self, input_dim, hidden_dim):
//           super().__init__()
//           self.fc1, self.fc2 = nn.Linear(input_dim, hidden_dim), nn.Linear(hidden_dim, input_dim)
//       def forward(self, x):
//           return self.fc2(torch.relu(self.fc1(x)))
//
//   class MAT(nn.Module):
//       def __init__(self, input_dim, hidden_dim, nhead, num_layers):
//           super().__init__()
//           layer = nn.TransformerEncoderLayer(input_dim, nhead, hidden_dim, dropout=0)
//           self.transformer_encoder = nn.TransformerEncoder(layer, num_layers)
//           self.memory_layer = MemoryLayer(input_dim, hidden_dim)
//           self.self_attention = SelfAttention(input_dim, hidden_dim)
//       def forward(self, x):
//           x = self.transformer_encoder(x)
//           return self.self_attention(x, self.memory_layer(x))
//
//   model, x = MAT(8, 12, nhead=2, num_layers=1), torch.randn(6, 8)
//   tensors = {"model." + name: tensor for name, tensor in model.state_dict().items()}
//   safetensors.torch.save_file({**tensors, "x": x, "y": model(x).detach()}, "pytorch_mat.safetensors")
#include <mat/io/checkpoint.hpp>
#include <mat/models/mat.hpp>

#include <cmath>
#include <cstdio>
#include <filesystem>

using mat::Index;

void run(const std::string& path) {
  const mat::Safetensors file = mat::Safetensors::read(path);

  mat::MAT<float>::Config config;
  config.input_dim = 8;
  config.hidden_dim = 12;
  config.nhead = 2;
  mat::MAT<float> model(config, mat::Random());
  mat::LoadOptions options;
  options.prefix = "model.";
  mat::load_parameters(file, model.parameters(), options);

  mat::Matrix<float> x, expected;
  file.load("x", x);
  file.load("y", expected);
  mat::MAT<float>::Cache cache;
  const mat::Sequences sequences = mat::Sequences::single(x.rows());
  const mat::ConstMatrixView<float> y = model.forward(x, sequences, cache);
  mat::check_shape("load_pytorch: y of the file", expected.view(), y.shape());

  double checksum = 0, largest = 0;
  for (Index i = 0; i < y.size(); ++i) {
    checksum += static_cast<double>(y.data()[i]);
    const double difference = std::abs(static_cast<double>(y.data()[i]) - static_cast<double>(expected.data()[i]));
    if (!(difference <= largest)) largest = difference;  // a NaN counts
  }
  std::printf("parameters:             %td numbers in %zu tensors\n", mat::parameter_count(model.parameters()),
              mat::parameter_names(model.parameters()).size());
  std::printf("sum of y:               %.4f\n", checksum);
  std::printf("PyTorch's y, to 1e-6:   %s\n", largest < 1e-6 ? "yes" : "no");
}

int main(int argc, char** argv) {
  const std::filesystem::path folder = std::filesystem::path(__FILE__).parent_path() / "data";
  try {
    run(argc > 1 ? argv[1] : (folder / "pytorch_mat.safetensors").string());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "mat-load-pytorch: %s\n", error.what());
    return 1;
  }
  return 0;
}
