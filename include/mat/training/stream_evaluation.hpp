#pragma once

#include <mat/core/sequences.hpp>
#include <mat/training/cross_entropy.hpp>

#include <algorithm>
#include <vector>

namespace mat {
inline namespace MAT_ABI {

/// Whether an evaluation remembers from segment to segment.
enum class EvaluationMemory { carried, reset_every_segment };

/// The means of -log p(next token) over a text.
struct StreamLoss {
  double mean = 0;
  std::vector<double> by_place;  ///< Of the first, second, ... token of the segments, NaN without any: [segment].
};

/// The loss of a text that is read in order by `lanes` lanes, each its part of it, beginning with the model's first
/// state. Errors: ValueError for lanes or a segment below 1, or fewer than two tokens.
template <class Model>
[[nodiscard]] StreamLoss evaluate_stream(const Model& model, ConstVectorView<Index> text, Index lanes, Index segment,
                                         EvaluationMemory memory = EvaluationMemory::carried) {
  using Scalar = typename Model::Output::Scalar;
  check_value(lanes >= 1, "evaluate_stream: lanes", lanes, "at least 1");
  check_value(segment >= 1, "evaluate_stream: segment", segment, "at least 1");
  check_value(text.size() >= 2, "evaluate_stream: tokens of the text", text.size(), "at least 2");
  const Index all = text.size() - 1;
  typename Model::State state, next;
  typename Model::Cache cache;
  CrossEntropy<Scalar> loss;
  typename CrossEntropy<Scalar>::Cache loss_cache;
  std::vector<Index> lengths(static_cast<std::size_t>(lanes)), ids, targets;
  const auto begin = [&](Index b) { return b * all / lanes; };
  model.initial(lanes, state);
  StreamLoss result;
  result.by_place.resize(static_cast<std::size_t>(segment));
  std::vector<double> counts(result.by_place.size());
  for (Index done = 0;; done += segment) {
    ids.clear();
    targets.clear();
    for (Index b = 0; b < lanes; ++b) {
      const Index first = begin(b) + done, count = std::clamp<Index>(begin(b + 1) - first, 0, segment);
      lengths[static_cast<std::size_t>(b)] = count;
      if (count == 0) continue;
      ids.insert(ids.end(), text.data() + first, text.data() + first + count);
      targets.insert(targets.end(), text.data() + first + 1, text.data() + first + 1 + count);
    }
    if (ids.empty()) break;
    const Sequences sequences(lengths);
    const ConstVectorView<Index> tokens(ids, {static_cast<Index>(ids.size())});
    if (memory == EvaluationMemory::reset_every_segment) model.initial(lanes, state);
    result.mean += loss.forward(model.forward({tokens, &sequences}, state, &next, {}, cache), targets, loss_cache, 1.0);
    for (Index b = 0; b < lanes; ++b) {
      for (Index i = 0; i < sequences.length(b); ++i) {
        const auto place = static_cast<std::size_t>(i);
        result.by_place[place] += static_cast<double>(loss_cache.losses(sequences.begin(b) + i));
        counts[place] += 1;
      }
    }
    std::swap(state, next);
  }
  result.mean /= static_cast<double>(all);
  for (std::size_t i = 0; i < counts.size(); ++i) result.by_place[i] /= counts[i];
  return result;
}

}  // namespace MAT_ABI
}  // namespace mat
