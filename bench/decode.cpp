// How long does one token of a small language model take, by the number of tokens before it and the storage of weights?
#include <mat/blocks/packed_encoder.hpp>

#include <bench/decode.hpp>
#include <bench/suite.hpp>
#include <bench/workload.hpp>

namespace {

using namespace bench;

class MatDecode final : public Contestant {
 public:
  MatDecode(const DecodeWork& description, mat::WeightStorage storage)
      : work_(description),
        encoder_(config(description), mat::Random(1)),
        packed_(encoder_, storage),
        earlier_(packed_.key_value_cache(1, description.tokens)),
        x_(random_matrix(description.tokens, description.d_model, 2)) {
    work_.x = x_.data();
    work_.weights = arrays_of(encoder_.parameters());
    const mat::Index before = work_.tokens - 1;
    (void)packed_.extend(x_.view().middle_rows(0, before), mat::Sequences::single(before), mask_, earlier_, cache_);
  }
  [[nodiscard]] const DecodeWork& work() const { return work_; }

  void run() override {
    earlier_.truncate(0, work_.tokens - 1);
    y_ = packed_.extend(x_.view().middle_rows(work_.tokens - 1, 1), one_, mask_, earlier_, cache_);
  }
  std::vector<Result> results() override {
    run();
    return {result_of("y", y_)};
  }
  /// The bytes of the weights, keys and values that a token reads.
  [[nodiscard]] static double bytes(const DecodeWork& work, double bytes_of_weight) {
    const auto d = static_cast<double>(work.d_model), layers = static_cast<double>(work.num_layers);
    const double weights = layers * d * (4 * d + 2 * static_cast<double>(work.dim_feedforward));
    return bytes_of_weight * weights + 4 * 2 * layers * d * static_cast<double>(work.tokens);
  }

 private:
  [[nodiscard]] static mat::TransformerEncoder<float>::Config config(const DecodeWork& work) {
    mat::TransformerEncoder<float>::Config config;
    config.layer.d_model = work.d_model;
    config.layer.nhead = work.nhead;
    config.layer.dim_feedforward = work.dim_feedforward;
    config.layer.activation = mat::Activation::gelu;
    config.layer.norm_first = config.final_norm = true;
    config.num_layers = work.num_layers;
    return config;
  }

  DecodeWork work_;
  mat::TransformerEncoder<float> encoder_;
  mat::PackedEncoder<float> packed_;
  mat::PackedEncoder<float>::Cache cache_;
  mat::KeyValueCache<float> earlier_;
  mat::Matrix<float> x_;
  mat::Sequences one_ = mat::Sequences::single(1);
  mat::AttentionMask<float> mask_ = mat::AttentionMask<float>::causal();
  mat::ConstMatrixView<float> y_;
};

/// `tolerance`: what the storage loses of outputs of size 1; PyTorch's weights are full.
Case decode_case(const std::string& storage_name, mat::WeightStorage storage, std::int64_t tokens,
                 double bytes_of_weight, double tolerance) {
  DecodeWork work;
  work.tokens = tokens, work.d_model = 128, work.nhead = 4, work.dim_feedforward = 512, work.num_layers = 4;
  Case c;
  c.name = "decode/gpt_d128_h4_L4_" + storage_name + "_context" + std::to_string(tokens);
  c.contestants = with_torch({"mat"}, {"torch"});
  c.bytes = MatDecode::bytes(work, bytes_of_weight);
  c.tolerance = tolerance;
  c.make = [work, storage] {
    auto ours = std::make_unique<MatDecode>(work, storage);
    Contestants all;
    if constexpr (kTorch) all.push_back(torch_decode(ours->work()));
    all.insert(all.begin(), std::move(ours));
    return all;
  };
  return c;
}

}  // namespace

int main(int argc, char** argv) {
  Suite suite;
  for (const std::int64_t tokens : {64, 1024, 4096}) {
    suite.add(decode_case("float32", mat::WeightStorage::full, tokens, 4, 1e-4));
    suite.add(decode_case("bfloat16", mat::WeightStorage::bfloat16, tokens, 2, 1e-2));
    suite.add(decode_case("float16", mat::WeightStorage::float16, tokens, 2, 1e-3));
    suite.add(decode_case("int8", mat::WeightStorage::int8, tokens, 1, 1e-2));
  }
  return suite.run(argc, argv);
}
