#pragma once

#include <mat/core/sequences.hpp>
#include <mat/models/token_batch.hpp>

#include <algorithm>
#include <deque>

namespace mat {
inline namespace MAT_ABI {

/// Which tokens of a text a segment classifier reads.
enum class DocumentPart {
  all,
  last_segment,  ///< No more than a segment's, the last ones: what a model without any memory of a document has.
};

/// Texts of any lengths, cut into segments: segment i holds tokens i * length, i * length + 1, ... of every text that
/// has them, and no token of the others. Texts without a token have one segment all the same.
///
/// A plain value; `assign` reuses the memory of the texts before.
/// Errors: ValueError for a length below 1.
class DocumentSegments {
 public:
  struct Config {
    Index length = 64;  ///< Tokens of a segment.
    DocumentPart part = DocumentPart::all;
  };

  void assign(const TokenBatch& texts, const Config& config) {
    check_value(config.length >= 1, "DocumentSegments::assign: length", config.length, "at least 1");
    const auto longest = texts.lengths.empty() ? 0 : *std::max_element(texts.lengths.begin(), texts.lengths.end());
    count_ = config.part == DocumentPart::last_segment ? 1 : std::max<Index>(1, (longest - 1) / config.length + 1);
    if (segments_.size() < static_cast<std::size_t>(count_)) segments_.resize(static_cast<std::size_t>(count_));
    for (Index i = 0; i < count_; ++i) {
      Segment& segment = segments_[static_cast<std::size_t>(i)];
      segment.tokens.clear();
      for (std::size_t text = 0; text < texts.lengths.size(); ++text) {
        const Index length = texts.lengths[text];
        const Index wanted = config.part == DocumentPart::last_segment ? length - config.length : i * config.length;
        const Index first = std::clamp<Index>(wanted, 0, length);
        segment.tokens.add_tokens(texts, texts.token_begins[text] + first, std::min(config.length, length - first));
        segment.tokens.end_text();
      }
      segment.sequences.assign(segment.tokens.lengths);
    }
  }

  [[nodiscard]] Index count() const { return count_; }
  [[nodiscard]] const TokenBatch& tokens(Index i) const { return segments_[static_cast<std::size_t>(i)].tokens; }
  [[nodiscard]] const Sequences& sequences(Index i) const { return segments_[static_cast<std::size_t>(i)].sequences; }

 private:
  struct Segment {
    TokenBatch tokens;    // [texts]
    Sequences sequences;  // of tokens.lengths
  };
  std::deque<Segment> segments_;  // [most segments so far]
  Index count_ = 0;
};

}  // namespace MAT_ABI
}  // namespace mat
