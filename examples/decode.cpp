// Reads tokens one at a time with packed weights, and compares with reading them all at once.
#include <mat/mat.hpp>

#include <cstdio>
#include <cstring>

int main() {
  mat::TransformerEncoder<float>::Config config;
  config.layer.d_model = 64;
  config.layer.nhead = 4;
  config.layer.dim_feedforward = 256;
  config.layer.norm_first = config.final_norm = true;
  config.num_layers = 2;
  const mat::TransformerEncoder<float> encoder(config, mat::Random(1));
  const auto causal = mat::AttentionMask<float>::causal();
  mat::Matrix<float> tokens({100, 64});
  mat::initialize_normal<float>(tokens, 1, mat::Random(2));

  const mat::PackedEncoder<float> packed(encoder);
  mat::PackedEncoder<float>::Cache cache, whole_cache;
  const auto whole = packed.forward(tokens, mat::Sequences::single(100), causal, whole_cache);

  // The keys and values of one sequence of up to 100 tokens; a copy of it would be a fork.
  mat::KeyValueCache<float> earlier = packed.key_value_cache(1, 100);
  bool same = true;
  for (mat::Index t = 0; t < 100; ++t) {
    const auto y = packed.extend(tokens.view().middle_rows(t, 1), mat::Sequences::single(1), causal, earlier, cache);
    same = same && std::memcmp(y.row(0), whole.row(t), 64 * sizeof(float)) == 0;
  }
  std::printf("one by one and all at once: %s bits\n", same ? "the same" : "different");

  using mat::WeightStorage;
  for (const auto& [name, storage] : {std::pair("full", WeightStorage::full),
                                      {"bfloat16", WeightStorage::bfloat16},
                                      {"float16", WeightStorage::float16},
                                      {"int8", WeightStorage::int8}}) {
    std::printf("%-8s  %6td bytes of weights for each token\n", name,
                mat::PackedEncoder<float>(encoder, storage).bytes());
  }
}
