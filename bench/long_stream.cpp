// Does a stream of a million tokens stay as fast and as small as it began? For every memory: time per token in the
// second and the last tenth, resident memory after the first tenth and at the end, the bytes of a state, and whether a
// stream that was saved and loaded in the middle ends with the same bits; then many interleaved streams. The two tenths
// are read in turns, push by push, the second by a fork that waited for the last: a machine that other programs slow
// down slows both.
//   mat-long-stream --tokens 1000000 --streams 10000
#include <mat/core/parallel.hpp>
#include <mat/io/stream_file.hpp>
#include <mat/models/any_language_model.hpp>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <deque>
#include <filesystem>
#include <fstream>
#include <unistd.h>

namespace {

using mat::Index;

struct Options {
  Index tokens = 1'000'000, streams = 10'000, push = 64;
  std::vector<std::string> memories;
  mat::LanguageModelSettings model;
};

/// Bytes of this process that are in memory; 0 where the system does not say.
[[nodiscard]] Index resident_bytes() {
  std::ifstream file("/proc/self/statm");
  Index all = 0, resident = 0;
  return file >> all >> resident ? resident * static_cast<Index>(::sysconf(_SC_PAGESIZE)) : 0;
}

/// Token `position` of an endless text.
[[nodiscard]] Index token_at(Index position, std::uint64_t text, Index vocabulary) {
  return mat::Random(text).below(static_cast<std::uint64_t>(position), vocabulary);
}

using Model = mat::AnyLanguageModel<float>;

class Measurement {
 public:
  Measurement(const Model& model, const Options& o) : model_(model), o_(o) {}

  /// Pushes once, at most to `end`, and returns the seconds it took.
  double push(mat::Stream<Model>& stream, std::uint64_t text, Index end) {
    const Index count = std::min(o_.push, end - stream.position());
    ids_.resize({count});
    for (Index i = 0; i < count; ++i) ids_(i) = token_at(stream.position() + i, text, o_.model.vocabulary);
    const auto start = std::chrono::steady_clock::now();
    last_ = stream.push(ids_, cache_);
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }
  void read(mat::Stream<Model>& stream, std::uint64_t text, Index end) {
    while (stream.position() < end) (void)push(stream, text, end);
  }
  /// What the last token of the last push made the model expect: pushes may have been cut in other places.
  [[nodiscard]] mat::Matrix<float> last() const { return mat::Matrix<float>(last_.middle_rows(last_.rows() - 1, 1)); }

  /// One row of the table.
  void long_stream(const char* name) {
    mat::Stream<Model> stream(model_, {o_.model.segment});
    const Index tenth = o_.tokens / 10;
    const std::string path = std::filesystem::temp_directory_path() / ("mat-long-stream-" + std::to_string(::getpid()));
    read(stream, 1, tenth);  // warms up, and so does the first file
    mat::save_stream(path, stream);
    mat::Stream<Model> early = stream;
    const Index before = resident_bytes();
    read(stream, 1, 5 * tenth);
    mat::save_stream(path, stream);
    read(stream, 1, 9 * tenth);
    double second_tenth = 0, last_tenth = 0;
    while (stream.position() < 10 * tenth) {
      second_tenth += push(early, 1, 2 * tenth);
      last_tenth += push(stream, 1, 10 * tenth);
    }
    const mat::Matrix<float> expected = last();
    const Index after = resident_bytes();
    mat::Stream<Model> loaded(model_, {o_.model.segment});
    mat::load_stream(path, loaded);
    std::filesystem::remove(path);
    read(loaded, 1, 10 * tenth);
    const double per_token = 1e6 / static_cast<double>(tenth);
    std::printf("| %s | %lld | %.2f | %.2f | %+.1f%% | %+lld | %s |", name,
                static_cast<long long>(mat::state_bytes(stream.state())), second_tenth * per_token,
                last_tenth * per_token, 100 * (last_tenth / second_tenth - 1), static_cast<long long>(after - before),
                last() == expected && mat::same_state(loaded.state(), stream.state()) ? "same bits" : "DIFFERENT");
    std::fflush(stdout);
  }

  /// Many streams take turns; some of them are compared with reading alone.
  void many_streams() {
    const Index length = 3 * o_.model.segment + 5;
    std::deque<mat::Stream<Model>> streams;
    for (Index i = 0; i < o_.streams; ++i) streams.emplace_back(model_, mat::StreamConfig{o_.model.segment});
    for (Index end = 0; end < length;) {
      end = std::min(length, end + o_.model.segment / 2 + 1);
      for (Index i = 0; i < o_.streams; ++i) {
        read(streams[static_cast<std::size_t>(i)], 100 + static_cast<std::uint64_t>(i), end);
      }
    }
    bool same = true;
    for (Index i = 0; i < o_.streams; i += std::max<Index>(1, o_.streams / 100)) {
      mat::Stream<Model> alone(model_, {o_.model.segment});
      read(alone, 100 + static_cast<std::uint64_t>(i), length);
      same = same && mat::same_state(alone.state(), streams[static_cast<std::size_t>(i)].state());
    }
    std::printf(" %s |\n", same ? "no leak" : "LEAK");
  }

 private:
  const Model& model_;
  const Options& o_;
  mat::Stream<Model>::Cache cache_;
  mat::Vector<Index> ids_;
  mat::ConstMatrixView<float> last_;
};

void run(Options& o) {
  std::printf(
      "| memory | state bytes | us a token, 2nd tenth | last tenth | change | resident bytes grown | saved and "
      "loaded | %lld streams |\n|---|---|---|---|---|---|---|---|\n",
      static_cast<long long>(o.streams));
  for (const std::string& name : o.memories) {
    o.model.memory = mat::memory_kind_from_name(name);
    const Model model = mat::make_language_model<float>(o.model, mat::Random(1));
    Measurement measurement(model, o);
    measurement.long_stream(name.c_str());
    measurement.many_streams();
  }
}

}  // namespace

int main(int argc, char** argv) {
  Options o;
  o.model.vocabulary = 64;
  o.model.dim = 64;
  o.model.hidden = 128;
  o.model.layers = 1;
  for (const mat::MemoryKind kind : mat::kMemoryKinds) o.memories.emplace_back(mat::name_of(kind));
  CLI::App app("A million tokens through every memory");
  app.option_defaults()->always_capture_default();
  app.add_option("--tokens", o.tokens, "Tokens of the long stream")->check(CLI::Range(Index{10}, Index{1} << 40));
  app.add_option("--streams", o.streams, "Interleaved streams")->check(CLI::Range(Index{1}, Index{1} << 30));
  app.add_option("--push", o.push, "Tokens of a push")->check(CLI::Range(Index{1}, Index{1} << 20));
  app.add_option("--memory", o.memories, "Which memories");
  app.add_option("--dim", o.model.dim, "Features of the model")->check(CLI::Range(Index{8}, Index{4096}));
  app.add_option("--segment", o.model.segment, "Tokens of a segment")->check(CLI::Range(Index{1}, Index{1} << 20));
  CLI11_PARSE(app, argc, argv);
  mat::set_threads(1);
  try {
    run(o);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "mat-long-stream: %s\n", error.what());
    return 1;
  }
  return 0;
}
