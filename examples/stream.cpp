// A language model that reads an endless text, piece by piece, at constant cost and size.
#include <mat/io/stream_file.hpp>
#include <mat/memory/delta_memory.hpp>
#include <mat/models/language_model.hpp>
#include <mat/training/stream_trainer.hpp>

#include <cstdio>
#include <filesystem>

using mat::Index;
using Model = mat::LanguageModel<float, mat::DeltaMemory<float>>;

int main() {
  Model::Config config;
  config.vocabulary = 10;
  config.decoder.encoder.layer.d_model = 32;
  config.decoder.encoder.layer.nhead = 4;
  config.decoder.encoder.layer.dim_feedforward = 64;
  config.decoder.encoder.layer.norm_first = true;
  config.decoder.encoder.layer.attention.rotary.emplace();
  Model model(config, mat::Random(1));

  mat::Vector<Index> text({2000});  // 3 1 4 1 5 9 2 6 3 1 4 ...
  const Index digits[] = {3, 1, 4, 1, 5, 9, 2, 6};
  for (Index i = 0; i < text.size(); ++i) text(i) = digits[i % 8];

  mat::StreamTrainerConfig training;
  training.lanes = 4;
  training.segment = 6;
  training.segments = 2;   // of a step, through which the gradient flows
  training.restart = 0.1;  // how often a lane jumps and forgets, so that the first state is learned too
  training.steps = 100;
  training.schedule = mat::Schedule::constant(3e-3);
  mat::StreamTrainer trainer(model, training);
  while (!trainer.finished()) trainer.step(model, text);

  mat::Stream stream(model, {/*segment=*/6});
  const mat::ConstVectorView<Index> beginning(text.data(), {21}), rest(text.data() + 21, {40});
  stream.push(beginning);  // any number of tokens; any split of a text gives the same bits
  auto fork = stream;      // goes on by itself
  const std::string path = (std::filesystem::temp_directory_path() / "mat-stream-example.safetensors").string();
  mat::save_stream(path, stream);
  mat::Stream loaded(model, {6});
  mat::load_stream(path, loaded);
  std::filesystem::remove(path);

  const mat::Matrix<float> logits(stream.push(rest));
  Index right = 0;
  for (Index t = 0; t + 1 < rest.size(); ++t) {
    const float* row = logits.view().row(t);
    right += std::max_element(row, row + 10) - row == rest(t + 1);
  }
  std::printf("tokens that were foreseen:        %lld of 39\n", static_cast<long long>(right));
  std::printf("the fork goes on with these bits: %s\n", mat::Matrix<float>(fork.push(rest)) == logits ? "yes" : "no");
  std::printf("and what was saved and loaded:    %s\n", mat::Matrix<float>(loaded.push(rest)) == logits ? "yes" : "no");
  std::printf("bytes of the stream:              %lld, after %lld tokens\n", static_cast<long long>(stream.bytes()),
              static_cast<long long>(stream.position()));
}
