#pragma once

#include <mat/memory/memory_tokens.hpp>
#include <mat/memory/no_memory.hpp>
#include <mat/models/language_model.hpp>

namespace mat {
namespace test {

using Model = LanguageModel<float, MemoryTokens<float>>;
using Plain = LanguageModel<float, NoMemory<float>>;

template <class M>
[[nodiscard]] M small_model() {
  typename M::Config config;
  config.vocabulary = 5;
  config.decoder.encoder.layer.d_model = 8;
  config.decoder.encoder.layer.nhead = 2;
  config.decoder.encoder.layer.dim_feedforward = 16;
  config.decoder.encoder.layer.attention.rotary.emplace();
  config.decoder.encoder.layer.norm_first = true;
  return M(config, Random(3));
}

/// 0 1 2 3 4 0 1 2 ...
[[nodiscard]] inline Vector<Index> counting(Index count) {
  Vector<Index> text({count});
  for (Index i = 0; i < count; ++i) text(i) = i % 5;
  return text;
}

}  // namespace test
}  // namespace mat
