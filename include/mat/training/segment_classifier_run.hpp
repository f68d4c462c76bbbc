#pragma once

#include <mat/memory/recurrence.hpp>
#include <mat/models/segment_classifier.hpp>
#include <mat/training/classifier_run.hpp>

namespace mat {
inline namespace MAT_ABI {

/// The loss is that of the last logits. The gradient goes through all segments; it takes the memory of one, and a state
/// for each, for every segment runs a second time.
template <class T, class Memory>
class ClassifierRun<SegmentClassifier<T, Memory>> {
 public:
  using Model = SegmentClassifier<T, Memory>;

  ConstMatrixView<T> forward(const Model& model, const TokenBatch& texts) {
    segments_.assign(texts, model.config().segments);
    model.initial(texts.size(), state_);
    ConstMatrixView<T> logits;
    for (Index i = 0; i < segments_.count(); ++i) {
      logits = model.forward(segment(i), state_, &next_, {}, cache_);
      std::swap(state_, next_);
    }
    return logits;
  }

  template <class Loss>
  void learn(const Model& model, const TokenBatch& texts, const ClassifierDropout& dropout, Loss&& loss,
             typename Model::Parameters& grads) {
    segments_.assign(texts, model.config().segments);
    const Index last = segments_.count() - 1;
    const auto loss_of_segment = [&](Index i, ConstMatrixView<T> logits) -> ConstMatrixView<T> {
      if (i == last) return loss(logits);
      no_gradient_.resize(logits.shape());
      no_gradient_.fill(T(0));
      return no_gradient_;
    };
    const Recurrence<Model> recurrence({/*depth=*/0, /*recompute=*/true});
    const auto segment_of = [&](Index i) { return segment(i); };
    recurrence.backward(model, segments_.count(), segment_of, {}, loss_of_segment, dropout, recurrence_, grads);
  }

 private:
  [[nodiscard]] typename Model::Segment segment(Index i) const {
    return {&segments_.tokens(i), &segments_.sequences(i)};
  }

  DocumentSegments segments_;
  typename Model::State state_, next_;
  typename Model::Cache cache_;
  typename Recurrence<Model>::Cache recurrence_;
  Matrix<T> no_gradient_;  // 0: [texts, classes]
};

}  // namespace MAT_ABI
}  // namespace mat
