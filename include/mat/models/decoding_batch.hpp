#pragma once

#include <mat/models/decoding_cache.hpp>
#include <mat/models/decoding_config.hpp>

#include <cmath>

namespace mat {
inline namespace MAT_ABI {
namespace detail {

/// Reads sources into the cache; returns their lengths.
template <class T>
[[nodiscard]] Sequences read_sources(const PackedTranslator<T>& model, const std::vector<std::vector<Index>>& sources,
                                     DecodingCache<T>& cache) {
  std::vector<Index> ids;
  for (const auto& source : sources) ids.insert(ids.end(), source.begin(), source.end());
  Sequences sequences;
  sequences.assign(static_cast<Index>(sources.size()),
                   [&](Index b) { return static_cast<Index>(sources[static_cast<std::size_t>(b)].size()); });
  model.read({ids, {static_cast<Index>(ids.size())}}, sequences, cache.model, cache.memory);
  return sequences;
}

/// The hypotheses of a batch of sources, which the cache has read, while they grow: each has a slot, which is a
/// sequence of the key/value cache; each source has `width` of them. What has ended leaves its slot empty and costs
/// nothing from then on.
template <class T>
class DecodingBatch {
 public:
  using Tokens = std::vector<Index>;

  /// A hypothesis that continues the one in slot `parent` by a token.
  struct Child {
    Index parent, token;
    double log_probability;  // of all its tokens after the prefix
    Index number = 0;        // the caller's own
  };

  DecodingBatch(std::string_view what, const PackedTranslator<T>& model, const DecodingConfig& config,
                const Sequences& sources, const std::vector<Tokens>& prefixes, Index width, DecodingCache<T>& cache)
      : model_(model), config_(config), width_(width), sources_(sources), cache_(cache) {
    const Index vocabulary = model.config().target_vocabulary;
    check_decoding(what, config, vocabulary);
    const auto count = sources.count(), given = static_cast<Index>(prefixes.size());
    check_value(given == 0 || given == count, {what, "prefixes"}, given, "none or as many as sources, ", count);
    for (const Tokens& prefix : prefixes) {
      check_ids({what, "a prefix"}, {prefix, {static_cast<Index>(prefix.size())}}, vocabulary);
    }
    Index capacity = 1;
    slots_.resize(static_cast<std::size_t>(count * width));
    for (Index b = 0; b < count; ++b) {
      const Tokens prefix = prefixes.empty() ? Tokens() : prefixes[static_cast<std::size_t>(b)];
      prefix_lengths_.push_back(static_cast<Index>(prefix.size()));
      if (sources_.length(b) == 0) continue;
      capacity = std::max(capacity, 1 + prefix_lengths_.back() + most_tokens(b));
      Slot& first = slot(b * width);
      first.alive = true;
      first.tokens = prefix;
      first.unread = prefix;
      first.unread.insert(first.unread.begin(), config.begin_token);
    }
    cache.earlier.assign(model.key_value_config(count * width, capacity));
  }

  [[nodiscard]] Index sources() const { return sources_.count(); }
  [[nodiscard]] Index source_length(Index b) const { return sources_.length(b); }
  [[nodiscard]] Index width() const { return width_; }
  [[nodiscard]] Index vocabulary() const { return model_.config().target_vocabulary; }
  [[nodiscard]] bool alive(Index s) const { return slots_[static_cast<std::size_t>(s)].alive; }
  [[nodiscard]] double log_probability(Index s) const { return slots_[static_cast<std::size_t>(s)].log_probability; }
  [[nodiscard]] Index number(Index s) const { return slots_[static_cast<std::size_t>(s)].number; }
  [[nodiscard]] const Tokens& tokens(Index s) const { return slots_[static_cast<std::size_t>(s)].tokens; }
  /// The most tokens of a translation of source b, those of a prefix not counted.
  [[nodiscard]] Index most_tokens(Index b) const { return mat::most_tokens(config_, sources_.length(b)); }
  /// How many of them the hypothesis in a slot has.
  [[nodiscard]] Index generated(Index s) const {
    return static_cast<Index>(tokens(s).size()) - prefix_lengths_[static_cast<std::size_t>(s / width_)];
  }

  /// Reads the new tokens of all hypotheses. False if there are none any more.
  [[nodiscard]] bool step() {
    ids_.clear();
    row_slots_.clear();
    for (Index s = 0; s < static_cast<Index>(slots_.size()); ++s) {
      if (!alive(s)) continue;
      ids_.insert(ids_.end(), slot(s).unread.begin(), slot(s).unread.end());
      row_slots_.push_back(s);
    }
    if (ids_.empty()) return false;
    const auto unread = [&](Index s) { return alive(s) ? static_cast<Index>(slot(s).unread.size()) : 0; };
    by_slot_.assign(static_cast<Index>(slots_.size()), unread);
    by_source_.assign(sources(), [&](Index b) {
      Index tokens = 0;
      for (Index s = b * width_; s < (b + 1) * width_; ++s) tokens += unread(s);
      return tokens;
    });
    scores_ = model_.extend({{ids_, {static_cast<Index>(ids_.size())}}, by_slot_, by_source_}, cache_.memory,
                            cache_.earlier, cache_.model);
    for (Index row = 0; row < scores_.rows(); ++row) {
      for (const Index token : config_.forbidden) scores_(row, token) = -std::numeric_limits<T>::infinity();
    }
    return true;
  }

  /// After a step: the slots that are alive, and of each, in this order, a score for every token that may come next.
  [[nodiscard]] const Tokens& rows() const { return row_slots_; }
  [[nodiscard]] ConstMatrixView<T> scores() const { return scores_; }

  /// No more hypotheses of source b.
  void end(Index b) { continue_with(b, {}); }

  /// The hypotheses of source b from now on, at most `width`. The first child of a hypothesis takes over its slot.
  void continue_with(Index b, const std::vector<Child>& children) {
    assert(static_cast<Index>(children.size()) <= width_);
    const Index begin = b * width_, end = begin + width_;
    for (Index s = begin; s < end; ++s) slot(s).alive = false;
    places_.assign(children.size(), -1);
    for (std::size_t i = 0; i < children.size(); ++i) {
      if (slot(children[i].parent).alive) continue;
      slot(children[i].parent).alive = true;
      places_[i] = children[i].parent;
    }
    Index free = begin;
    for (std::size_t i = 0; i < children.size(); ++i) {
      if (places_[i] >= 0) continue;
      while (slot(free).alive) ++free;
      cache_.earlier.fork(children[i].parent, free);
      slot(free).tokens = slot(children[i].parent).tokens;
      slot(free).alive = true;
      places_[i] = free;
    }
    for (std::size_t i = 0; i < children.size(); ++i) {
      Slot& place = slot(places_[i]);
      place.tokens.push_back(children[i].token);
      place.unread.assign(1, children[i].token);
      place.log_probability = children[i].log_probability;
      place.number = children[i].number;
    }
  }

  /// What a hypothesis is with its last token: the end, or another if it is as long as it may be.
  [[nodiscard]] Hypothesis hypothesis(const Child& last) const {
    Hypothesis h;
    h.tokens = tokens(last.parent);
    h.finished = last.token == config_.end_token;
    if (!h.finished) h.tokens.push_back(last.token);
    h.log_probability = last.log_probability;
    h.score = score(last.log_probability, generated(last.parent) + 1);
    return h;
  }
  [[nodiscard]] double score(double log_probability, Index length) const {
    return log_probability / std::pow(static_cast<double>(length), config_.length_penalty);
  }

 private:
  struct Slot {
    Tokens tokens, unread;  // all after the first, and those that the model has not read
    double log_probability = 0;
    Index number = 0;
    bool alive = false;
  };

  [[nodiscard]] Slot& slot(Index s) { return slots_[static_cast<std::size_t>(s)]; }

  const PackedTranslator<T>& model_;
  const DecodingConfig& config_;
  Index width_;
  Sequences sources_;
  std::vector<Index> prefix_lengths_;  // [sources]
  DecodingCache<T>& cache_;
  std::vector<Slot> slots_;  // [sources * width]
  Tokens ids_, row_slots_, places_;
  Sequences by_slot_, by_source_;
  MatrixView<T> scores_;  // [slots that are alive, target_vocabulary]
};

/// log sum_j e^x_j of n numbers of which `highest` is the largest.
template <class T>
[[nodiscard]] double log_sum_exp(Index n, const T* x, T highest) {
  const simd::Pack<T> shift = simd::broadcast(softmax_shift(highest));
  const T sum = simd::sum_of(
      n, [shift](simd::Pack<T> a) { return simd::exp(a - shift); }, x);
  return static_cast<double>(highest) + std::log(static_cast<double>(sum));
}

}  // namespace detail
}  // namespace MAT_ABI
}  // namespace mat
