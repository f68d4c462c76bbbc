#pragma once

#include <mat/models/beam_search.hpp>
#include <mat/models/document_translator.hpp>

namespace mat {
inline namespace MAT_ABI {

/// Translates a document sentence by sentence, remembering what it has read: each as `translate` does, with a beam
/// search that reads the sentence once and each token once.
///
/// Shapes:  source [source tokens].
/// Errors:  ValueError for a setting out of range, layers that do not pack, or a token outside of its vocabulary: then
///          nothing was read.
/// Threads: one document at a time; the model is only read and must live as long. Its translator's weights are packed
///          once, by the constructor: later changes are not seen.
template <class T, class Memory>
class DocumentDecoder {
 public:
  using Model = DocumentTranslator<T, Memory>;

  DocumentDecoder(const Model& model, const DecodingConfig& config)
      : model_(&model), translator_(model.parameters().translator), config_(config) {
    check_decoding("DocumentDecoder", config, model.config().translator.target_vocabulary);
    restart();
  }

  /// The next sentence's translation, without the tokens that begin and end it. An empty sentence has an empty one.
  [[nodiscard]] std::vector<Index> translate(ConstVectorView<Index> source) {
    const Sequences sequences = Sequences::single(source.size());
    const auto x = translator_.embed_source(source, sequences, decoding_.model);
    const auto read = model_->parameters().context.forward({x, &sequences}, state_, &next_, {}, context_);
    translator_.read_embedded(read, sequences, decoding_.model, decoding_.memory);
    Hypotheses found = detail::BeamSearch<T>(translator_, config_, sequences, {}, decoding_).run();
    std::swap(state_, next_);
    return std::move(found.front().front().tokens);
  }

  /// What is remembered of the sentences so far.
  [[nodiscard]] const typename Model::State& state() const { return state_; }
  /// Goes on as a document that has been read to that state. A state of another model is refused by `translate`.
  void restore(const typename Model::State& state) { state_ = state; }
  /// Begins another document.
  void restart() { model_->initial(1, state_); }

 private:
  const Model* model_;
  PackedTranslator<T> translator_;
  DecodingConfig config_;
  typename Model::State state_, next_;
  typename Model::Context::Cache context_;
  DecodingCache<T> decoding_;
};

}  // namespace MAT_ABI
}  // namespace mat
