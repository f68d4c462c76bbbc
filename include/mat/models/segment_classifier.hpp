#pragma once

#include <mat/memory/recurrent_encoder.hpp>
#include <mat/memory/stream_pool.hpp>
#include <mat/models/document_segments.hpp>
#include <mat/models/text_classifier.hpp>

namespace mat {
inline namespace MAT_ABI {

/// A TextClassifier that reads a text of any length segment by segment: its encoder has a memory between segments, the
/// article's attention pools over all segments as an exact stream, and the convolution keeps its largest answers.
///
///     H = encoder(e of the segment, memory)      e, words: the tokens of the segment, as ClassifierInput makes them
///     p = pool(H, past)                          over all tokens so far
///     q = max(past, convolution(words))          a filter sees the tokens of one segment
///     logits = classifier([p q])                 of what has been read so far
///
/// After the first segment of a text that has no other, and without a memory, the logits are those of a TextClassifier
/// of kind mat but for rounding. A sequence without tokens in a segment keeps its state, and so its logits.
///
/// Source:  the article's MAT as a classifier; see StreamPool, MaxConvolution and the memories.
/// Shapes:  logits [texts, classes]; q in the state [texts, filters].
/// Errors:  ValueError for sizes, ids or rates that do not fit; ShapeError if dlogits or a state does not.
/// Threads: const; one model serves any number of threads, each with states and caches of its own.
template <class T, class Memory>
class SegmentClassifier {
 public:
  using Scalar = T;
  using Encoder = RecurrentEncoder<T, Memory>;

  struct Config {
    typename TextClassifier<T>::Config text;  ///< Of kind mat.
    typename Memory::Config memory;           ///< Its `features` are text.dim.
    DocumentSegments::Config segments;        ///< How whole texts are read: see ClassifierRun and SegmentReader.
  };

  struct Parameters {
    ClassifierInput<T> embedding;
    Encoder encoder;
    MemoryLayer<T> memory_layer;
    SelfAttention<T> self_attention;
    std::optional<MaxConvolution<T>> convolution;  // with filters
    ClassifierHead<T> classifier;

    template <class Visitor, class... P>
    static void visit(Visitor&& visitor, P&... p) {
      visit_layer("embedding", visitor, p.embedding...);
      visit_layer("encoder", visitor, p.encoder...);
      visit_layer("memory_layer", visitor, p.memory_layer...);
      visit_layer("self_attention", visitor, p.self_attention...);
      visit_optional_layer("convolution", visitor, p.convolution...);
      visit_layer("classifier", visitor, p.classifier...);
    }
  };

  /// All that is kept of the segments before.
  struct State {
    typename Encoder::State encoder;
    typename StreamPool<T>::State pool;
    Matrix<T> found;  // the largest answers so far: [texts, filters]

    template <class Visitor, class... S>
    static void visit(Visitor&& visitor, S&... s) {
      Encoder::State::visit(visitor, s.encoder...);
      StreamPool<T>::State::visit(visitor, s.pool...);
      visit_tensor("found", visitor, s.found...);
    }
  };

  using Output = ConstMatrixView<T>;

  /// The tokens of a segment: text b of the batch goes on with its tokens, if it has any.
  struct Segment {
    const TokenBatch* tokens = nullptr;
    const Sequences* sequences = nullptr;  // of tokens->lengths
  };

  /// What the forward of one segment leaves for its backward; the states must live until then.
  struct Cache {
    typename ClassifierInput<T>::Cache embedding;
    typename Encoder::Cache encoder;
    typename MemoryLayer<T>::Cache memory_layer;
    typename SelfAttention<T>::Cache self_attention;
    typename StreamPool<T>::WriteCache pool;
    typename StreamPool<T>::ReadCache pooled;
    typename MaxConvolution<T>::Cache convolution;
    typename ClassifierHead<T>::Cache classifier;
    const State* after = nullptr;  // what was written,
    State written;                 // here if the caller did not ask for it
    State dafter;                  // the gradient of the pool and the answers after the segment
    Matrix<T> dh;                  // [tokens, dim]
    Matrix<T> dfound;              // of what the convolution answered: [texts, filters]
  };

  SegmentClassifier(const Config& config, const Random& random)
      : config_(checked(config)),
        pool_({config.text.dim, 1}),
        parameters_{ClassifierInput<T>(input_config(config), random.split(0)),
                    Encoder(encoder_config(config), random.split(1)),
                    MemoryLayer<T>({config.text.dim, config.text.hidden}, random.split(4)),
                    SelfAttention<T>({config.text.dim, config.text.hidden}, random.split(5)),
                    std::nullopt,
                    ClassifierHead<T>({config.text.dim, config.text.filters, config.text.classes}, random.split(2))} {
    if (config.text.filters > 0) {
      parameters_.convolution.emplace(config.text.convolution_config(), random.split(3));
    }
  }

  [[nodiscard]] const Config& config() const { return config_; }
  [[nodiscard]] const Parameters& parameters() const { return parameters_; }
  [[nodiscard]] Parameters& parameters() { return parameters_; }
  [[nodiscard]] Index classes() const { return config_.text.classes; }
  [[nodiscard]] const StreamPool<T>& pool() const { return pool_; }

  /// What is known of a batch of texts before their first segment.
  void initial(Index batch, State& state) const {
    parameters_.encoder.initial(batch, state.encoder);
    pool_.initial(batch, state.pool);
    state.found.resize({batch, config_.text.filters});
    state.found.fill(T(0));
  }
  void initial_backward(const State& dstate, Parameters& grads) const {
    parameters_.encoder.initial_backward(dstate.encoder, grads.encoder.parameters());
  }

  /// The logits after one more segment; `next` receives what is kept of it, and may be null.
  ConstMatrixView<T> forward(const Segment& segment, const State& state, State* next, const ClassifierDropout& dropout,
                             Cache& cache) const {
    const Parameters& p = parameters_;
    check_sequences("SegmentClassifier::forward: a segment", segment.tokens->tokens(), segment.sequences);
    const Sequences& sequences = *segment.sequences;
    check_shape("SegmentClassifier::forward: the state's found", state.found,
                {sequences.count(), config_.text.filters});
    const auto input = p.embedding.forward(*segment.tokens, sequences, dropout, cache.embedding);
    const auto h = p.encoder.forward({input.x, &sequences}, state.encoder, next == nullptr ? nullptr : &next->encoder,
                                     {dropout.encoder, dropout.random.split(3)}, cache.encoder);
    State& after = next == nullptr ? cache.written : *next;
    cache.after = &after;
    const auto memory = p.memory_layer.forward(h, cache.memory_layer);
    const auto scores = p.self_attention.scores_forward(h, cache.self_attention);
    pool_.write(state.pool, scores, memory, sequences, after.pool, cache.pool);
    after.found.resize(state.found.shape());
    if (p.convolution) {
      const auto found = p.convolution->forward(input.words, sequences, cache.convolution);
      running_max_forward<T>(state.found, found, after.found);
    }
    return p.classifier.forward(pool_.read(after.pool, cache.pooled), after.found, dropout, cache.classifier);
  }

  /// Tokens have no gradient: nothing is returned. Adds to `dstate` and `grads`; `dnext` may be null.
  void backward(ConstMatrixView<T> dlogits, const State* dnext, const State& state, Cache& cache, State& dstate,
                Parameters& grads) const {
    const Parameters& p = parameters_;
    const auto d = p.classifier.backward(dlogits, cache.classifier, grads.classifier.parameters());
    if (dnext == nullptr) {
      zero_state_like(cache.after->pool, cache.dafter.pool);
      cache.dafter.found.assign(d.dfound);
    } else {
      cache.dafter.pool = dnext->pool;
      sum<T>(dnext->found, d.dfound, cache.dafter.found);
    }
    pool_.read_backward(d.dpooled, cache.after->pool, cache.dafter.pool);
    const auto written = pool_.write_backward(cache.dafter.pool, cache.pool, dstate.pool);
    const auto dh = sum<T>(
        p.self_attention.scores_backward(written.dscores, cache.self_attention, grads.self_attention.parameters()),
        p.memory_layer.backward(written.dmemory, cache.memory_layer, grads.memory_layer.parameters()), cache.dh);
    const auto dx = p.encoder.backward(dh, dnext == nullptr ? nullptr : &dnext->encoder, state.encoder, cache.encoder,
                                       dstate.encoder, grads.encoder.parameters());
    ConstMatrixView<T> dwords;
    if (p.convolution) {
      cache.dfound.resize(d.dfound.shape());
      running_max_backward<T>(cache.dafter.found, state.found, cache.convolution.y, dstate.found, cache.dfound);
      dwords = p.convolution->backward(cache.dfound, cache.convolution, grads.convolution->parameters());
    }
    p.embedding.backward(dx, dwords, cache.embedding, grads.embedding.parameters());
  }

 private:
  [[nodiscard]] static const Config& checked(const Config& config) {
    const auto& text = config.text;
    if (text.kind != ClassifierKind::mat) detail::throw_value_error("SegmentClassifier: kind", "vanilla", "mat");
    check_value(text.classes >= 1, "SegmentClassifier: classes", text.classes, "at least 1");
    check_value(text.layers >= 1, "SegmentClassifier: layers", text.layers, "at least 1");
    check_value(text.filters >= 0, "SegmentClassifier: filters", text.filters, "at least 0");
    check_value(config.segments.length >= 1, "SegmentClassifier: segments.length", config.segments.length,
                "at least 1");
    return config;
  }
  /// Earlier tokens have other positions in every segment: a layer that attends to them learns distances itself.
  [[nodiscard]] static bool has_distances(const Config& config) {
    return place_of<Memory>(config.memory) == MemoryPlace::context &&
           config.text.positions == ClassifierPositions::sinusoidal;
  }
  [[nodiscard]] static typename ClassifierInput<T>::Config input_config(const Config& config) {
    auto input = config.text.input_config();
    if (has_distances(config)) input.positions = ClassifierPositions::none;
    return input;
  }
  [[nodiscard]] static typename Encoder::Config encoder_config(const Config& config) {
    typename Encoder::Config encoder;
    encoder.encoder = config.text.mat_config().encoder_config();
    encoder.memory = config.memory;
    if (has_distances(config)) encoder.encoder.layer.attention.rotary.emplace();
    return encoder;
  }

  Config config_;
  StreamPool<T> pool_;
  Parameters parameters_;
};

}  // namespace MAT_ABI
}  // namespace mat
