#pragma once

#include <mat/core/parallel.hpp>
#include <mat/ops/linear_attention.hpp>
#include <mat/ops/matrix_memory.hpp>
#include <mat/ops/triangular_rows.hpp>

namespace mat {
inline namespace MAT_ABI {

/// Tokens that the delta rule writes together unless it is told otherwise: as many as a panel of a product of floats
/// has columns, for the tokens of a chunk are compared with each other in one, and at least 16, for fewer make products
/// too small to be fast. So it depends on the instruction set, as rounding does.
inline constexpr Index kDeltaRuleChunk = std::max<Index>(16, detail::kPanelCols<float>);

/// How delta_rule_forward writes.
struct DeltaRuleOptions {
  Index heads = 1;
  LinearAttentionRule rule = LinearAttentionRule::delta;
  Index chunk = kDeltaRuleChunk;  ///< It changes the time and the rounding, not the equations.
};

/// What the tokens write.
template <class T>
struct DeltaRuleInputs {
  ConstMatrixView<T> k, v;
  ConstMatrixView<T> decay;  ///< What is kept of the state before a token, in [0, 1]; or empty, which is all.
  ConstMatrixView<T> beta;   ///< How much of a token is written; or empty, which is 1.
  const Sequences& sequences;
};

/// What delta_rule_backward sets. Those of decay and beta are empty where the inputs are.
template <class T>
struct DeltaRuleGradients {
  MatrixView<T> dk, dv, ddecay, dbeta;
};

/// What one delta_rule_forward leaves for its backward, and memory to work in.
template <class T>
struct DeltaRuleCache {
  Matrix<T> error;      // e: [tokens, heads * value_dim]
  Matrix<T> starts;     // the states before every chunk but a sequence's first: [chunks * heads * key_dim, value_dim]
  Matrix<T> workspace;  // [threads, numbers of one thread]
};

namespace detail {

/// The checked sizes of one write, and its chunks.
///
/// Within a chunk that starts from S, with D_ti the product of the decays of tokens i + 1 ... t and a_t that of all up
/// to t (each one a product of numbers up to 1: nothing is divided, so a decay of 0 is as good as any other),
///
///     e_t = v_t - a_t k_t S - sum_(i < t) D_ti <k_t, k_i> u_i,    u_t = beta_t e_t          a triangular solve
///     S'  = a_n S + sum_t D_nt k_t^T u_t
template <class T>
class DeltaRule {
 public:
  DeltaRule(std::string_view what, const DeltaRuleOptions& options, const DeltaRuleInputs<T>& in)
      : o_(options), in_(in), is_delta_(options.rule == LinearAttentionRule::delta) {
    check_value(o_.heads >= 1, {what, "heads"}, o_.heads, "at least 1");
    check_value(o_.chunk >= 1, {what, "chunk"}, o_.chunk, "at least 1");
    check_value(in.k.cols() % o_.heads == 0, {what, "k's columns"}, in.k.cols(), "a multiple of ", o_.heads);
    check_value(in.v.cols() % o_.heads == 0, {what, "v's columns"}, in.v.cols(), "a multiple of ", o_.heads);
    dk_ = in.k.cols() / o_.heads;
    dv_ = in.v.cols() / o_.heads;
    width_ = (o_.chunk + kPanelCols<T> - 1) / kPanelCols<T> * kPanelCols<T>;
    check_sequences({what, "k"}, in.k.rows(), in.sequences);
    check_shape({what, "v"}, in.v, {in.k.rows(), kAny});
    if (!in.decay.empty()) check_shape({what, "decay"}, in.decay, {in.k.rows(), o_.heads});
    if (!in.beta.empty()) check_shape({what, "beta"}, in.beta, {in.k.rows(), o_.heads});
  }
  [[nodiscard]] Shape<2> state_shape() const { return {in_.sequences.count() * o_.heads * dk_, dv_}; }

  void forward(ConstMatrixView<T> state, MatrixView<T> next, DeltaRuleCache<T>& cache) const {
    cache.error.resize(in_.v.shape());
    cache.starts.resize({later_chunks(in_.sequences.count()) * o_.heads * dk_, dv_});
    cache.workspace.resize({max_threads(), Scratch::size(*this)});
    for_each_state([&](Index b, Index h, Index thread) {
      const Scratch scratch(*this, cache.workspace.view().row(thread));
      const Index length = in_.sequences.length(b);
      ConstMatrixView<T> s = state_of(state, b, h);
      if (length == 0) scale(T(1), s, state_of(next, b, h));
      for (Index first = 0; first < length; first += o_.chunk) {
        const Chunk chunk = chunk_at(b, h, first);
        const bool last = first + chunk.count == length;
        const MatrixView<T> after = last ? state_of(next, b, h) : start_of(cache, b, h, first / o_.chunk + 1);
        write(chunk, s, after, values(cache.error.view(), chunk), scratch);
        s = after;
      }
    });
  }

  void backward(ConstMatrixView<T> dnext, ConstMatrixView<T> state, DeltaRuleCache<T>& cache,
                const DeltaRuleGradients<T>& grads, MatrixView<T> dstate) const {
    cache.workspace.resize({max_threads(), Scratch::size(*this)});
    for_each_state([&](Index b, Index h, Index thread) {
      const Scratch scratch(*this, cache.workspace.view().row(thread));
      scale(T(1), state_of(dnext, b, h), scratch.g);
      const Index length = in_.sequences.length(b);
      for (Index n = (length + o_.chunk - 1) / o_.chunk; n-- > 0;) {
        const Chunk chunk = chunk_at(b, h, n * o_.chunk);
        const ConstMatrixView<T> s = n == 0 ? state_of(state, b, h) : start_of(cache, b, h, n);
        write_backward(chunk, s, values(cache.error.view(), chunk), grads, scratch);
      }
      const MatrixView<T> to = state_of(dstate, b, h);
      for (Index i = 0; i < dk_; ++i) simd::add_scaled(dv_, to.row(i), T(1), scratch.g.row(i));
    });
  }

 private:
  /// Tokens that a solve takes at once; the last (or first) of a chunk, fewer than so many, go one by one.
  static constexpr Index kSolveBlock = 8;

  /// Tokens [row, row + count) of one head.
  struct Chunk {
    Index row, count, head;
  };

  /// Memory of one thread. The rows of squares end in zeros that fill whole panels, so that their loops have no ends.
  struct Scratch {
    MatrixView<T> products;   // <k_t, k_i>: [chunk, width]
    MatrixView<T> kept;       // D, and 0 above the diagonal: [chunk, width]
    MatrixView<T> solve;      // -D <k_t, k_i>; later F: [chunk, width]
    MatrixView<T> dsolve;     // -<de_t, u_i> below the diagonal, else 0: [chunk, width]
    MatrixView<T> u, du, de;  // [chunk, value_dim]
    MatrixView<T> keys;       // [chunk, key_dim]
    MatrixView<T> g;          // the gradient of the state after the chunk: [key_dim, value_dim]
    T *from_start, *taken;    // a, -a: [width]
    T* dkept;                 // the gradients of a row of D: [width]
    T* one;                   // `width` zeros, a 1, and zeros: [2 * width]

    Scratch(const DeltaRule& rule, T* memory) {
      const Index n = rule.o_.chunk, width = rule.width_;
      const auto take = [&](Index rows, Index cols) {
        const MatrixView<T> view(memory, {rows, cols});
        memory += rows * cols;
        return view;
      };
      products = take(n, width), kept = take(n, width), solve = take(n, width), dsolve = take(n, width);
      u = take(n, rule.dv_), du = take(n, rule.dv_), de = take(n, rule.dv_);
      keys = take(n, rule.dk_), g = take(rule.dk_, rule.dv_);
      from_start = take(1, width).data(), taken = take(1, width).data();
      dkept = take(1, width).data(), one = take(2, width).data();
      std::fill_n(one, 2 * width, T(0));
      one[width] = T(1);
    }
    [[nodiscard]] static Index size(const DeltaRule& rule) {
      const Index n = rule.o_.chunk;
      return 4 * n * rule.width_ + 3 * n * rule.dv_ + n * rule.dk_ + rule.dk_ * rule.dv_ + 5 * rule.width_;
    }
  };

  /// y = factor * x; y may be x. All rows at once if they lie one after the other, as those of a Tensor do.
  static void scale(T factor, ConstMatrixView<T> x, MatrixView<T> y) {
    const Index rows = x.contiguous() && y.contiguous() ? 1 : x.rows(), cols = x.size() / rows;
    for (Index i = 0; i < rows; ++i) simd::set_scaled(cols, y.row(i), factor, x.row(i));
  }
  /// Chunks of the sequences before b that do not start from a sequence's state.
  [[nodiscard]] Index later_chunks(Index b) const {
    Index chunks = 0;
    for (Index a = 0; a < b; ++a) chunks += std::max<Index>(0, (in_.sequences.length(a) - 1) / o_.chunk);
    return chunks;
  }
  template <class Function>
  void for_each_state(const Function& fn) const {
    const Index work = in_.k.rows() * o_.heads * (4 * dk_ * dv_ + 2 * o_.chunk * (dk_ + dv_));
    parallel_for(in_.sequences.count() * o_.heads, work,
                 [&](Index item, Index thread) { fn(item / o_.heads, item % o_.heads, thread); });
  }
  [[nodiscard]] Chunk chunk_at(Index b, Index h, Index first) const {
    return {in_.sequences.begin(b) + first, std::min(o_.chunk, in_.sequences.length(b) - first), h};
  }
  template <class View>
  [[nodiscard]] View state_of(View all, Index b, Index h) const {
    return all.middle_rows((b * o_.heads + h) * dk_, dk_);
  }
  [[nodiscard]] MatrixView<T> start_of(DeltaRuleCache<T>& cache, Index b, Index h, Index chunk) const {
    return cache.starts.view().middle_rows(((later_chunks(b) + chunk - 1) * o_.heads + h) * dk_, dk_);
  }
  template <class View>
  [[nodiscard]] View keys(View all, const Chunk& c) const {
    return all.middle_rows(c.row, c.count).middle_cols(c.head * dk_, dk_);
  }
  template <class View>
  [[nodiscard]] View values(View all, const Chunk& c) const {
    return all.middle_rows(c.row, c.count).middle_cols(c.head * dv_, dv_);
  }
  [[nodiscard]] T beta(const Chunk& c, Index t) const { return *betas(c, t); }
  /// Those of the tokens from t on, beta_stride() apart.
  [[nodiscard]] const T* betas(const Chunk& c, Index t) const {
    static constexpr T kOne = 1;
    return in_.beta.empty() ? &kOne : &in_.beta(c.row + t, c.head);
  }
  [[nodiscard]] Index beta_stride() const { return in_.beta.empty() ? 0 : in_.beta.row_stride(); }
  [[nodiscard]] T decay(const Chunk& c, Index t) const {
    return in_.decay.empty() ? T(1) : in_.decay(c.row + t, c.head);
  }

  /// D and a: each row is the one before times a decay, and starts with the 1 on the diagonal.
  void compute_kept(const Chunk& c, const Scratch& s) const {
    // A panel of columns stays in registers: the 1, written to a row that the next is read from, would be waited for.
    for (Index first = 0; first < width_; first += kPanelCols<T>) {
      simd::Pack<T> row[kPanelPacks<T>];
      for (simd::Pack<T>& pack : row) pack = simd::broadcast(T(0));
      for (Index t = 0; t < c.count; ++t) {
        const simd::Pack<T> factor = simd::broadcast(decay(c, t));
        const T* one = s.one + width_ - t + first;
        T* kept = s.kept.row(t) + first;
#pragma GCC unroll 4
        for (Index p = 0; p < kPanelPacks<T>; ++p) {
          row[p] = simd::fma(factor, row[p], simd::load(one + p * simd::Pack<T>::kSize));
          simd::store(kept + p * simd::Pack<T>::kSize, row[p]);
        }
      }
    }
    T all = 1;
    for (Index t = 0; t < c.count; ++t) {
      s.from_start[t] = all *= decay(c, t);
      s.taken[t] = -all;
    }
  }
  /// <k_t, k_i>, and what the solve multiplies u_i with.
  void compute_products(const Chunk& c, const Scratch& s) const {
    const ConstMatrixView<T> k = keys(in_.k, c);
    matmul<T>(k, transposed<T>(k), square(s.products, c));
    for (Index t = 0; c.count < width_ && t < c.count; ++t) {
      std::fill_n(s.products.row(t) + c.count, width_ - c.count, T(0));
    }
    const ConstMatrixView<T> products = s.products, kept = s.kept;
    simd::map(
        c.count * width_, s.solve.data(), [](simd::Pack<T> p, simd::Pack<T> d) { return -(p * d); }, products.data(),
        kept.data());
  }
  [[nodiscard]] static MatrixView<T> square(MatrixView<T> all, const Chunk& c) {
    return all.middle_rows(0, c.count).middle_cols(0, c.count);
  }

  /// `after` becomes the state after the chunk that starts from `s`, and may be it; `error` the errors of its tokens.
  void write(const Chunk& c, ConstMatrixView<T> s, MatrixView<T> after, MatrixView<T> error, const Scratch& w) const {
    const Index n = c.count;
    const ConstMatrixView<T> k = keys(in_.k, c), v = values(in_.v, c);
    const MatrixView<T> added = w.du.middle_rows(0, n);  // D_nt u_t
    compute_kept(c, w);
    if (is_delta_) {
      compute_products(c, w);
      solve(c, s, v, error, added, w);
    } else {
      for (Index t = 0; t < n; ++t) {
        simd::copy(dv_, v.row(t), error.row(t));
        simd::set_scaled(dv_, added.row(t), beta(c, t) * w.kept(n - 1, t), v.row(t));
      }
    }
    matmul_add<T>(transposed<T>(k), added, w.from_start[n - 1], s, after);
  }

  static void solve_block(Index rows, Index cols, const TriangularRows<T>& p) {
    rows == 1 ? solve_rows<T, 1>(cols, p) : solve_rows<T, kSolveBlock>(cols, p);
  }
  /// The errors, first token first: each has to be known before the next.
  void solve(const Chunk& c, ConstMatrixView<T> s, ConstMatrixView<T> v, MatrixView<T> error, MatrixView<T> added,
             const Scratch& w) const {
    const MatrixView<T> u = w.u.middle_rows(0, c.count);
    matmul<T>(keys(in_.k, c), s, u);
    for (Index t = 0, rows = 0; t < c.count; t += rows) {
      rows = t + kSolveBlock <= c.count ? kSolveBlock : 1;
      TriangularRows<T> p;
      p.before = t;
      p.weights = w.solve.row(t) + t;
      p.weights_row = width_, p.weights_col = 1;
      p.start = {v.row(t), v.row_stride()};
      p.product = {u.row(t), dv_};
      p.factor = {w.taken + t, 1};
      p.scale = {betas(c, t), beta_stride()};
      p.part = {w.kept.row(c.count - 1) + t, 1};
      p.x = {error.row(t), error.row_stride()};
      p.y = {u.row(t), dv_};
      p.z = {added.row(t), dv_};
      solve_block(rows, dv_, p);
    }
  }

  /// w.g, the gradient of the state after the chunk, becomes that of `s`, the state before. With G = dS':
  ///
  ///     du_t = D_nt k_t G - sum_(i > t) D_it <k_i, k_t> de_i,  de_t = beta_t du_t,  dv = de,  dbeta_t = <du_t, e_t>
  ///     dk_t = D_nt u_t G^T - a_t de_t S^T + sum_i (F + F^T)_ti k_i,   F_ti = -D_ti <de_t, u_i> for i < t
  ///     dS = a_n G - sum_t a_t k_t^T de_t
  void write_backward(const Chunk& c, ConstMatrixView<T> s, ConstMatrixView<T> error,
                      const DeltaRuleGradients<T>& grads, const Scratch& w) const {
    const Index n = c.count;
    const ConstMatrixView<T> k = keys(in_.k, c);
    const MatrixView<T> dk = keys(grads.dk, c);
    const MatrixView<T> u = w.u.middle_rows(0, n), du = w.du.middle_rows(0, n), de = w.de.middle_rows(0, n);
    compute_kept(c, w);
    for (Index t = 0; t < n; ++t) simd::set_scaled(dv_, u.row(t), beta(c, t), error.row(t));
    matmul<T>(k, w.g, du);
    matmul<T>(u, transposed<T>(w.g), dk);
    std::fill_n(w.dkept, width_, T(0));
    for (Index t = 0; t < n; ++t) {
      w.dkept[t] = simd::dot(dk_, k.row(t), dk.row(t));
      simd::set_scaled(dk_, dk.row(t), w.kept(n - 1, t), dk.row(t));
    }
    solve_backward(c, error, grads, w);
    if (is_delta_) error_backward(c, s, dk, w);
    if (!in_.decay.empty()) decay_backward(c, s, grads.ddecay, w);
    if (!is_delta_) return scale(w.from_start[n - 1], w.g, w.g);
    for (Index t = 0; t < n; ++t) simd::set_scaled(dv_, de.row(t), w.taken[t], de.row(t));
    matmul_add<T>(transposed<T>(k), de, w.from_start[n - 1], w.g, w.g);
  }

  /// du from k G, de, dv and dbeta, last token first.
  void solve_backward(const Chunk& c, ConstMatrixView<T> error, const DeltaRuleGradients<T>& grads,
                      const Scratch& w) const {
    if (is_delta_) compute_products(c, w);
    for (Index end = c.count, rows = 0; end > 0; end -= rows) {
      rows = is_delta_ && end % kSolveBlock == 0 ? kSolveBlock : 1;
      const Index t = end - 1;
      TriangularRows<T> p;
      p.before = is_delta_ ? c.count - end : 0;
      p.weights = w.solve.row(t) + t;
      p.weights_row = -1, p.weights_col = -width_;
      p.product = {w.du.row(t), -dv_};
      p.factor = {w.kept.row(c.count - 1) + t, -1};
      p.scale = {betas(c, t), -beta_stride()};
      p.x = {w.du.row(t), -dv_};
      p.y = {w.de.row(t), -dv_};
      solve_block(rows, dv_, p);
    }
    for (Index t = 0; t < c.count; ++t) {
      simd::copy(dv_, w.de.row(t), values(grads.dv, c).row(t));
      if (!in_.beta.empty()) grads.dbeta(c.row + t, c.head) = simd::dot(dv_, w.du.row(t), error.row(t));
    }
  }

  /// What the errors say of the keys: adds to dk. Leaves -<de_t, u_i> in w.dsolve and de S^T in w.keys.
  void error_backward(const Chunk& c, ConstMatrixView<T> s, MatrixView<T> dk, const Scratch& w) const {
    const Index n = c.count;
    const MatrixView<T> read = w.keys.middle_rows(0, n), f = square(w.solve, c);
    matmul<T>(w.de.middle_rows(0, n), transposed<T>(s), read);
    matmul<T>(w.de.middle_rows(0, n), transposed<T>(w.u.middle_rows(0, n)), square(w.dsolve, c));
    for (Index t = 0; t < n; ++t) {
      simd::add_scaled(dk_, dk.row(t), w.taken[t], read.row(t));
      std::fill_n(w.dsolve.row(t) + t, width_ - t, T(0));
      simd::set_scaled(width_, w.dsolve.row(t), T(-1), w.dsolve.row(t));
      simd::map(
          width_, w.solve.row(t), [](simd::Pack<T> d, simd::Pack<T> x) { return d * x; }, w.kept.row(t),
          w.dsolve.row(t));
    }
    matmul_add<T>(f, keys(in_.k, c), dk);
    matmul_add<T>(transposed<T>(f), keys(in_.k, c), dk);
  }

  /// The gradients of D and a, last row first: each row passes its own on to the one that it was computed from.
  void decay_backward(const Chunk& c, ConstMatrixView<T> s, MatrixView<T> ddecay, const Scratch& w) const {
    const Index n = c.count;
    T da = 0;
    for (Index i = 0; i < dk_; ++i) da += simd::dot(dv_, w.g.row(i), s.row(i));
    for (Index t = n; t-- > 0;) {
      const T d = decay(c, t);
      if (is_delta_) {
        simd::map(
            width_, w.dkept, [](simd::Pack<T> sum, simd::Pack<T> a, simd::Pack<T> p) { return simd::fma(a, p, sum); },
            w.dkept, w.dsolve.row(t), w.products.row(t));
        da -= simd::dot(dk_, w.keys.row(t), keys(in_.k, c).row(t));
      }
      T sum = da * (t == 0 ? T(1) : w.from_start[t - 1]);
      if (t > 0) sum += simd::dot(width_, w.dkept, w.kept.row(t - 1));  // which ends in 0 where dkept does not count
      ddecay(c.row + t, c.head) = sum;
      simd::set_scaled(width_, w.dkept, d, w.dkept);
      da *= d;
    }
  }

  const DeltaRuleOptions& o_;
  const DeltaRuleInputs<T>& in_;
  bool is_delta_;
  Index dk_ = 0, dv_ = 0, width_ = 0;  // width: chunk, rounded up to whole panels
};

}  // namespace detail
}  // namespace MAT_ABI
}  // namespace mat
