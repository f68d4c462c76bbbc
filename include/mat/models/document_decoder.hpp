#pragma once

#include <mat/models/decoding_config.hpp>
#include <mat/models/document_translator.hpp>

#include <algorithm>

namespace mat {
inline namespace MAT_ABI {

/// Translates a document sentence by sentence, remembering what it has read: what is most probable token by token.
///
/// Every token runs the model over the sentence and its translation so far again. Of the settings, beam_size, n_best
/// and early_stopping do not count.
///
/// Shapes:  source [source tokens].
/// Errors:  ValueError for a setting out of range, or a token outside of its vocabulary: then nothing was read.
/// Threads: one document each; the model is only read and must live as long.
template <class T, class Memory>
class DocumentDecoder {
 public:
  using Model = DocumentTranslator<T, Memory>;

  DocumentDecoder(const Model& model, const DecodingConfig& config) : model_(&model), config_(config) {
    check_decoding("DocumentDecoder", config, model.config().translator.target_vocabulary);
    model.initial(1, state_);
  }

  /// The next sentence's translation, without the tokens that begin and end it. An empty sentence has an empty one.
  [[nodiscard]] std::vector<Index> translate(ConstVectorView<Index> source) {
    const Index most = source.size() == 0 ? 0 : most_tokens(config_, source.size());
    std::vector<Index> read{config_.begin_token};
    source_sequences_ = Sequences::single(source.size());
    for (Index length = 0; length < most; ++length) {
      const Index token = most_probable(forward(source, read));
      if (token == config_.end_token) break;
      read.push_back(token);
    }
    if (source.size() == 0) (void)forward(source, read);
    std::swap(state_, next_);
    read.erase(read.begin());
    return read;
  }

  /// What is remembered of the sentences so far.
  [[nodiscard]] const typename Model::State& state() const { return state_; }
  /// Goes on as a document that has been read to that state. A state of another model is refused by `translate`.
  void restore(const typename Model::State& state) { state_ = state; }

 private:
  /// The scores after the last token that was read: [target vocabulary].
  [[nodiscard]] ConstVectorView<T> forward(ConstVectorView<Index> source, const std::vector<Index>& read) {
    const Index count = static_cast<Index>(read.size());
    target_sequences_ = Sequences::single(count);
    const auto logits = model_->forward({source, &source_sequences_, {read.data(), {count}}, &target_sequences_},
                                        state_, &next_, {}, cache_);
    return {logits.row(count - 1), {logits.cols()}};
  }
  [[nodiscard]] Index most_probable(ConstVectorView<T> scores) const {
    Index best = config_.end_token;
    for (Index i = 0; i < scores.size(); ++i) {
      const bool allowed = std::find(config_.forbidden.begin(), config_.forbidden.end(), i) == config_.forbidden.end();
      if (allowed && scores.data()[i] > scores.data()[best]) best = i;
    }
    return best;
  }

  const Model* model_;
  DecodingConfig config_;
  typename Model::State state_, next_;
  typename Model::Cache cache_;
  Sequences source_sequences_, target_sequences_;
};

}  // namespace MAT_ABI
}  // namespace mat
