#pragma once

#include <mat/models/beam_search.hpp>
#include <mat/models/translation_draws.hpp>

namespace mat {
inline namespace MAT_ABI {

/// The most probable translations that a beam search finds: with a beam of 1, what is most probable word by word.
///
/// In each step the beam_size best continuations of a source's hypotheses are followed. One that ends among them is
/// finished and leaves the batch, as does a source that is done. A prefix, if there are any, is what the translation of
/// that source begins with. An empty source has one hypothesis, an empty one; a model whose scores are no numbers has
/// an empty one that is not finished. What a source gives does not depend, in any bit, on the others in the batch;
/// batches of about equal lengths are the fastest.
///
/// Source:  Sutskever et al. (2014), "Sequence to sequence learning with neural networks", section 3.2; length_penalty
///          as in fairseq and CTranslate2.
/// Errors:  ValueError for a setting out of range, a token outside of its vocabulary, or another number of prefixes.
/// Threads: uses parallel_for; the model is only read. One batch at a time in one cache.
template <class T>
[[nodiscard]] Hypotheses translate(const PackedTranslator<T>& model, const std::vector<std::vector<Index>>& sources,
                                   const DecodingConfig& config, const std::vector<std::vector<Index>>& prefixes,
                                   DecodingCache<T>& cache) {
  const Sequences read = detail::read_sources(model, sources, cache);
  return detail::BeamSearch<T>(model, config, read, prefixes, cache).run();
}
/// The same in a cache of its own.
template <class T>
[[nodiscard]] Hypotheses translate(const PackedTranslator<T>& model, const std::vector<std::vector<Index>>& sources,
                                   const DecodingConfig& config, const std::vector<std::vector<Index>>& prefixes = {}) {
  DecodingCache<T> cache;
  return translate(model, sources, config, prefixes, cache);
}

/// Translations that are drawn word by word, n_best of each source, in the order in which they were drawn.
///
/// What is drawn for a source is a function of its tokens and the random generator: the batch does not matter, and
/// equal sources get equal translations. The beam does not matter either; prefixes and lengths are as in `translate`.
///
/// Errors:  as `translate` and `sample_token`.
/// Threads: as `translate`.
template <class T>
[[nodiscard]] Hypotheses draw_translations(const PackedTranslator<T>& model,
                                           const std::vector<std::vector<Index>>& sources, const DecodingConfig& config,
                                           const DrawConfig& draw,
                                           const std::vector<std::vector<Index>>& prefixes = {}) {
  DecodingCache<T> cache;
  return detail::TranslationDraws<T>(model, config, draw, sources, prefixes, cache).run();
}

}  // namespace MAT_ABI
}  // namespace mat
