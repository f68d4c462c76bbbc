#pragma once

#include <mat/memory/recurrence.hpp>
#include <mat/models/stream.hpp>

#include <bench/tasks/training.hpp>
#include <chrono>
#include <examples/support/recall_result.hpp>

namespace example {

/// The word that a row of logits finds most likely.
[[nodiscard]] inline Index likeliest(const float* logits, Index words) {
  return std::max_element(logits, logits + words) - logits;
}

using bench::Model;

/// Asks all questions of all stories, which have as many pages, and adds the answers to the scores of `result`.
inline void measure_recall(const Model& model, const std::vector<RecallStory>& stories, RecallResult& result) {
  std::vector<bench::Episode> episodes;
  for (const RecallStory& story : stories) episodes.push_back(story.pages);
  Model::State state, next;
  Model::Cache cache;
  model.initial(static_cast<Index>(stories.size()), state);
  const std::vector<bench::SegmentBatch> pages = bench::batch_of(episodes);
  for (std::size_t page = 0; page < pages.size(); ++page) {
    const auto logits = model.forward(bench::segment_of(pages[page]), state, &next, mat::Dropout{}, cache);
    std::swap(state, next);
    for (std::size_t i = 0; i < stories.size(); ++i) {
      for (const RecallStory::Question& question : stories[i].questions) {
        if (question.page != static_cast<Index>(page)) continue;
        const Index row = pages[page].sequences.begin(static_cast<Index>(i)) + question.token;
        const bool is_right = likeliest(logits.row(row), logits.cols()) == question.answer;
        result.all.add(is_right);
        if (question.overwritten) result.overwritten.add(is_right);
        for (std::size_t d = 0; d < kRecallDistances.size(); ++d) {
          if (kRecallDistances[d].contains(question.distance())) result.distances[d].add(is_right);
        }
      }
    }
  }
}

/// Reads stories as one stream, a page at a time: the microseconds of a word, and the bytes of what is remembered.
inline void measure_stream(const Model& model, const std::vector<RecallStory>& stories, RecallResult& result) {
  mat::Stream<Model>::Config config;
  config.segment = static_cast<Index>(stories[0].pages[0].tokens.size());
  mat::Stream<Model> stream(model, config);
  double fastest = 0;
  for (const RecallStory& story : stories) {
    const auto start = std::chrono::steady_clock::now();
    Index words = 0;
    for (const bench::Segment& page : story.pages) {
      words += static_cast<Index>(page.tokens.size());
      static_cast<void>(stream.push({page.tokens, {static_cast<Index>(page.tokens.size())}}));
    }
    const std::chrono::duration<double, std::micro> passed = std::chrono::steady_clock::now() - start;
    const double each = passed.count() / static_cast<double>(words);
    fastest = fastest == 0 ? each : std::min(fastest, each);  // the least disturbed by what else the machine does
  }
  result.microseconds = fastest;
  result.state_bytes = mat::state_bytes(stream.state());
}

/// How strongly each token of a segment is written, at most 1: the mean of the heads. Nothing, if the memory takes all.
[[nodiscard]] inline std::vector<double> write_strength(const mat::AnyMemory<float>::WriteCache& cache) {
  const auto means = [](mat::ConstMatrixView<float> rows, double most) {
    std::vector<double> strength;
    for (Index t = 0; t < rows.rows(); ++t) {
      double sum = 0;
      for (Index h = 0; h < rows.cols(); ++h) sum += static_cast<double>(rows(t, h));
      strength.push_back(sum / static_cast<double>(rows.cols()) / most);
    }
    return strength;
  };
  if (const auto* delta = std::get_if<mat::DeltaMemory<float>::WriteCache>(&cache.memory)) return means(delta->beta, 1);
  if (const auto* neural = std::get_if<mat::NeuralMemory<float>::WriteCache>(&cache.memory)) {
    return means(neural->gate, 1);
  }
  return {};
}

/// Looks into a model that reads one story: what it answers, how strongly it writes each word, and which words each
/// answer comes from.
///
///     influence of word j   |d (the logit of the right answer) / d x_j|,   x_j its embedding, 1 for the largest
class RecallInspector {
 public:
  RecallInspector(const Model& model, const RecallStory& story)
      : model_(model),
        story_(story),
        pages_(bench::batch_of({story.pages})),
        grads_(mat::zeros_like(model.parameters())) {}

  [[nodiscard]] RecallInspection inspect() {
    RecallInspection inspection;
    for (const RecallStory::Question& question : story_.questions) inspection.answers.push_back(ask(question));
    Model::State state, next;
    Model::Cache cache;
    model_.initial(1, state);
    for (const bench::SegmentBatch& page : pages_) {
      static_cast<void>(model_.forward(bench::segment_of(page), state, &next, mat::Dropout{}, cache));
      std::swap(state, next);
      const auto strength = write_strength(cache.decoder.layers.front().write);
      inspection.strength.insert(inspection.strength.end(), strength.begin(), strength.end());
    }
    return inspection;
  }

 private:
  [[nodiscard]] RecallInspection::Answer ask(const RecallStory::Question& question) {
    RecallInspection::Answer answer;
    mat::Recurrence<Model>::Cache cache;
    const auto page = [&](Index i) { return bench::segment_of(pages_[static_cast<std::size_t>(i)]); };
    const auto answered = [&](Index i, mat::ConstMatrixView<float> logits) {
      dlogits_.resize(logits.shape());
      dlogits_.fill(0);
      if (i == question.page) {
        answer.word = likeliest(logits.row(question.token), logits.cols());
        dlogits_(question.token, question.answer) = 1;
      }
      return dlogits_.view();
    };
    mat::Recurrence<Model>({}).backward(model_, question.page + 1, page, {}, answered, mat::Dropout{}, cache, grads_);
    for (Index i = 0; i <= question.page; ++i) {
      const mat::ConstMatrixView<float> dx = cache.segments[static_cast<std::size_t>(i)].dx;
      for (Index t = 0; t < dx.rows(); ++t) {
        answer.influence.push_back(std::sqrt(static_cast<double>(mat::simd::dot(dx.cols(), dx.row(t), dx.row(t)))));
      }
    }
    const double largest = *std::max_element(answer.influence.begin(), answer.influence.end());
    for (double& influence : answer.influence) influence /= largest > 0 ? largest : 1;
    return answer;
  }

  const Model& model_;
  const RecallStory& story_;
  std::vector<bench::SegmentBatch> pages_;
  Model::Parameters grads_;     // not asked for, but a backward adds to them
  mat::Matrix<float> dlogits_;  // [tokens of a page, words]
};

}  // namespace example
