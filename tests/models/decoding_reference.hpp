#pragma once

#include "support/catch.hpp"
#include "support/gradients.hpp"

#include <mat/models/decoding.hpp>

namespace decoding_test {

// What a search must find, by its definition: each sentence alone, and read anew for every token.

using namespace mat;
using mat::test::random_tensor;

using Tokens = std::vector<Index>;

inline constexpr Index kWords = 13, kBegin = 0, kEnd = 1;

/// A model that says something: its tokens differ from step to step and sentences end at different lengths.
template <class T>
Translator<T> model_of(TranslatorKind kind) {
  typename Translator<T>::Config config;
  config.source_vocabulary = config.target_vocabulary = kWords;
  config.layer.d_model = 16;
  config.layer.nhead = 2;
  config.layer.dim_feedforward = 24;
  config.num_encoder_layers = 1;
  config.num_decoder_layers = 2;
  config.kind = kind;
  Translator<T> model(config, Random(1));
  std::uint64_t seed = 100;
  for_each_parameter(
      [&](const ParameterName&, auto& tensor) {
        using Values = std::decay_t<decltype(tensor)>;
        const auto noise = random_tensor<T, Values::kRank>(tensor.shape(), ++seed, 0.25);
        for (Index i = 0; i < tensor.size(); ++i) tensor.data()[i] += noise.data()[i];
      },
      model.parameters());
  return model;
}

inline std::vector<Tokens> sources_of(Index count) {
  std::vector<Tokens> sources;
  for (Index b = 0; b < count; ++b) {
    Tokens source;
    const Random random(7, static_cast<std::uint64_t>(b));
    const Index length = b == 2 ? 0 : 1 + random.below(0, 9);
    for (Index t = 1; t <= length; ++t) source.push_back(2 + random.below(static_cast<std::uint64_t>(t), kWords - 2));
    sources.push_back(source);
  }
  return sources;
}

inline DecodingConfig config_of(Index beam_size) {
  DecodingConfig config;
  config.begin_token = kBegin;
  config.end_token = kEnd;
  config.forbidden = {kBegin};
  config.beam_size = beam_size;
  config.max_length_extra = 6;
  config.max_length_ratio = 1.5;
  return config;
}

inline ConstVectorView<Index> view(const Tokens& tokens) { return {tokens, {static_cast<Index>(tokens.size())}}; }

/// log p of each next token, from the whole sentence so far, read anew.
template <class T>
std::vector<double> log_probabilities(const Translator<T>& model, const Tokens& source, Tokens target) {
  target.insert(target.begin(), kBegin);
  typename Translator<T>::Cache cache;
  const Sequences sources = Sequences::single(view(source).size()), targets = Sequences::single(view(target).size());
  Matrix<T> logits(model.forward({view(source), view(target), &sources, &targets}, {}, cache));
  const Index last = logits.rows() - 1;
  logits(last, kBegin) = -std::numeric_limits<T>::infinity();
  const T* row = logits.view().row(last);
  const double all = detail::log_sum_exp<T>(kWords, row, *std::max_element(row, row + kWords));
  std::vector<double> log_p;
  for (Index j = 0; j < kWords; ++j) log_p.push_back(static_cast<double>(logits(last, j)) - all);
  return log_p;
}

inline Index most_tokens(const DecodingConfig& c, const Tokens& source) {
  return static_cast<Index>(c.max_length_ratio * static_cast<double>(source.size())) + c.max_length_extra;
}

template <class T>
Tokens greedy(const Translator<T>& model, const Tokens& source, const DecodingConfig& config) {
  Tokens target;
  while (static_cast<Index>(target.size()) < most_tokens(config, source)) {
    const auto log_p = log_probabilities(model, source, target);
    const Index best = std::max_element(log_p.begin(), log_p.end()) - log_p.begin();
    if (best == kEnd) break;
    target.push_back(best);
  }
  return target;
}

/// Beam search as its definition reads, every sentence read anew for every token.
template <class T>
std::vector<Hypothesis> reference(const Translator<T>& model, const Tokens& source, const DecodingConfig& config) {
  std::vector<Hypothesis> open(1), found;
  const auto better = [](const Hypothesis& x, const Hypothesis& y) { return x.log_probability > y.log_probability; };
  const auto by_score = [](const Hypothesis& x, const Hypothesis& y) { return x.score > y.score; };
  const auto is_done = [&] {
    if (open.empty()) return true;
    if (static_cast<Index>(found.size()) < config.beam_size) return false;
    std::stable_sort(found.begin(), found.end(), by_score);
    return open.front().score <= found[static_cast<std::size_t>(config.n_best - 1)].score;
  };
  for (Index length = 1; !is_done(); ++length) {
    std::vector<Hypothesis> all;
    for (const Hypothesis& hypothesis : open) {
      const auto log_p = log_probabilities(model, source, hypothesis.tokens);
      for (Index token = 0; token < kWords; ++token) {
        if (token == kBegin) continue;
        Hypothesis next = hypothesis;
        next.tokens.push_back(token);
        next.log_probability += log_p[static_cast<std::size_t>(token)];
        next.score = next.log_probability / std::pow(static_cast<double>(length), config.length_penalty);
        all.push_back(next);
      }
    }
    std::stable_sort(all.begin(), all.end(), better);
    open.clear();
    for (std::size_t rank = 0; rank < all.size(); ++rank) {
      if (all[rank].tokens.back() == kEnd) {
        if (static_cast<Index>(rank) >= config.beam_size) continue;
        found.push_back(all[rank]);
        found.back().tokens.pop_back();
      } else if (static_cast<Index>(open.size()) < config.beam_size) {
        open.push_back(all[rank]);
      }
    }
    if (is_done() || length < most_tokens(config, source)) continue;
    for (Hypothesis& hypothesis : open) hypothesis.finished = false;
    found.insert(found.end(), open.begin(), open.end());
    open.clear();
  }
  std::stable_sort(found.begin(), found.end(), by_score);
  found.resize(static_cast<std::size_t>(config.n_best));
  return found;
}

inline void check_same(const Hypothesis& x, const Hypothesis& y) {
  CHECK(x.tokens == y.tokens);
  CHECK(x.finished == y.finished);
  CHECK(x.log_probability == y.log_probability);
  CHECK(x.score == y.score);
}

}  // namespace decoding_test
