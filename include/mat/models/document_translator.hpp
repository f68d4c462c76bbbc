#pragma once

#include <mat/memory/recurrent_encoder.hpp>
#include <mat/models/translator.hpp>

namespace mat {
inline namespace MAT_ABI {

/// A Translator that remembers the sentences of a document that it has read: between its embedding and its encoder
/// stands an encoder with a memory, which reads one sentence after the other.
///
///     x' = context(x of the sentence, memory),   logits = translator(x', translation so far)
///
/// What a sentence means may depend on one before it: which word "it" stands for, say. With NoMemory a sentence is
/// translated alone, by a Translator with the layers of both encoders.
///
/// Recurrence runs it over a batch of documents, a sentence of each at a time.
///
/// Source:  Voita et al. (2018), "Context-aware neural machine translation learns anaphora resolution", for the task;
///          the memories have their own.
/// Shapes:  source [source tokens]; target [target tokens]; logits [target tokens, target_vocabulary].
/// Errors:  ValueError for sizes that do not fit or an id outside of its vocabulary; ShapeError if dlogits or a state
///          does not fit.
/// Threads: const; one model serves any number of threads, each with states and caches of its own.
template <class T, class Memory>
class DocumentTranslator {
 public:
  using Context = RecurrentEncoder<T, Memory>;

  struct Config {
    typename Translator<T>::Config translator;
    Index num_context_layers = 1;  ///< Layers with a memory, in front of the translator's own.
    typename Memory::Config memory;
  };

  struct Parameters {
    Context context;
    Translator<T> translator;

    template <class Visitor, class... P>
    static void visit(Visitor&& visitor, P&... p) {
      visit_layer("context", visitor, p.context...);
      visit_layer("translator", visitor, p.translator...);
    }
  };

  using State = typename Context::State;
  using Output = ConstMatrixView<T>;

  /// The next sentence of each document, if it has one, and what is known of its translation. The ids stay with the
  /// caller and must live until backward.
  struct Segment {
    ConstVectorView<Index> source;         ///< [source tokens]
    const Sequences* sequences = nullptr;  ///< Of source.
    ConstVectorView<Index> target;         ///< [target tokens]: what the decoder reads, a token that begins it first.
    const Sequences* target_sequences = nullptr;
  };

  struct Cache {
    typename Context::Cache context;
    typename Translator<T>::Cache translator;
  };

  DocumentTranslator(const Config& config, const Random& random)
      : config_(config),
        parameters_{Context(context_config(config), random.split(1)),
                    Translator<T>(config.translator, random.split(0))} {}

  [[nodiscard]] const Config& config() const { return config_; }
  [[nodiscard]] const Parameters& parameters() const { return parameters_; }
  [[nodiscard]] Parameters& parameters() { return parameters_; }

  /// What is known of a batch of documents before their first sentence.
  void initial(Index batch, State& state) const { parameters_.context.initial(batch, state); }
  void initial_backward(const State& dstate, Parameters& grads) const {
    parameters_.context.initial_backward(dstate, grads.context.parameters());
  }

  /// Scores of the token that follows each token of the targets; `next` receives what is remembered after these
  /// sentences, and may be null.
  ConstMatrixView<T> forward(const Segment& segment, const State& state, State* next, const Dropout& dropout,
                             Cache& cache) const {
    check_sequences("DocumentTranslator::forward: source", segment.source.size(), segment.sequences);
    check_sequences("DocumentTranslator::forward: target", segment.target.size(), segment.target_sequences);
    const typename Translator<T>::Batch batch = batch_of(segment);
    const auto x = parameters_.translator.embed_source(batch, dropout.split(0), cache.translator);
    const auto read = parameters_.context.forward({x, segment.sequences}, state, next, dropout.split(1), cache.context);
    return parameters_.translator.forward_embedded(read, batch, dropout.split(0), cache.translator);
  }

  /// Ids have no gradient: nothing is returned. Adds to `dstate` and `grads`; `dnext` may be null.
  void backward(ConstMatrixView<T> dlogits, const State* dnext, const State& state, Cache& cache, State& dstate,
                Parameters& grads) const {
    auto& of_translator = grads.translator.parameters();
    const auto dread = parameters_.translator.backward_embedded(dlogits, cache.translator, of_translator);
    const auto dx =
        parameters_.context.backward(dread, dnext, state, cache.context, dstate, grads.context.parameters());
    parameters_.translator.embed_source_backward(dx, cache.translator, of_translator);
  }

 private:
  [[nodiscard]] static typename Context::Config context_config(const Config& config) {
    typename Context::Config context;
    context.encoder.layer = config.translator.layer;
    context.encoder.num_layers = config.num_context_layers;
    context.memory = config.memory;
    return context;
  }
  [[nodiscard]] static typename Translator<T>::Batch batch_of(const Segment& segment) {
    return {segment.source, segment.target, segment.sequences, segment.target_sequences};
  }

  Config config_;
  Parameters parameters_;
};

}  // namespace MAT_ABI
}  // namespace mat
