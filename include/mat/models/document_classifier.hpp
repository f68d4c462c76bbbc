#pragma once

#include <mat/memory/memory_kind.hpp>
#include <mat/models/segment_reader.hpp>

#include <variant>

namespace mat {
inline namespace MAT_ABI {

/// A SegmentClassifier whose memory is chosen when the program runs. A program that knows its memory uses the class.
///
///     classifier.visit([](auto& model) { ... })     calls the function with the SegmentClassifier
///
/// Errors:  those of SegmentClassifier.
/// Threads: as SegmentClassifier.
template <class T>
class DocumentClassifier {
 public:
  struct Config {
    typename TextClassifier<T>::Config text;
    DocumentSegments::Config segments;
    MemoryKind memory = MemoryKind::none;
    MemorySize size;
  };

  using Model = std::variant<SegmentClassifier<T, NoMemory<T>>, SegmentClassifier<T, SegmentCache<T>>,
                             SegmentClassifier<T, MemoryTokens<T>>, SegmentClassifier<T, DeltaMemory<T>>,
                             SegmentClassifier<T, NeuralMemory<T>>, SegmentClassifier<T, KnnMemory<T>>>;

  DocumentClassifier(const Config& config, const Random& random) : config_(config), model_(make(config, random)) {}

  [[nodiscard]] const Config& config() const { return config_; }

  template <class Function>
  decltype(auto) visit(Function&& fn) const {
    return std::visit(fn, model_);
  }
  template <class Function>
  decltype(auto) visit(Function&& fn) {
    return std::visit(fn, model_);
  }

 private:
  [[nodiscard]] static Model make(const Config& config, const Random& random) {
    return with_memory_of_kind<T>(config.memory, config.size, [&](auto type, const auto& memory) {
      using Classifier = SegmentClassifier<T, typename decltype(type)::Memory>;
      typename Classifier::Config classifier;
      classifier.text = config.text;
      classifier.memory = memory;
      classifier.segments = config.segments;
      return Model(std::in_place_type<Classifier>, classifier, random);
    });
  }

  Config config_;
  Model model_;
};

/// Reads one text with a DocumentClassifier, as SegmentReader does; the classifier must outlive it.
template <class T>
class DocumentReader {
 public:
  explicit DocumentReader(const DocumentClassifier<T>& classifier)
      : reader_(classifier.visit(
            [](const auto& model) -> Reader { return SegmentReader<std::decay_t<decltype(model)>>(model); })) {}

  void push(const TokenBatch& tokens) {
    std::visit([&](auto& reader) { reader.push(tokens); }, reader_);
  }
  /// The logits of the text, living in the reader until the next push: [1, classes].
  ConstMatrixView<T> finish() {
    return std::visit([](auto& reader) { return reader.finish(); }, reader_);
  }
  void reset() {
    std::visit([](auto& reader) { reader.reset(); }, reader_);
  }

 private:
  template <class Memory>
  using ReaderWith = SegmentReader<SegmentClassifier<T, Memory>>;
  using Reader = std::variant<ReaderWith<NoMemory<T>>, ReaderWith<SegmentCache<T>>, ReaderWith<MemoryTokens<T>>,
                              ReaderWith<DeltaMemory<T>>, ReaderWith<NeuralMemory<T>>, ReaderWith<KnnMemory<T>>>;

  Reader reader_;
};

}  // namespace MAT_ABI
}  // namespace mat
