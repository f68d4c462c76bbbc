#pragma once

#include <mat/core/parallel.hpp>
#include <mat/core/sequences.hpp>
#include <mat/ops/unit_length.hpp>

namespace mat {
inline namespace MAT_ABI {

/// What content_memory_forward reads. The key says which slots, the strength how sharply.
template <class T>
struct ContentMemoryInputs {
  ConstMatrixView<T> key, strength, erase, add;
  const Sequences& sequences;
};

/// What content_memory_backward sets.
template <class T>
struct ContentMemoryGradients {
  MatrixView<T> dkey, dstrength, derase, dadd;
};

/// What one content_memory_forward leaves for its backward, and memory to work in.
template <class T>
struct ContentMemoryCache {
  Matrix<T> y;          // [tokens, features]
  Matrix<T> before;     // the slots before each token: [tokens * slots, features]
  Matrix<T> cosines;    // [tokens, slots]
  Matrix<T> weights;    // [tokens, slots]
  Matrix<T> workspace;  // [threads, slots]
};

namespace detail {

/// The checked sizes of one content-addressed memory; M, its slots, is [slots, features].
template <class T>
class ContentMemory {
 public:
  ContentMemory(std::string_view what, const ContentMemoryInputs<T>& in, Index slot_rows) : in_(in), d_(in.key.cols()) {
    check_sequences({what, "key"}, in.key.rows(), in.sequences);
    check_shape({what, "strength"}, in.strength, {in.key.rows(), 1});
    check_shape({what, "erase"}, in.erase, in.key.shape());
    check_shape({what, "add"}, in.add, in.key.shape());
    const Index count = in.sequences.count();
    check_value(count == 0 ? slot_rows == 0 : slot_rows % count == 0, {what, "slots' rows"}, slot_rows,
                "a multiple of the sequences, ", count);
    slots_ = count == 0 ? 0 : slot_rows / count;
  }
  [[nodiscard]] Index slots() const { return slots_; }
  [[nodiscard]] Index features() const { return d_; }

  void forward(MatrixView<T> all_slots, ContentMemoryCache<T>& cache) const {
    for_each_sequence([&](Index b, Index) {
      const MatrixView<T> m = all_slots.middle_rows(b * slots_, slots_);
      for (Index t = in_.sequences.begin(b); t < in_.sequences.end(b); ++t) {
        const MatrixView<T> before = cache.before.view().middle_rows(t * slots_, slots_);
        for (Index i = 0; i < slots_; ++i) std::copy_n(m.row(i), d_, before.row(i));
        address(t, m, cache.cosines.view().row(t), cache.weights.view().row(t));
        const T* w = cache.weights.view().row(t);
        for (Index i = 0; i < slots_; ++i) {
          simd::add_scaled(d_, cache.y.view().row(t), w[i], before.row(i));
          write(w[i], in_.erase.row(t), in_.add.row(t), m.row(i));
        }
      }
    });
  }

  /// `dslots` holds the gradient of the last slots and receives that of the first.
  void backward(ConstMatrixView<T> dy, ContentMemoryCache<T>& cache, const ContentMemoryGradients<T>& grads,
                MatrixView<T> dslots) const {
    for_each_sequence([&](Index b, Index thread) {
      const MatrixView<T> dm = dslots.middle_rows(b * slots_, slots_);
      for (Index t = in_.sequences.end(b); t-- > in_.sequences.begin(b);) {
        const ConstMatrixView<T> before = cache.before.view().middle_rows(t * slots_, slots_);
        T* dw = cache.workspace.view().row(thread);
        for (T* row : {grads.dkey.row(t), grads.derase.row(t), grads.dadd.row(t)}) std::fill_n(row, d_, T(0));
        for (Index i = 0; i < slots_; ++i) {
          const T w = cache.weights(t, i);
          dw[i] = simd::dot(d_, dy.row(t), before.row(i)) + write_backward(t, w, before.row(i), dm.row(i), grads);
          simd::add_scaled(d_, dm.row(i), w, dy.row(t));
        }
        address_backward(t, before, cache, dw, grads, dm);
      }
    });
  }

 private:
  template <class Function>
  void for_each_sequence(const Function& fn) const {
    parallel_for(in_.sequences.count(), 8 * in_.key.rows() * slots_ * d_,
                 [&](Index b, Index thread) { fn(b, thread); });
  }

  /// c_i = <key, M_i> / (|key| |M_i|), w = softmax(strength c)
  void address(Index t, ConstMatrixView<T> m, T* cosines, T* weights) const {
    const T* key = in_.key.row(t);
    const T inverse = inverse_length(d_, key), strength = in_.strength(t, 0);
    T highest = -std::numeric_limits<T>::infinity(), sum = 0;
    for (Index i = 0; i < slots_; ++i) {
      cosines[i] = simd::dot(d_, key, m.row(i)) * inverse * inverse_length(d_, m.row(i));
      highest = std::max(highest, strength * cosines[i]);
    }
    for (Index i = 0; i < slots_; ++i) {
      weights[i] = std::exp(strength * cosines[i] - highest);
      sum += weights[i];
    }
    for (Index i = 0; i < slots_; ++i) weights[i] /= sum;
  }
  /// Adds to dm and the key's gradient what the weights' gradient says.
  void address_backward(Index t, ConstMatrixView<T> before, const ContentMemoryCache<T>& cache, const T* dw,
                        const ContentMemoryGradients<T>& grads, MatrixView<T> dm) const {
    const T* w = cache.weights.view().row(t);
    const T* key = in_.key.row(t);
    const T mean = simd::dot(slots_, w, dw), inverse = inverse_length(d_, key);
    T dstrength = 0;
    for (Index i = 0; i < slots_; ++i) {
      const T dscore = w[i] * (dw[i] - mean), cosine = cache.cosines(t, i);
      dstrength += dscore * cosine;
      if (d_ == 1) continue;  // the cosine is a sign, which does not turn; rounding would say that it does
      const T dcosine = dscore * in_.strength(t, 0), other = inverse_length(d_, before.row(i));
      // The cosine's gradient by a is (b / |b| - cosine a / |a|) / |a|.
      simd::add_scaled(d_, grads.dkey.row(t), dcosine * inverse * other, before.row(i));
      simd::add_scaled(d_, grads.dkey.row(t), -dcosine * cosine * inverse * inverse, key);
      simd::add_scaled(d_, dm.row(i), dcosine * inverse * other, key);
      simd::add_scaled(d_, dm.row(i), -dcosine * cosine * other * other, before.row(i));
    }
    grads.dstrength(t, 0) = dstrength;
  }

  /// m = m (1 - w erase) + w add
  void write(T w, const T* erase, const T* add, T* m) const {
    const simd::Pack<T> weight = simd::broadcast(w);
    simd::map(
        d_, m,
        [weight](simd::Pack<T> a, simd::Pack<T> e, simd::Pack<T> plus) { return simd::fma(weight, plus - a * e, a); },
        static_cast<const T*>(m), erase, add);
  }
  /// The gradient of w; dm, of the slot after the token, becomes that of the slot before, as far as it is kept.
  [[nodiscard]] T write_backward(Index t, T w, const T* before, T* dm, const ContentMemoryGradients<T>& grads) const {
    const T* erase = in_.erase.row(t);
    const T* g = dm;
    const T dw = simd::sum_of(
        d_, [](simd::Pack<T> x, simd::Pack<T> plus, simd::Pack<T> a, simd::Pack<T> e) { return x * (plus - a * e); }, g,
        in_.add.row(t), before, erase);
    const simd::Pack<T> weight = simd::broadcast(w);
    simd::add_scaled(d_, grads.dadd.row(t), w, g);
    simd::map(
        d_, grads.derase.row(t),
        [weight](simd::Pack<T> sum, simd::Pack<T> x, simd::Pack<T> a) { return sum - weight * (x * a); },
        static_cast<const T*>(grads.derase.row(t)), g, before);
    simd::map(
        d_, dm, [weight](simd::Pack<T> x, simd::Pack<T> e) { return x - weight * (x * e); }, g, erase);
    return dw;
  }

  const ContentMemoryInputs<T>& in_;
  Index d_, slots_ = 0;
};

}  // namespace detail

/// A memory of slots that are found by their content: each token reads where its key points, then erases and adds
/// there.
///
///     c_i = <key_t, M_i> / (|key_t| |M_i|),   w = softmax_i(strength_t c),   y_t = sum_i w_i M_i,
///     M_i = M_i (1 - w_i erase_t) + w_i add_t                                  (c_i is 0 where a length is 0)
///
/// `slots` holds M before the first token of each sequence and then after its last.
///
/// Source:  Graves, Wayne & Danihelka (2014), "Neural Turing machines", eq. 2-6.
/// Shapes:  key, erase, add, y [tokens, features]; strength [tokens, 1]; slots [sequences * slots of each, features].
/// Returns: y, living in the cache until the next forward with it.
/// Errors:  ShapeError or ValueError if sizes or sequences do not fit.
/// Threads: uses parallel_for; the bits of a sequence's results depend on the sequence alone.
template <class T>
ConstMatrixView<T> content_memory_forward(const ContentMemoryInputs<T>& inputs, MatrixView<T> slots,
                                          ContentMemoryCache<T>& cache) {
  const detail::ContentMemory<T> memory("content_memory_forward", inputs, slots.rows());
  check_shape("content_memory_forward: slots", slots, {kAny, memory.features()});
  cache.y.resize(inputs.key.shape());
  cache.y.fill(T(0));
  cache.before.resize({inputs.key.rows() * memory.slots(), memory.features()});
  cache.cosines.resize({inputs.key.rows(), memory.slots()});
  cache.weights.resize(cache.cosines.shape());
  memory.forward(slots, cache);
  return cache.y;
}

/// Sets the gradients of the inputs of content_memory_forward; `dslots`, the gradient of the last slots, becomes that
/// of the first. Rows between sequences get 0.
///
/// `inputs` must be those of the forward whose cache this is. Shapes, source, errors and threads as there.
template <class T>
void content_memory_backward(ConstMatrixView<T> dy, const ContentMemoryInputs<T>& inputs, ContentMemoryCache<T>& cache,
                             const ContentMemoryGradients<T>& grads, MatrixView<T> dslots) {
  const detail::ContentMemory<T> memory("content_memory_backward", inputs, dslots.rows());
  check_shape("content_memory_backward: dy", dy, inputs.key.shape());
  check_shape("content_memory_backward: dkey", grads.dkey, inputs.key.shape());
  check_shape("content_memory_backward: dstrength", grads.dstrength, inputs.strength.shape());
  check_shape("content_memory_backward: derase", grads.derase, inputs.key.shape());
  check_shape("content_memory_backward: dadd", grads.dadd, inputs.key.shape());
  check_shape("content_memory_backward: dslots", dslots, {kAny, memory.features()});
  check_shape("content_memory_backward: the cache's weights", cache.weights, {inputs.key.rows(), memory.slots()});
  if (inputs.sequences.has_gaps()) {
    for (const MatrixView<T>& gradient : {grads.dkey, grads.dstrength, grads.derase, grads.dadd}) {
      gradient.matrix().setZero();
    }
  }
  cache.workspace.resize({max_threads(), memory.slots()});
  memory.backward(dy, cache, grads, dslots);
}

}  // namespace MAT_ABI
}  // namespace mat
