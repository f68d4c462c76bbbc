// Is a memory worth anything to a translator that reads a document sentence by sentence? English "it" is "er", "sie" or
// "es" in German, as the noun is that an earlier sentence names: alone, a sentence does not tell. Trains the same
// translator without a memory and with several, and prints how many of the pronouns and of all sentences are right in
// documents that training does not draw, translated word by word.
//   mat-document-translation [--memory none tokens delta] [--seeds 3] [--steps 400]
#include <mat/memory/any_memory.hpp>
#include <mat/memory/recurrence.hpp>
#include <mat/models/document_decoder.hpp>
#include <mat/training/adamw.hpp>
#include <mat/training/clip.hpp>
#include <mat/training/cross_entropy.hpp>
#include <mat/training/schedule.hpp>

#include <CLI/CLI.hpp>
#include <bench/tasks/documents.hpp>
#include <cmath>
#include <cstdio>
#include <ctime>

namespace {

using bench::Documents;
using mat::Index;

/// The sentences of a batch of documents at one place, as the model reads them.
struct Sentences {
  std::vector<Index> source, target, expected;
  mat::Sequences sequences, target_sequences;

  Sentences(const std::vector<Documents::Document>& documents, std::size_t place) {
    std::vector<Index> lengths, target_lengths;
    for (const Documents::Document& document : documents) {
      const Documents::Sentence& sentence = document[place];
      source.insert(source.end(), sentence.english.begin(), sentence.english.end());
      target.push_back(Documents::begin());
      target.insert(target.end(), sentence.german.begin(), sentence.german.end() - 1);
      expected.insert(expected.end(), sentence.german.begin(), sentence.german.end());
      lengths.push_back(static_cast<Index>(sentence.english.size()));
      target_lengths.push_back(static_cast<Index>(sentence.german.size()));
    }
    sequences = mat::Sequences(lengths);
    target_sequences = mat::Sequences(target_lengths);
  }
};

struct Result {
  Index parameters = 0;
  double pronouns = 0, sentences = 0, seconds = 0;
};

class Experiment {
 public:
  using Memory = mat::AnyMemory<float>;
  using Model = mat::DocumentTranslator<float, Memory>;

  Experiment(const Memory::Config& memory, Index seed)
      : random_(static_cast<std::uint64_t>(seed)), model_(config_of(memory), random_.split(0)) {}

  [[nodiscard]] Result run(Index steps) {
    const std::clock_t start = std::clock();
    train(steps);
    Result result = test();
    result.parameters = mat::parameter_count(model_.parameters());
    result.seconds = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
    return result;
  }

 private:
  [[nodiscard]] Model::Config config_of(const Memory::Config& memory) const {
    Model::Config config;
    auto& translator = config.translator;
    translator.source_vocabulary = translator.target_vocabulary = documents_.vocabulary();
    translator.layer.d_model = 32;
    translator.layer.nhead = 2;
    translator.layer.dim_feedforward = 64;
    translator.num_encoder_layers = translator.num_decoder_layers = 1;
    config.memory = memory;
    return config;
  }

