#pragma once

#include <mat/blocks/transformer_encoder.hpp>
#include <mat/memory/neural_memory.hpp>
#include <mat/memory/self_attention.hpp>
#include <mat/memory/stream_pool.hpp>
#include <mat/models/mat.hpp>

namespace mat {
inline namespace MAT_ABI {

/// The article's model with a memory that remembers: its MemoryLayer is what each stream writes to.
///
///     H = transformer_encoder(x),   M = f_theta(H),   theta' = write(theta, H)
///     alpha = softmax over the segment's tokens(score(H)),   y = alpha M
///     pooled = sum over the tokens of all segments so far of softmax(score) M
///
/// A document of any length is read segment by segment. With memory.write_rate_max 0 theta stays theta_0, and y is
/// MAT's, bit for bit; with it, M of a later segment is not what it was.
///
/// Source:  the article's MAT, with its names: memory_layer.fc1, self_attention.fc1, ...
/// Shapes:  x, y [tokens, input_dim]; pooled [sequences, input_dim].
/// Errors:  ValueError for sizes that do not fit; ShapeError if x, dy or a state does not.
/// Threads: const; one model serves any number of threads, each with states and a cache of its own.
template <class T>
class NeuralMAT {
 public:
  struct Config {
    typename MAT<T>::Config mat;
    /// Its features, key_dim and hidden are mat's input_dim and hidden_dim; queries are the rows of H themselves.
    typename NeuralMemory<T>::Config memory;
    double pool_decay = 1;  ///< As StreamPool's decay.
  };

  struct Parameters {
    TransformerEncoder<T> transformer_encoder;
    NeuralMemory<T> memory_layer;
    SelfAttention<T> self_attention;

    template <class Visitor, class... P>
    static void visit(Visitor&& visitor, P&... p) {
      visit_layer("transformer_encoder", visitor, p.transformer_encoder...);
      visit_layer("memory_layer", visitor, p.memory_layer...);
      visit_layer("self_attention", visitor, p.self_attention...);
    }
  };

  struct State {
    typename NeuralMemory<T>::State memory;
    typename StreamPool<T>::State pool;

    template <class Visitor, class... S>
    static void visit(Visitor&& visitor, S&... s) {
      detail::visit_with_prefix("memory", visitor, s.memory...);
      detail::visit_with_prefix("pool", visitor, s.pool...);
    }
  };

  struct Cache {
    typename TransformerEncoder<T>::Cache transformer_encoder;
    typename NeuralMemory<T>::ReadCache read;
    typename NeuralMemory<T>::WriteCache write;
    typename SelfAttention<T>::Cache self_attention;
    typename StreamPool<T>::WriteCache pool_write;
    typename StreamPool<T>::ReadCache pool_read;
    typename StreamPool<T>::State dpool;
    Matrix<T> zeros, dmemory, dencoded;  // [tokens, input_dim]
  };

  /// The gradients of what a segment gave; an empty one is 0.
  struct OutputGradients {
    ConstMatrixView<T> dy;       // [tokens, input_dim]
    ConstMatrixView<T> dpooled;  // [sequences, input_dim]
  };

  NeuralMAT(const Config& config, const Random& random)
      : config_(config),
        parameters_{TransformerEncoder<T>(config.mat.encoder_config(), random.split(0)),
                    NeuralMemory<T>(memory_config(config), random.split(1)),
                    SelfAttention<T>({config.mat.input_dim, config.mat.hidden_dim}, random.split(2))},
        pool_({config.mat.input_dim, config.pool_decay}) {}

  [[nodiscard]] const Config& config() const { return config_; }
  [[nodiscard]] const Parameters& parameters() const { return parameters_; }
  [[nodiscard]] Parameters& parameters() { return parameters_; }

  /// What a batch of streams remembers before its first segment.
  void initial(Index batch, State& state) const {
    parameters_.memory_layer.initial(batch, state.memory);
    pool_.initial(batch, state.pool);
  }
  void initial_backward(const State& dstate, Parameters& grads) const {
    parameters_.memory_layer.initial_backward(dstate.memory, grads.memory_layer.parameters());
  }

  /// The weighted memory of every token of a segment; `next` receives what is remembered after it.
  ConstMatrixView<T> forward(ConstMatrixView<T> x, const Sequences& sequences, const State& state, State& next,
                             const AttentionCall<T>& call, Cache& cache) const {
    return remember(parameters_.transformer_encoder.forward(x, sequences, call, cache.transformer_encoder), sequences,
                    state, next, cache);
  }
  /// The same numbers as forward, without what the encoder's backward needs.
  ConstMatrixView<T> infer(ConstMatrixView<T> x, const Sequences& sequences, const State& state, State& next,
                           Cache& cache) const {
    return remember(parameters_.transformer_encoder.infer(x, sequences, {}, cache.transformer_encoder), sequences,
                    state, next, cache);
  }
  /// One vector for each stream: the attention pooling of everything up to this state.
  ConstMatrixView<T> pooled(const State& state, Cache& cache) const { return pool_.read(state.pool, cache.pool_read); }

  /// The gradient of x. Adds to `dstate` and `grads`. `dnext` is the gradient of what the segment left behind, `state`
  /// and `next` are those of the forward, and d.dpooled is that of pooled(next).
  ConstMatrixView<T> backward(const OutputGradients& d, const State& dnext, const State& state, const State& next,
                              Cache& cache, State& dstate, Parameters& grads) const {
    const Parameters& p = parameters_;
    cache.dpool = dnext.pool;
    if (!d.dpooled.empty()) pool_.read_backward(d.dpooled, next.pool, cache.dpool);
    const auto pool = pool_.write_backward(cache.dpool, cache.pool_write, dstate.pool);
    const auto attention = p.self_attention.backward(gradient_of_rows(d.dy, cache), cache.self_attention,
                                                     grads.self_attention.parameters(), pool.dscores);
    auto& memory_grads = grads.memory_layer.parameters();
    sum<T>(attention.dmemory, pool.dmemory, cache.dmemory);
    const auto dread =
        p.memory_layer.read_backward(cache.dmemory, state.memory, cache.read, dstate.memory, memory_grads);
    const auto dwrite =
        p.memory_layer.write_backward(dnext.memory, state.memory, cache.write, dstate.memory, memory_grads);
    sum<T>(attention.dx, dread, cache.dencoded);
    add<T>(cache.dencoded, dwrite, cache.dencoded);
    return p.transformer_encoder.backward(cache.dencoded, cache.transformer_encoder,
                                          grads.transformer_encoder.parameters());
  }

 private:
  [[nodiscard]] static typename NeuralMemory<T>::Config memory_config(const Config& config) {
    typename NeuralMemory<T>::Config memory = config.memory;
    memory.features = memory.key_dim = config.mat.input_dim;
    memory.hidden = config.mat.hidden_dim;
    memory.query = NeuralQuery::identity;
    memory.output_projection = false;
    return memory;
  }
  [[nodiscard]] ConstMatrixView<T> remember(ConstMatrixView<T> encoded, const Sequences& sequences, const State& state,
                                            State& next, Cache& cache) const {
    const Parameters& p = parameters_;
    const auto memory = p.memory_layer.read(state.memory, encoded, sequences, cache.read);
    const auto y = p.self_attention.forward(encoded, memory, sequences, cache.self_attention);
    pool_.write(state.pool, SelfAttention<T>::scores_of(cache.self_attention), memory, sequences, next.pool,
                cache.pool_write);
    p.memory_layer.write(state.memory, encoded, sequences, next.memory, cache.write);
    return y;
  }
  [[nodiscard]] ConstMatrixView<T> gradient_of_rows(ConstMatrixView<T> dy, Cache& cache) const {
    if (!dy.empty() || cache.self_attention.y.empty()) return dy;
    cache.zeros.resize(cache.self_attention.y.shape());
    cache.zeros.fill(T(0));
    return cache.zeros;
  }

  Config config_;
  Parameters parameters_;
  StreamPool<T> pool_;
};

}  // namespace MAT_ABI
}  // namespace mat
