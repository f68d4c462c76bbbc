#pragma once

#include <mat/memory/any_memory.hpp>
#include <mat/models/segment_classifier.hpp>

namespace mat {
inline namespace MAT_ABI {

/// A SegmentClassifier whose memory is chosen when the program runs. A program that knows its memory uses the class.
template <class T>
using DocumentClassifier = SegmentClassifier<T, AnyMemory<T>>;

/// All that decides a DocumentClassifier, as a file keeps it.
template <class T>
struct DocumentClassifierConfig {
  typename TextClassifier<T>::Config text;
  DocumentSegments::Config segments;
  MemoryKind memory = MemoryKind::none;
  MemorySize size;
};

/// The classifier of a config. Errors: those of SegmentClassifier.
template <class T>
[[nodiscard]] DocumentClassifier<T> make_document_classifier(const DocumentClassifierConfig<T>& config,
                                                             const Random& random) {
  return DocumentClassifier<T>({config.text, AnyMemory<T>::Config::of(config.memory, config.size), config.segments},
                               random);
}

}  // namespace MAT_ABI
}  // namespace mat
