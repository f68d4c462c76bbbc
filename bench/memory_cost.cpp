// What does a memory cost per token: its reading, its writing, and the backward of both?
#include <mat/memory/delta_cache.hpp>
#include <mat/memory/delta_memory.hpp>
#include <mat/memory/knn_memory.hpp>
#include <mat/memory/memory_tokens.hpp>
#include <mat/memory/neural_memory.hpp>
#include <mat/memory/segment_cache.hpp>

#include <bench/suite.hpp>
#include <bench/workload.hpp>

namespace {

using namespace bench;
using mat::Index;

/// Tokens of a segment.
constexpr Index kLength = 64;
/// Segments that have been written before: enough to fill the memories that keep rows.
constexpr int kSegments = 17;

/// What is timed: the steps of a memory at one segment, in the middle of a stream.
enum class Step { read, write, backward };
constexpr std::pair<Step, const char*> kSteps[] = {
    {Step::read, "read"}, {Step::write, "write"}, {Step::backward, "backward"}};

template <class Memory>
class MatMemoryCost final : public Contestant {
 public:
  MatMemoryCost(const typename Memory::Config& config, Index batch, Step step)
      : step_(step),
        memory_(config, mat::Random(1)),
        grads_(mat::zeros_like(memory_.parameters())),
        sequences_(mat::Sequences::uniform(batch, kLength)),
        x_(random_matrix(sequences_.rows(), config.features, 2)) {
    memory_.initial(batch, next_);
    for (int segment = 0; segment < kSegments; ++segment) {
      std::swap(state_, next_);
      read_and_write();
    }
    mat::zero_state_like(state_, dstate_);
    dr_ = random_matrix(read_.rows(), read_.cols(), 3);
  }

  void run() override {
    if (step_ == Step::read) read_ = memory_.read(state_, x_, sequences_, read_cache_);
    if (step_ == Step::write) write();
    if (step_ != Step::backward) return;
    (void)memory_.write_backward(next_, state_, write_cache_, dstate_, grads_);
    (void)memory_.read_backward(dr_, state_, read_cache_, dstate_, grads_);
  }
  /// No peer is linked in: bench/peers.py checks its own.
  std::vector<Result> results() override { return {}; }

 private:
  /// What is written is what came in, or for memory tokens the rows that went through the stack.
  static constexpr bool kTokens = Memory::kPlace == mat::MemoryPlace::tokens;

  void read_and_write() {
    read_ = memory_.read(state_, x_, sequences_, read_cache_);
    write();
  }
  void write() {
    memory_.write(state_, kTokens ? read_ : mat::ConstMatrixView<float>(x_),
                  kTokens ? read_cache_.sequences : sequences_, next_, write_cache_);
  }

  Step step_;
  Memory memory_;
  typename Memory::Parameters grads_;
  mat::Sequences sequences_;
  mat::Matrix<float> x_, dr_;
  mat::ConstMatrixView<float> read_;
  typename Memory::State state_, next_, dstate_;
  typename Memory::ReadCache read_cache_;
  typename Memory::WriteCache write_cache_;
};

/// The cases of one memory: one stream, and a batch as in training.
template <class Memory>
void add_memory(Suite& suite, const std::string& name, const typename Memory::Config& config) {
  for (const Index batch : {1, 16}) {
    for (const auto& [step, step_name] : kSteps) {
      Case c;
      c.name = "memory_cost/" + name + "_T" + std::to_string(kLength) + "_B" + std::to_string(batch) + "_" + step_name;
      c.contestants = {"mat"};
      c.items = static_cast<double>(kLength * batch);
      c.item_rate = "tokens/s";
      c.item_time = "us/token";
      c.make = [config, batch = batch, step = step] {
        Contestants all;
        all.push_back(std::make_unique<MatMemoryCost<Memory>>(config, batch, step));
        return all;
      };
      suite.add(std::move(c));
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  Suite suite;
  mat::SegmentCache<float>::Config cache;
  cache.features = 128, cache.gradient = mat::StateGradient::through;
  add_memory<mat::SegmentCache<float>>(suite, "cache_d128_N64", cache);
  mat::MemoryTokens<float>::Config tokens;
  tokens.features = 128;
  add_memory<mat::MemoryTokens<float>>(suite, "tokens_d128_m4", tokens);
  mat::DeltaMemory<float>::Config delta;
  delta.features = 128;
  add_memory<mat::DeltaMemory<float>>(suite, "delta_d128_h4", delta);
  delta.rule = mat::LinearAttentionRule::additive;
  add_memory<mat::DeltaMemory<float>>(suite, "additive_d128_h4", delta);
  mat::DeltaCache<float>::Config delta_cache;
  delta_cache.features = 128;
  add_memory<mat::DeltaCache<float>>(suite, "delta_cache_d128_N32", delta_cache);
  mat::NeuralMemory<float>::Config neural;
  neural.features = 64;
  add_memory<mat::NeuralMemory<float>>(suite, "neural_d64", neural);
  mat::KnnMemory<float>::Config knn;
  knn.features = 128;
  add_memory<mat::KnnMemory<float>>(suite, "knn_d128_N1024", knn);
  return suite.run(argc, argv);
}
