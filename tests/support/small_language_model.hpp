#pragma once

#include <mat/memory/memory_tokens.hpp>
#include <mat/memory/no_memory.hpp>
#include <mat/models/language_model.hpp>

namespace mat {
namespace test {

using Model = LanguageModel<float, MemoryTokens<float>>;
using Plain = LanguageModel<float, NoMemory<float>>;

template <class M>
[[nodiscard]] typename M::Config small_model_config(Index vocabulary) {
  typename M::Config config;
  config.vocabulary = vocabulary;
  config.decoder.encoder.layer.d_model = 8;
  config.decoder.encoder.layer.nhead = 2;
  config.decoder.encoder.layer.dim_feedforward = 16;
  config.decoder.encoder.layer.attention.rotary.emplace();
  config.decoder.encoder.layer.norm_first = true;
  return config;
}
template <class M>
[[nodiscard]] M small_model() {
  return M(small_model_config<M>(5), Random(3));
}

/// Any of seven.
[[nodiscard]] inline Vector<Index> random_ids(Index count, std::uint64_t seed) {
  Vector<Index> ids({count});
  for (Index i = 0; i < count; ++i) ids(i) = Random(seed).below(static_cast<std::uint64_t>(i), 7);
  return ids;
}

/// 0 1 2 3 4 0 1 2 ...
[[nodiscard]] inline Vector<Index> counting(Index count) {
  Vector<Index> text({count});
  for (Index i = 0; i < count; ++i) text(i) = i % 5;
  return text;
}

}  // namespace test
}  // namespace mat
