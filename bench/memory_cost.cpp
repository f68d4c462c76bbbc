// What does a memory cost per token: its reading, its writing, and the backward of both?
#include <mat/memory/delta_memory.hpp>

#include <bench/suite.hpp>
#include <bench/workload.hpp>

namespace {

using namespace bench;
using mat::Index;

/// A segment of every sequence of a batch.
struct MemoryWork {
  Index features = 128, length = 64, batch = 1;
};

/// What is timed: the steps of a memory at one segment, in the middle of a stream.
enum class Step { read, write, backward };
constexpr std::pair<Step, const char*> kSteps[] = {
    {Step::read, "read"}, {Step::write, "write"}, {Step::backward, "backward"}};

template <class Memory>
class MatMemoryCost final : public Contestant {
 public:
  MatMemoryCost(const typename Memory::Config& config, const MemoryWork& work, Step step)
      : step_(step),
        memory_(config, mat::Random(1)),
        grads_(mat::zeros_like(memory_.parameters())),
        sequences_(mat::Sequences::uniform(work.batch, work.length)),
        x_(random_matrix(sequences_.rows(), work.features, 2)) {
    memory_.initial(work.batch, next_);
    for (int segment = 0; segment < 3; ++segment) {
      std::swap(state_, next_);
      read_and_write();
    }
    mat::zero_state_like(state_, dstate_);
    dr_ = random_matrix(read_.rows(), read_.cols(), 3);
  }

  void run() override {
    if (step_ == Step::read) read_ = memory_.read(state_, x_, sequences_, read_cache_);
    if (step_ == Step::write) memory_.write(state_, h_, sequences_, next_, write_cache_);
    if (step_ != Step::backward) return;
    (void)memory_.write_backward(next_, state_, write_cache_, dstate_, grads_);
    (void)memory_.read_backward(dr_, state_, read_cache_, dstate_, grads_);
  }
  /// No peer is linked in: bench/peers.py checks its own.
  std::vector<Result> results() override { return {}; }

 private:
  /// What is written is what came in, or for memory tokens the rows that went through the stack.
  void read_and_write() {
    read_ = memory_.read(state_, x_, sequences_, read_cache_);
    h_ = Memory::kPlace == mat::MemoryPlace::tokens ? read_ : mat::ConstMatrixView<float>(x_);
    memory_.write(state_, h_, sequences_, next_, write_cache_);
  }

  Step step_;
  Memory memory_;
  typename Memory::Parameters grads_;
  mat::Sequences sequences_;
  mat::Matrix<float> x_, dr_;
  mat::ConstMatrixView<float> read_, h_;
  typename Memory::State state_, next_, dstate_;
  typename Memory::ReadCache read_cache_;
  typename Memory::WriteCache write_cache_;
};

/// The cases of one memory: one stream, and a batch as in training.
template <class Memory>
void add_memory(Suite& suite, const std::string& name, const typename Memory::Config& config) {
  for (const Index batch : {1, 16}) {
    for (const auto& [step, step_name] : kSteps) {
      MemoryWork work;
      work.batch = batch;
      Case c;
      c.name =
          "memory_cost/" + name + "_T" + std::to_string(work.length) + "_B" + std::to_string(batch) + "_" + step_name;
      c.contestants = {"mat"};
      c.items = static_cast<double>(work.length * batch);
      c.item_rate = "tokens/s";
      c.item_time = "us/token";
      c.make = [config, work, step = step] {
        Contestants all;
        all.push_back(std::make_unique<MatMemoryCost<Memory>>(config, work, step));
        return all;
      };
      suite.add(std::move(c));
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  Suite suite;
  mat::DeltaMemory<float>::Config delta;
  delta.features = 128, delta.heads = 4;
  add_memory<mat::DeltaMemory<float>>(suite, "delta_d128_h4", delta);
  delta.rule = mat::LinearAttentionRule::additive;
  add_memory<mat::DeltaMemory<float>>(suite, "additive_d128_h4", delta);
  return suite.run(argc, argv);
}
