#pragma once

#include <mat/models/text_classifier.hpp>

namespace mat {
inline namespace MAT_ABI {

/// Runs a classifier over whole texts, forward or with gradients, in buffers that it keeps.
///
///     forward(model, texts)                           the logits, living here until the next run
///     learn(model, texts, dropout, loss, grads)       adds the gradients of what loss(logits) returns the gradient of
///
/// Each kind of model has a specialisation: that of SegmentClassifier is in training/segment_classifier_run.hpp.
///
/// Shapes:  logits [texts, classes].
/// Threads: one run belongs to one thread at a time; the model is only read.
template <class Model>
class ClassifierRun;

template <class T>
class ClassifierRun<TextClassifier<T>> {
 public:
  using Model = TextClassifier<T>;

  ConstMatrixView<T> forward(const Model& model, const TokenBatch& texts) { return model.forward(texts, cache_); }

  template <class Loss>
  void learn(const Model& model, const TokenBatch& texts, const ClassifierDropout& dropout, Loss&& loss,
             typename Model::Parameters& grads) {
    model.backward(loss(model.forward(texts, dropout, cache_)), cache_, grads);
  }

 private:
  typename Model::Cache cache_;
};

}  // namespace MAT_ABI
}  // namespace mat
