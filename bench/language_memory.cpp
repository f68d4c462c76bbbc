// What does a memory give a character language model? Trains one on tiny Shakespeare under a fixed budget of tokens and
// measures it on the whole validation part, read in order, segment by segment.
//   mat-language-memory --memory none cache delta --seeds 3
#include <mat/core/parallel.hpp>

#include <CLI/CLI.hpp>
#include <bench/tasks/models.hpp>
#include <bench/tasks/training.hpp>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <iterator>

namespace {

using namespace bench;

struct Options {
  std::vector<std::string> memories{"none"};
  Task model;          // the sizes of the decoder
  Index segment = 64;  // tokens
  Index window = 1;    // segments of a training step, through which the gradient flows
  Index streams = 12;  // texts that a step reads from
  double cold = 1;     // share of the texts that begin anew, at a random place with an empty memory, at each step
  double dropout = 0;
  Index memory_layer = -1;
  Index seeds = 1, first_seed = 1;
  int threads = 1;
  std::string data;
};

/// The characters of a text as numbers.
struct Text {
  std::vector<Index> ids;

  [[nodiscard]] Index size() const { return static_cast<Index>(ids.size()); }
};

[[nodiscard]] std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw mat::FileError(path + ": cannot be read");
  return {std::istreambuf_iterator<char>(file), {}};
}

struct Corpus {
  Text train, validation;
  Index vocabulary = 0;

  explicit Corpus(const std::string& folder) {
    const std::string train_text = read_file(folder + "/train.txt"), validation_text = read_file(folder + "/valid.txt");
    std::map<char, Index> ids;
    for (const std::string* text : {&train_text, &validation_text}) {
      for (const char c : *text) ids.emplace(c, 0);
    }
    for (auto& [c, id] : ids) id = vocabulary++;
    for (const char c : train_text) train.ids.push_back(ids[c]);
    for (const char c : validation_text) validation.ids.push_back(ids[c]);
  }
};

/// Adds up to `length` characters from `begin` on as the next sequence of a batch, each asked for the one after it.
void add_text(const Text& text, Index begin, Index length, SegmentBatch& batch, std::vector<Index>& lengths) {
  const Index end = std::max(begin, std::min(begin + length, text.size() - 1));
  for (Index i = begin; i < end; ++i) {
    batch.tokens.push_back(text.ids[static_cast<std::size_t>(i)]);
    batch.targets.push_back(text.ids[static_cast<std::size_t>(i) + 1]);
  }
  lengths.push_back(end - begin);
}

/// The segment that every stream reads at its place.
[[nodiscard]] SegmentBatch segment_at(const Text& text, const std::vector<Index>& places, Index length) {
  SegmentBatch batch;
  std::vector<Index> lengths;
  for (const Index place : places) add_text(text, place, length, batch, lengths);
  batch.sequences.assign(lengths);
  return batch;
}

struct Result {
  double loss = 0, seconds = 0;
  Index parameters = 0, state_bytes = 0;
};

template <class Memory>
class Experiment {
 public:
  using Model = mat::LanguageModel<float, Memory>;
  using State = typename Model::State;

  Experiment(const Options& o, const Corpus& corpus, const typename Model::Config& config, Index seed)
      : o_(o),
        corpus_(corpus),
        random_(static_cast<std::uint64_t>(seed)),
        model_(config, random_.split(0)),
        grads_(mat::zeros_like(model_.parameters())),
        optimizer_(model_.parameters(), optimizer_config()),
        recurrence_(typename mat::Recurrence<Model>::Config{}) {}

  Result run(const std::string& name) {
    const std::clock_t start = std::clock();
    const auto seconds = [&] { return static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC; };
    mat::ScheduleConfig config;
    config.learning_rate = o_.model.learning_rate;
    config.warmup_steps = std::min<Index>(100, o_.model.steps / 10);
    config.total_steps = o_.model.steps;
    config.final_learning_rate = 0.1 * config.learning_rate;
    const mat::Schedule schedule = mat::Schedule::cosine_annealing(config);
    double loss = 0;
    constexpr Index kEvery = 100;
    for (Index i = 0; i < o_.model.steps; ++i) {
      optimizer_.set_learning_rate(schedule.rate(i));
      loss += step(i);
      if ((i + 1) % kEvery != 0) continue;
      std::fprintf(stderr, "%s: step %d of %d   loss %.4f   %.0f s\n", name.c_str(), static_cast<int>(i + 1),
                   static_cast<int>(o_.model.steps), loss / static_cast<double>(kEvery), seconds());
      loss = 0;
    }
    Result result;
    result.seconds = seconds();
    result.parameters = mat::parameter_count(model_.parameters());
    result.loss = validate(result);
    return result;
  }

