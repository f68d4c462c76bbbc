#pragma once

#include <mat/models/segment_classifier.hpp>

namespace mat {
inline namespace MAT_ABI {

/// Reads one text of any length with a SegmentClassifier, tokens in any pieces, at constant memory.
///
///     reader.push(tokens)     the tokens come next
///     reader.finish()         the logits of the text, the bits of any other way to read it; the next one begins
///
/// What it holds is a state, the activations of one segment and the tokens of the last push.
///
/// Shapes:  logits [1, classes].
/// Errors:  the model's, for an id outside of its tables: then the text has to be begun anew (`reset`).
/// Threads: one reader belongs to one thread at a time; the model is only read, and must outlive it.
template <class Model>
class SegmentReader {
 public:
  using T = typename Model::Scalar;

  explicit SegmentReader(const Model& model) : model_(&model) { reset(); }

  [[nodiscard]] const Model& model() const { return *model_; }

  /// Back to the beginning of a text.
  void reset() {
    model_->initial(1, state_);
    pending_.clear();
    position_ = 0;
  }

  void push(const TokenBatch& tokens) {
    const Index length = model_->config().segments.length;
    pending_.add_tokens(tokens, 0, tokens.tokens());
    Index done = 0;
    if (model_->config().segments.part == DocumentPart::last_segment) {
      done = std::max<Index>(0, pending_.tokens() - length);
    } else {
      for (; pending_.tokens() - done > length; done += length) read(done, length);
    }
    if (done > 0) keep_from(done);
    position_ += tokens.tokens();
  }

  ConstMatrixView<T> finish() {
    read(0, pending_.tokens());
    reset();
    return logits_;
  }

  /// Tokens of the text so far.
  [[nodiscard]] Index position() const { return position_; }

 private:
  void read(Index first, Index count) {
    segment_.clear();
    segment_.add_tokens(pending_, first, count);
    segment_.end_text();
    sequences_.assign(segment_.lengths);
    logits_ = model_->forward({&segment_, &sequences_}, state_, &next_, {}, cache_);
    std::swap(state_, next_);
  }
  void keep_from(Index first) {
    kept_.clear();
    kept_.add_tokens(pending_, first, pending_.tokens() - first);
    std::swap(pending_, kept_);
  }

  const Model* model_;
  typename Model::State state_, next_;
  TokenBatch pending_, kept_;  // tokens that no segment has: at most a segment's after a push
  TokenBatch segment_;         // one text
  Sequences sequences_;
  typename Model::Cache cache_;
  ConstMatrixView<T> logits_;  // [1, classes]
  Index position_ = 0;
};

}  // namespace MAT_ABI
}  // namespace mat