  void train(Index steps) {
    constexpr Index kBatch = 32;
    Model::Parameters grads = mat::zeros_like(model_.parameters());
    mat::AdamW<Model::Parameters> optimizer(model_.parameters(), mat::AdamWConfig{});
    mat::ScheduleConfig rates;
    rates.learning_rate = 3e-3;
    rates.warmup_steps = steps / 10;
    rates.total_steps = steps;
    const mat::Schedule schedule = mat::Schedule::cosine_annealing(rates);
    const mat::Recurrence<Model> recurrence({});
    mat::Recurrence<Model>::Cache cache;
    mat::CrossEntropy<float> loss;
    mat::CrossEntropy<float>::Cache loss_cache;
    for (Index step = 0; step < steps; ++step) {
      const mat::Random random = random_.split(1).split(static_cast<std::uint64_t>(step));
      std::vector<Documents::Document> documents;
      for (std::uint64_t b = 0; b < kBatch; ++b) documents.push_back(documents_.document(random.split(b)));
      std::vector<Sentences> places;
      double tokens = 0;
      for (std::size_t i = 0; i < static_cast<std::size_t>(Documents::kSentences); ++i) {
        places.emplace_back(documents, i);
        tokens += static_cast<double>(places.back().expected.size());
      }
      mat::set_zero(grads);
      recurrence.backward(
          model_, Documents::kSentences, [&](Index i) { return segment(places[static_cast<std::size_t>(i)]); }, {},
          [&](Index i, mat::ConstMatrixView<float> logits) {
            (void)loss.forward(logits, places[static_cast<std::size_t>(i)].expected, loss_cache, tokens);
            return loss.backward(loss_cache);
          },
          mat::Dropout{}, cache, grads);
      mat::clip_grad_norm(grads);
      optimizer.set_learning_rate(schedule.rate(step));
      optimizer.step(model_.parameters(), grads);
    }
  }
  [[nodiscard]] static Model::Segment segment(const Sentences& s) {
    return {
        {s.source, {s.sequences.rows()}}, &s.sequences, {s.target, {s.target_sequences.rows()}}, &s.target_sequences};
  }

  [[nodiscard]] Result test() const {
    constexpr std::uint64_t kDocuments = 200;
    mat::DecodingConfig decoding;
    decoding.begin_token = Documents::begin();
    decoding.end_token = Documents::end();
    decoding.beam_size = 1;  // word by word
    mat::DocumentDecoder<float, Memory> decoder(model_, decoding);
    Index asked = 0, pronouns = 0, right = 0;
    for (std::uint64_t i = 0; i < kDocuments; ++i) {
      decoder.restart();
      for (const Documents::Sentence& sentence : documents_.document(mat::Random(0x7E57).split(i))) {
        std::vector<Index> translation =
            decoder.translate({sentence.english, {static_cast<Index>(sentence.english.size())}});
        translation.push_back(Documents::end());
        right += translation == sentence.german ? 1 : 0;
        asked += sentence.asks ? 1 : 0;
        pronouns += sentence.asks && translation.front() == sentence.german.front() ? 1 : 0;
      }
    }
    Result result;
    result.pronouns = 100.0 * static_cast<double>(pronouns) / static_cast<double>(asked);
    result.sentences = 100.0 * static_cast<double>(right) / static_cast<double>(kDocuments * Documents::kSentences);
    return result;
  }

  Documents documents_;
  mat::Random random_;
  Model model_;
};

/// Mean and worst of the seeds.
void print(const std::string& memory, const std::vector<Result>& results) {
  double pronouns = 0, worst = 100, sentences = 0, seconds = 0;
  for (const Result& result : results) {
    pronouns += result.pronouns;
    worst = std::min(worst, result.pronouns);
    sentences += result.sentences;
    seconds += result.seconds;
  }
  const double count = static_cast<double>(results.size());
  std::printf("| %s | %lld | %d | %.1f | %.1f | %.1f | %.1f |\n", memory.c_str(),
              static_cast<long long>(results.front().parameters), static_cast<int>(results.size()), pronouns / count,
              worst, sentences / count, seconds / count);
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::string> memories{"none", "cache", "tokens", "delta", "neural"};
  Index seeds = 3, steps = 400;
  CLI::App app("What a memory of earlier sentences is worth to a translator.");
  app.add_option("--memory", memories, "Memories")->capture_default_str();
  app.add_option("--seeds", seeds, "Trainings of each")->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--steps", steps, "Steps of a training")->check(CLI::PositiveNumber)->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  mat::set_threads(1);
  std::printf(
      "| memory | parameters | seeds | pronouns %% | worst | sentences %% | seconds "
      "|\n|---|---|---|---|---|---|---|\n");
  for (const std::string& memory : memories) {
    const auto config = mat::AnyMemory<float>::Config::of(mat::memory_kind_from_name(memory), {16, 2});
    std::vector<Result> results;
    for (Index seed = 1; seed <= seeds; ++seed) results.push_back(Experiment(config, seed).run(steps));
    print(memory, results);
  }
}
