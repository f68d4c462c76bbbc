// How fast is attention, forward and backward: full and causal, long and short, and for sequences of many lengths?
#include <mat/ops/attention.hpp>

#include <bench/attention.hpp>
#include <bench/suite.hpp>
#include <bench/workload.hpp>

namespace {

using namespace bench;
using mat::Index;
using mat::Matrix;

class MatAttention final : public Contestant {
 public:
  /// `description` without its pointers, which will be those of this object's inputs.
  explicit MatAttention(const AttentionWork& description)
      : work_(description), sequences_(sequences_of(description.lengths)) {
    options_.heads = work_.heads;
    if (work_.causal) options_.mask = mat::AttentionMask<float>::causal();
    std::uint64_t seed = 0;
    for (Matrix<float>* m : {&q_, &k_, &v_, &dy_}) {
      *m = random_matrix(sequences_.rows(), work_.heads * work_.head_dim, ++seed);
    }
    for (Matrix<float>* m : {&dq_, &dk_, &dv_}) m->resize(q_.shape());
    work_.q = q_.data();
    work_.k = k_.data();
    work_.v = v_.data();
    work_.dy = dy_.data();
  }
  [[nodiscard]] const AttentionWork& work() const { return work_; }

  void run() override {
    const mat::AttentionInputs<float> inputs{q_, k_, v_, sequences_, sequences_};
    mat::attention_forward(options_, inputs, cache_);
    if (work_.backward) mat::attention_backward<float>(dy_, options_, inputs, cache_, {dq_, dk_, dv_, {}});
  }
  std::vector<Result> results() override {
    run();
    if (!work_.backward) return {result_of("y", cache_.y)};
    return {result_of("y", cache_.y), result_of("dq", dq_), result_of("dk", dk_), result_of("dv", dv_)};
  }

 private:
  AttentionWork work_;
  mat::Sequences sequences_;
  mat::AttentionOptions<float> options_;
  mat::AttentionCache<float> cache_;
  Matrix<float> q_, k_, v_, dy_, dq_, dk_, dv_;
};

/// Products of a forward are counted as 4 T^2 D for each head, of a backward as 10 T^2 D; half of that when causal.
double flops_of(const AttentionWork& work) {
  double pairs = 0;
  for (const std::int64_t length : work.lengths) pairs += static_cast<double>(length * length);
  const double width = static_cast<double>(work.heads * work.head_dim);
  return pairs * width * (work.backward ? 14 : 4) / (work.causal ? 2 : 1);
}

void add_pair(Suite& suite, const std::string& sizes, AttentionWork work) {
  for (const bool backward : {false, true}) {
    work.backward = backward;
    Case c;
    c.name = std::string("attention/") + (backward ? "forward_backward_" : "forward_") + sizes;
    c.contestants = with_torch({"mat"}, {"torch"});
    c.flops = flops_of(work);
    c.make = [work] {
      auto ours = std::make_unique<MatAttention>(work);
      Contestants all;
      if constexpr (kTorch) all.push_back(torch_attention(ours->work()));
      all.insert(all.begin(), std::move(ours));
      return all;
    };
    suite.add(std::move(c));
  }
}

}  // namespace

int main(int argc, char** argv) {
  Suite suite;
  for (const bool causal : {false, true}) {
    for (const std::int64_t length : {256, 512, 1024, 2048, 4096, 8192}) {
      const std::string mask = causal ? "causal" : "full";
      add_pair(suite, mask + "_B1_H8_D64_T" + std::to_string(length), {{length}, 8, 64, causal});
    }
  }
  for (const std::int64_t length : {64, 128, 256}) {
    const std::vector<std::int64_t> lengths(8, length);
    add_pair(suite, "full_B8_H4_D32_T" + std::to_string(length), {lengths, 4, 32});
  }
  for (const std::int64_t longest : {256, 512}) {
    const auto lengths = random_integers(16, longest / 4, longest, 5);
    add_pair(suite, "ragged_B16_H8_D64_T" + std::to_string(longest), {lengths, 8, 64});
  }
  return suite.run(argc, argv);
}
