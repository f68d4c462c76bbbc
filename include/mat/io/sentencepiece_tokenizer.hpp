#pragma once

#include <mat/core/error.hpp>

#include <algorithm>
#include <memory>
#include <sentencepiece_processor.h>
#include <sentencepiece_trainer.h>
#include <unordered_map>
#include <utility>
#include <vector>

namespace mat {
inline namespace MAT_ABI {

/// How pieces are learnt.
struct SentencePieceConfig {
  enum class Kind { bpe, unigram };
  Kind kind = Kind::bpe;
  Index pieces = 8000;  ///< At most so many, the special ones included; texts with fewer give fewer.
};

/// Divides texts into pieces of words, with SentencePiece. A plain value, made again from its bytes.
///
/// This header alone needs SentencePiece: link sentencepiece and sentencepiece_train.
///
/// Source:  Kudo & Richardson (2018), "SentencePiece: a simple and language independent subword tokenizer"; Sennrich et
///          al. (2016) for byte pair encoding. Characters are normalised as its nmt_nfkc does.
/// Errors:  ValueError for texts that nothing can be learnt from; FileError for bytes that are no SentencePiece model.
/// Threads: all functions are const.
class SentencePieceTokenizer {
 public:
  using Config = SentencePieceConfig;

  /// As it was saved: see bytes().
  explicit SentencePieceTokenizer(std::string bytes) : bytes_(std::move(bytes)) {
    auto processor = std::make_shared<sentencepiece::SentencePieceProcessor>();
    const bool loaded = !bytes_.empty() && processor->LoadFromSerializedProto(bytes_).ok();
    if (!loaded) throw FileError("SentencePieceTokenizer: " + std::to_string(bytes_.size()) + " bytes are no model");
    processor_ = std::move(processor);
  }

  /// Learns the pieces of texts, those of both languages together. Equal texts give equal bytes.
  [[nodiscard]] static SentencePieceTokenizer fit(const std::vector<std::string>& texts, const Config& config = {}) {
    const auto is_empty = [](const std::string& text) {
      return text.find_first_not_of(" \t\r\n") == std::string::npos;
    };
    if (std::all_of(texts.begin(), texts.end(), is_empty)) {
      throw ValueError("SentencePieceTokenizer::fit: there is no text with a word in it");
    }
    check_value(config.pieces >= 4, "SentencePieceTokenizer::fit: pieces", config.pieces, "at least 4");
    Texts iterator(texts);
    std::string bytes;
    const auto status = sentencepiece::SentencePieceTrainer::Train(
        std::unordered_map<std::string, std::string>{
            {"model_type", config.kind == Config::Kind::bpe ? "bpe" : "unigram"},
            {"vocab_size", std::to_string(config.pieces)},
            {"hard_vocab_limit", "false"},
            {"character_coverage", "1.0"},
            {"num_threads", "1"},  // sums depend on their number
            {"minloglevel", "3"}},
        &iterator, &bytes);
    if (!status.ok()) throw ValueError("SentencePieceTokenizer::fit: " + status.ToString());
    return SentencePieceTokenizer(std::move(bytes));
  }

  [[nodiscard]] const std::string& bytes() const { return bytes_; }
  [[nodiscard]] Index size() const { return processor_->GetPieceSize(); }
  // The special pieces, which no text contains.
  [[nodiscard]] Index unknown() const { return processor_->unk_id(); }
  [[nodiscard]] Index begin() const { return processor_->bos_id(); }
  [[nodiscard]] Index end() const { return processor_->eos_id(); }

  /// The pieces of a text, none for an empty one.
  [[nodiscard]] std::vector<Index> encode(const std::string& text) const {
    std::vector<int> ids;
    if (!processor_->Encode(text, &ids).ok()) throw ValueError("SentencePieceTokenizer::encode: the text is refused");
    return {ids.begin(), ids.end()};
  }
  /// The text of pieces. Errors: ValueError for a piece that is not there.
  [[nodiscard]] std::string decode(const std::vector<Index>& pieces) const {
    std::vector<int> ids;
    for (const Index piece : pieces) {
      if (piece < 0 || piece >= size()) {
        check_value(false, "SentencePieceTokenizer::decode: a piece", piece, "in [0, " + std::to_string(size()) + ")");
      }
      ids.push_back(static_cast<int>(piece));
    }
    std::string text;
    if (!processor_->Decode(ids, &text).ok())
      throw ValueError("SentencePieceTokenizer::decode: the pieces are refused");
    return text;
  }
  /// A piece as it is written, a leading space being U+2581.
  [[nodiscard]] const std::string& piece(Index id) const {
    if (id < 0 || id >= size()) {
      check_value(false, "SentencePieceTokenizer::piece: a piece", id, "in [0, " + std::to_string(size()) + ")");
    }
    return processor_->IdToPiece(static_cast<int>(id));
  }

 private:
  class Texts : public sentencepiece::SentenceIterator {
   public:
    explicit Texts(const std::vector<std::string>& texts) : texts_(texts) {}
    [[nodiscard]] bool done() const override { return next_ >= texts_.size(); }
    void Next() override { ++next_; }
    [[nodiscard]] const std::string& value() const override { return texts_[next_]; }
    [[nodiscard]] sentencepiece::util::Status status() const override { return {}; }

   private:
    const std::vector<std::string>& texts_;
    std::size_t next_ = 0;
  };

  std::string bytes_;
  std::shared_ptr<const sentencepiece::SentencePieceProcessor> processor_;
};

}  // namespace MAT_ABI
}  // namespace mat