 private:
  [[nodiscard]] static mat::AdamWConfig optimizer_config() {
    mat::AdamWConfig config;
    config.beta2 = 0.99;
    config.weight_decay = 0.1;
    config.decay = mat::DecayRule::matrices_only;
    return config;
  }
  [[nodiscard]] static typename Model::Segment segment_of(const SegmentBatch& batch) {
    return {{batch.tokens, {static_cast<Index>(batch.tokens.size())}}, &batch.sequences};
  }

  /// Where the streams read at this step, and which of them begin anew.
  void place(Index step) {
    const mat::Random random = random_.split(1).split(static_cast<std::uint64_t>(step));
    const Index room = corpus_.train.size() - 1 - o_.window * o_.segment;
    if (step == 0) {
      model_.initial(o_.streams, state_);
      places_.assign(static_cast<std::size_t>(o_.streams), room);
    }
    fresh_.resize(places_.size());
    for (std::size_t b = 0; b < places_.size(); ++b) {
      fresh_[b] = places_[b] >= room || random.uniform(2 * b) < o_.cold;
      if (fresh_[b]) places_[b] = random.below(2 * b + 1, room);
    }
  }

  double step(Index i) {
    place(i);
    std::vector<SegmentBatch> batches;
    for (Index w = 0; w < o_.window; ++w) {
      batches.push_back(segment_at(corpus_.train, places_, o_.segment));
      for (Index& place : places_) place += o_.segment;
    }
    const double tokens = static_cast<double>(o_.window * o_.segment * o_.streams);
    double loss = 0;
    mat::set_zero(grads_);
    const State& last = recurrence_.backward(
        model_, o_.window, [&](Index w) { return segment_of(batches[static_cast<std::size_t>(w)]); },
        {&state_, &fresh_},
        [&](Index w, mat::ConstMatrixView<float> logits) {
          loss += loss_.forward(logits, batches[static_cast<std::size_t>(w)].targets, loss_cache_, tokens);
          return loss_.backward(loss_cache_);
        },
        mat::Dropout{o_.dropout, random_.split(2).split(static_cast<std::uint64_t>(i))}, cache_, grads_);
    state_ = last;
    mat::clip_grad_norm(grads_);
    optimizer_.step(model_.parameters(), grads_);
    return loss;
  }

  /// Nats per character of the whole validation part, read as a few streams side by side.
  double validate(Result& result) {
    constexpr Index kStreams = 10;
    const Text& text = corpus_.validation;
    const Index length = (text.size() + kStreams - 1) / kStreams;
    std::vector<Text> parts;
    for (Index b = 0; b < kStreams; ++b) {
      const auto begin = text.ids.begin() + b * length,
                 end = text.ids.begin() + std::min(text.size(), (b + 1) * length + 1);
      parts.push_back({std::vector<Index>(begin, end)});
    }
    mat::LossSum sum;
    State state, next;
    typename Model::Cache cache;
    model_.initial(kStreams, state);
    for (Index place = 0; place < length; place += o_.segment) {
      SegmentBatch batch;
      std::vector<Index> lengths;
      for (const Text& part : parts) add_text(part, place, o_.segment, batch, lengths);
      batch.sequences.assign(lengths);
      loss_.evaluate(model_.forward(segment_of(batch), state, &next, mat::Dropout{}, cache), batch.targets,
                     loss_cache_);
      sum += loss_cache_.sum;
      std::swap(state, next);
    }
    result.state_bytes = mat::state_bytes(state) / kStreams;
    return sum.mean();
  }

