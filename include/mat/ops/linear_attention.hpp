#pragma once

#include <mat/core/parallel.hpp>
#include <mat/core/sequences.hpp>
#include <mat/core/simd.hpp>
#include <mat/core/tensor.hpp>

#include <algorithm>

namespace mat {
inline namespace MAT_ABI {

/// What a token writes to the state under its key.
enum class LinearAttentionRule {
  additive,  ///< Its value, beside what is there.
  delta,     ///< What its value has beyond that which its key reads: a key that comes again overwrites.
};

/// How linear attention is computed. See linear_attention_forward.
template <class T>
struct LinearAttentionOptions {
  Index heads = 1;
  Index kv_heads = 0;  ///< Key/value heads, each with a state; a divisor of heads; 0 is as many as heads.
  LinearAttentionRule rule = LinearAttentionRule::delta;
  T scale = 1;  ///< Of the queries.
};

/// What linear attention reads.
template <class T>
struct LinearAttentionInputs {
  ConstMatrixView<T> q, k, v;
  ConstMatrixView<T> decay;  ///< What is kept of the state: a factor for each head, or for each key feature; or empty.
  ConstMatrixView<T> beta;   ///< How much of the value is written; or empty, which is 1.
  const Sequences& sequences;
};

/// What linear_attention_backward adds to. Those of decay and beta are empty where the inputs are.
template <class T>
struct LinearAttentionGradients {
  MatrixView<T> dq, dk, dv, ddecay, dbeta;
};

/// What one linear_attention_forward leaves for its backward, and memory to work in.
template <class T>
struct LinearAttentionCache {
  Matrix<T> y;          // [tokens, heads * value_dim]
  Matrix<T> starts;     // the states before every chunk: [chunks * kv_heads * key_dim, value_dim]
  Matrix<T> workspace;  // [threads, numbers of one thread]
};

namespace detail {

/// The checked sizes of one linear attention; S, a state, is [key_dim, value_dim].
template <class T>
class LinearAttention {
 public:
  /// Tokens between kept states: the backward computes those between again, from the one before.
  static constexpr Index kChunk = 32;

  LinearAttention(std::string_view what, const LinearAttentionOptions<T>& options, const LinearAttentionInputs<T>& in)
      : o_(options), in_(in), kv_heads_(options.kv_heads == 0 ? options.heads : options.kv_heads) {
    check_value(o_.heads >= 1, {what, "heads"}, o_.heads, "at least 1");
    check_value(kv_heads_ >= 1 && o_.heads % kv_heads_ == 0, {what, "kv_heads"}, kv_heads_, "a divisor of heads, ",
                o_.heads);
    check_value(in.q.cols() % o_.heads == 0, {what, "q's columns"}, in.q.cols(), "a multiple of ", o_.heads);
    check_value(in.v.cols() % kv_heads_ == 0, {what, "v's columns"}, in.v.cols(), "a multiple of ", kv_heads_);
    group_ = o_.heads / kv_heads_;
    dk_ = in.q.cols() / o_.heads;
    dv_ = in.v.cols() / kv_heads_;
    check_sequences({what, "q"}, in.q.rows(), in.sequences);
    check_shape({what, "k"}, in.k, {in.q.rows(), kv_heads_ * dk_});
    check_shape({what, "v"}, in.v, {in.q.rows(), in.v.cols()});
    if (!in.beta.empty()) check_shape({what, "beta"}, in.beta, {in.q.rows(), kv_heads_});
    if (!in.decay.empty()) {
      check_shape({what, "decay"}, in.decay, {in.q.rows(), in.decay.cols() == kv_heads_ ? kv_heads_ : kv_heads_ * dk_});
    }
  }

  [[nodiscard]] Shape<2> state_shape() const { return {in_.sequences.count() * kv_heads_ * dk_, dv_}; }
  [[nodiscard]] Shape<2> output_shape() const { return {in_.q.rows(), o_.heads * dv_}; }

  void forward(MatrixView<T> state, LinearAttentionCache<T>& cache) const {
    cache.starts.resize({chunks() * kv_heads_ * dk_, dv_});
    cache.workspace.resize({max_threads(), dv_});
    for_each_state([&](Index b, Index h, Index first_chunk, Index thread) {
      const MatrixView<T> s = state.middle_rows((b * kv_heads_ + h) * dk_, dk_);
      for (Index i = 0; i < in_.sequences.length(b); ++i) {
        if (i % kChunk == 0) copy(s, start(cache, first_chunk + i / kChunk, h));
        const Index t = in_.sequences.begin(b) + i;
        step(t, h, s, cache.workspace.view().row(thread));
        for (Index g = 0; g < group_; ++g) read(t, h * group_ + g, s, cache.y.view().row(t));
      }
    });
  }

  /// `dstate` holds the gradient of the last state and receives that of the first.
  void backward(ConstMatrixView<T> dy, LinearAttentionCache<T>& cache, const LinearAttentionGradients<T>& grads,
                MatrixView<T> dstate) const {
    // The states of a chunk before and after each of its tokens, an error and its gradient.
    cache.workspace.resize({max_threads(), (kChunk + 1) * dk_ * dv_ + 2 * dv_});
    for_each_state([&](Index b, Index h, Index first_chunk, Index thread) {
      T* states = cache.workspace.view().row(thread);
      T* error = states + (kChunk + 1) * dk_ * dv_;
      const MatrixView<T> g = dstate.middle_rows((b * kv_heads_ + h) * dk_, dk_);
      const Index length = in_.sequences.length(b);
      for (Index chunk = (length + kChunk - 1) / kChunk; chunk-- > 0;) {
        const Index first = chunk * kChunk, count = std::min(kChunk, length - first);
        copy(start(cache, first_chunk + chunk, h), state_at(states, 0));
        for (Index i = 0; i < count; ++i) {
          copy(state_at(states, i), state_at(states, i + 1));
          step(in_.sequences.begin(b) + first + i, h, state_at(states, i + 1), error);
        }
        for (Index i = count; i-- > 0;) {
          const Index t = in_.sequences.begin(b) + first + i;
          read_backward(t, h, state_at(states, i + 1), dy, grads, g);
          step_backward(t, h, state_at(states, i), grads, g, error);
        }
      }
    });
  }

 private:
  [[nodiscard]] Index chunks() const {
    Index chunks = 0;
    for (Index b = 0; b < in_.sequences.count(); ++b) chunks += (in_.sequences.length(b) + kChunk - 1) / kChunk;
    return chunks;
  }
  /// Calls fn(sequence, key/value head, the sequence's first chunk among all, thread).
  template <class Function>
  void for_each_state(const Function& fn) const {
    const Index work = 4 * in_.q.rows() * o_.heads * dk_ * dv_;
    parallel_for(in_.sequences.count() * kv_heads_, work, [&](Index item, Index thread) {
      const Index b = item / kv_heads_;
      Index first_chunk = 0;
      for (Index a = 0; a < b; ++a) first_chunk += (in_.sequences.length(a) + kChunk - 1) / kChunk;
      fn(b, item % kv_heads_, first_chunk, thread);
    });
  }
  [[nodiscard]] MatrixView<T> start(LinearAttentionCache<T>& cache, Index chunk, Index h) const {
    return cache.starts.view().middle_rows((chunk * kv_heads_ + h) * dk_, dk_);
  }
  [[nodiscard]] MatrixView<T> state_at(T* states, Index i) const { return {states + i * dk_ * dv_, {dk_, dv_}}; }
  static void copy(ConstMatrixView<T> from, MatrixView<T> to) {
    for (Index i = 0; i < from.rows(); ++i) std::copy_n(from.row(i), from.cols(), to.row(i));
  }

  [[nodiscard]] T decay(Index t, Index h, Index i) const {
    if (in_.decay.empty()) return T(1);
    return in_.decay(t, in_.decay.cols() == kv_heads_ ? h : h * dk_ + i);
  }
  [[nodiscard]] T beta(Index t, Index h) const { return in_.beta.empty() ? T(1) : in_.beta(t, h); }

  /// error = v - k S, or v.
  void compute_error(Index t, Index h, ConstMatrixView<T> s, T* error) const {
    std::copy_n(in_.v.row(t) + h * dv_, dv_, error);
    if (o_.rule == LinearAttentionRule::additive) return;
    const T* k = in_.k.row(t) + h * dk_;
    for (Index i = 0; i < dk_; ++i) simd::add_scaled(dv_, error, -k[i], s.row(i));
  }
  /// S = decay S + k^T beta error.
  void step(Index t, Index h, MatrixView<T> s, T* error) const {
    if (!in_.decay.empty()) {
      for (Index i = 0; i < dk_; ++i) simd::set_scaled(dv_, s.row(i), decay(t, h, i), s.row(i));
    }
    compute_error(t, h, s, error);
    const T* k = in_.k.row(t) + h * dk_;
    for (Index i = 0; i < dk_; ++i) simd::add_scaled(dv_, s.row(i), beta(t, h) * k[i], static_cast<const T*>(error));
  }
  /// y = scale q S, for one query head.
  void read(Index t, Index head, ConstMatrixView<T> s, T* y_row) const {
    T* y = y_row + head * dv_;
    const T* q = in_.q.row(t) + head * dk_;
    std::fill_n(y, dv_, T(0));
    for (Index i = 0; i < dk_; ++i) simd::add_scaled(dv_, y, o_.scale * q[i], s.row(i));
  }

  /// g += scale q^T dy,   dq += scale dy S^T
  void read_backward(Index t, Index h, ConstMatrixView<T> s, ConstMatrixView<T> dy,
                     const LinearAttentionGradients<T>& grads, MatrixView<T> g) const {
    for (Index head = h * group_; head < (h + 1) * group_; ++head) {
      const T* d = dy.row(t) + head * dv_;
      const T* q = in_.q.row(t) + head * dk_;
      T* dq = grads.dq.row(t) + head * dk_;
      for (Index i = 0; i < dk_; ++i) {
        simd::add_scaled(dv_, g.row(i), o_.scale * q[i], d);
        dq[i] += o_.scale * simd::dot(dv_, d, s.row(i));
      }
    }
  }

  /// g, the gradient of the state after the token, becomes that of the state `before` it. With P = decay before:
  ///
  ///     u = k g,  dbeta += <u, e>,  de = beta u,  dv += de,  dk += beta e g^T - de P^T,  g -= k^T de,
  ///     ddecay += <g, before>,  g = decay g                      (additive: without P and k^T de)
  void step_backward(Index t, Index h, ConstMatrixView<T> before, const LinearAttentionGradients<T>& grads,
                     MatrixView<T> g, T* error) const {
    const bool delta = o_.rule == LinearAttentionRule::delta;
    const T* k = in_.k.row(t) + h * dk_;
    T* dk = grads.dk.row(t) + h * dk_;
    T* derror = error + dv_;
    const T b = beta(t, h);
    std::copy_n(in_.v.row(t) + h * dv_, dv_, error);
    std::fill_n(derror, dv_, T(0));
    for (Index i = 0; i < dk_; ++i) {
      if (delta) simd::add_scaled(dv_, error, -k[i] * decay(t, h, i), before.row(i));
      simd::add_scaled(dv_, derror, k[i], static_cast<const T*>(g.row(i)));  // u
    }
    if (!in_.beta.empty()) grads.dbeta(t, h) += simd::dot(dv_, derror, error);
    simd::set_scaled(dv_, derror, b, derror);
    simd::add_scaled(dv_, grads.dv.row(t) + h * dv_, T(1), static_cast<const T*>(derror));
    for (Index i = 0; i < dk_; ++i) {
      const T kept = decay(t, h, i);
      dk[i] += b * simd::dot(dv_, error, g.row(i));
      if (delta) {
        dk[i] -= kept * simd::dot(dv_, derror, before.row(i));
        simd::add_scaled(dv_, g.row(i), -k[i], static_cast<const T*>(derror));
      }
      if (in_.decay.empty()) continue;
      grads.ddecay(t, in_.decay.cols() == kv_heads_ ? h : h * dk_ + i) += simd::dot(dv_, g.row(i), before.row(i));
      simd::set_scaled(dv_, g.row(i), kept, g.row(i));
    }
  }

  const LinearAttentionOptions<T>& o_;
  const LinearAttentionInputs<T>& in_;
  Index kv_heads_, group_ = 1;  // group: query heads that read one state
  Index dk_ = 0, dv_ = 0;
};

}  // namespace detail

/// Attention whose memory is one matrix for each sequence and head, however long the sequence is.
///
///     P = decay_t S,   e = v_t - k_t P (delta) or v_t (additive),   S = P + k_t^T beta_t e,   y_t = scale q_t S
///
/// With keys of length 1 and beta in (0, 1) the delta rule is stable; other keys are the caller's risk. `state` holds S
/// before the first token of each sequence and then S after its last, so a sequence may be read in any pieces, with the
/// bits of reading it at once.
///
/// Source:  Katharopoulos et al. (2020), "Transformers are RNNs", eq. 16-20 (additive); Schlag, Irie & Schmidhuber
///          (2021), "Linear transformers are secretly fast weight programmers", eq. 24 (delta); Yang, Kautz &
///          Hatamizadeh (2024), "Gated delta networks", eq. 10; ONNX LinearAttention (27), whose decay is the logarithm
///          of ours.
/// Shapes:  q [tokens, heads * key_dim]; k [tokens, kv_heads * key_dim]; v [tokens, kv_heads * value_dim]; decay
///          [tokens, kv_heads] or [tokens, kv_heads * key_dim]; beta [tokens, kv_heads]; state
///          [sequences * kv_heads * key_dim, value_dim]; y [tokens, heads * value_dim].
/// Returns: y, living in the cache until the next forward with it.
/// Errors:  ShapeError or ValueError if sizes, heads or sequences do not fit.
/// Threads: uses parallel_for; the bits of a sequence's results depend on the sequence alone.
template <class T>
ConstMatrixView<T> linear_attention_forward(const LinearAttentionOptions<T>& options,
                                            const LinearAttentionInputs<T>& inputs, MatrixView<T> state,
                                            LinearAttentionCache<T>& cache) {
  const detail::LinearAttention<T> attention("linear_attention_forward", options, inputs);
  check_shape("linear_attention_forward: state", state, attention.state_shape());
  cache.y.resize(attention.output_shape());
  cache.y.fill(T(0));  // rows between sequences
  attention.forward(state, cache);
  return cache.y;
}

/// Adds the gradients of linear_attention_forward to `grads`; `dstate`, the gradient of the last state, becomes that of
/// the first. States between are computed again from one that is kept every 32 tokens.
///
/// `options` and `inputs` must be those of the forward whose cache this is. Shapes, source, errors and threads as
/// there.
template <class T>
void linear_attention_backward(ConstMatrixView<T> dy, const LinearAttentionOptions<T>& options,
                               const LinearAttentionInputs<T>& inputs, LinearAttentionCache<T>& cache,
                               const LinearAttentionGradients<T>& grads, MatrixView<T> dstate) {
  const detail::LinearAttention<T> attention("linear_attention_backward", options, inputs);
  check_shape("linear_attention_backward: dy", dy, cache.y.shape());
  check_shape("linear_attention_backward: dq", grads.dq, inputs.q.shape());
  check_shape("linear_attention_backward: dk", grads.dk, inputs.k.shape());
  check_shape("linear_attention_backward: dv", grads.dv, inputs.v.shape());
  check_shape("linear_attention_backward: ddecay", grads.ddecay, inputs.decay.shape());
  check_shape("linear_attention_backward: dbeta", grads.dbeta, inputs.beta.shape());
  check_shape("linear_attention_backward: dstate", dstate, attention.state_shape());
  attention.backward(dy, cache, grads, dstate);
}

}  // namespace MAT_ABI
}  // namespace mat