  const Options& o_;
  const Corpus& corpus_;
  mat::Random random_;
  Model model_;
  typename Model::Parameters grads_;
  mat::AdamW<typename Model::Parameters> optimizer_;
  mat::Recurrence<Model> recurrence_;
  typename mat::Recurrence<Model>::Cache cache_;
  State state_;
  std::vector<Index> places_;
  std::vector<bool> fresh_;
  mat::CrossEntropy<float> loss_;
  mat::CrossEntropy<float>::Cache loss_cache_;
};

void add_options(CLI::App& app, Options& o) {
  o.model.d_model = 128, o.model.heads = 4, o.model.hidden = 512, o.model.layers = 4;
  o.model.steps = 2000, o.model.learning_rate = 3e-3, o.model.memory_size = 64;
  app.add_option("--memory", o.memories, "Memories")->check(CLI::IsMember(memory_names()))->capture_default_str();
  app.add_option("--segment", o.segment, "Characters of a segment")->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--window", o.window, "Segments of a training step")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--streams", o.streams, "Texts side by side")->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--cold", o.cold, "Share of texts that begin anew at each step")->check(CLI::Range(0.0, 1.0));
  app.add_option("--dropout", o.dropout, "Dropout")->check(CLI::Range(0.0, 0.9));
  app.add_option("--dim", o.model.d_model, "Features")->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--hidden", o.model.hidden, "Hidden features")->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--layers", o.model.layers, "Layers")->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--memory-size", o.model.memory_size, "Rows of a memory of rows")->capture_default_str();
  app.add_option("--memory-layer", o.memory_layer, "The one layer with a memory; -1: all")->capture_default_str();
  app.add_option("--steps", o.model.steps, "Steps")->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--lr", o.model.learning_rate, "Largest learning rate")->capture_default_str();
  app.add_option("--seeds", o.seeds, "Trainings of each")->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--first-seed", o.first_seed, "Seed of the first")->capture_default_str();
  app.add_option("--threads", o.threads, "Threads")->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--data", o.data, "The folder with train.txt and valid.txt")->capture_default_str();
}

/// Prints a row for each memory: the mean and the worst of the seeds.
void run_all(const Options& o, const Corpus& corpus) {
  Task task = o.model;
  task.vocabulary = corpus.vocabulary;
  std::printf(
      "| memory | segment | window | streams | cold | parameters | state bytes | mean nats | worst nats | steps | "
      "seconds |\n|---|---|---|---|---|---|---|---|---|---|---|\n");
  for (const std::string& memory : o.memories) {
    double sum = 0, worst = 0, seconds = 0;
    Result result;
    for (Index seed = o.first_seed; seed < o.first_seed + o.seeds; ++seed) {
      result = with_memory(memory, task, [&](auto type, auto config) {
        config.decoder.memory_layer = o.memory_layer;
        config.initial_scale = 0.1;
        return Experiment<typename decltype(type)::Memory>(o, corpus, config, seed).run(memory);
      });
      sum += result.loss, seconds += result.seconds;
      worst = std::max(worst, result.loss);
      std::fprintf(stderr, "%s, seed %d: %.4f nats\n", memory.c_str(), static_cast<int>(seed), result.loss);
    }
    const auto count = static_cast<double>(o.seeds);
    std::printf("| %s | %d | %d | %d | %.2f | %d | %d | %.4f | %.4f | %d | %.0f |\n", memory.c_str(),
                static_cast<int>(o.segment), static_cast<int>(o.window), static_cast<int>(o.streams), o.cold,
                static_cast<int>(result.parameters), static_cast<int>(result.state_bytes), sum / count, worst,
                static_cast<int>(task.steps), seconds / count);
    std::fflush(stdout);
  }
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  const char* folder = std::getenv("MAT_DATA_DIR");
  const std::filesystem::path data =
      folder != nullptr ? folder : std::filesystem::path(__FILE__).parent_path() / "../../shared/data";
  options.data = (data / "lm/tinyshakespeare").lexically_normal().string();
  CLI::App app{"What does a memory give a character language model?"};
  add_options(app, options);
  CLI11_PARSE(app, argc, argv);
  mat::set_threads(options.threads);
  try {
    run_all(options, Corpus(options.data));
  } catch (const mat::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  return 0;
}
