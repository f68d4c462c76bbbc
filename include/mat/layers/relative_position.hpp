#pragma once

#include <mat/core/sequences.hpp>
#include <mat/layers/initialize.hpp>
#include <mat/layers/parameters.hpp>
#include <mat/ops/attention_mask.hpp>
#include <mat/ops/matmul.hpp>

#include <algorithm>
#include <cmath>

namespace mat {
inline namespace MAT_ABI {

/// Lets attention see how far away a key is, by learned projections of waves: what a cache of earlier tokens needs.
///
///     s_ij = scale (<q_i + u, k_j> + <q_i + v, rho_{p_i - j}>),   rho_n = W R_n,
///     R_n = [sin(n w_0), sin(n w_1), ..., cos(n w_0), cos(n w_1), ...],   w_m = base^(-2m / features)
///     du += sum_i dq_i (of the first product),   dv += sum_i dq_i (of the second),
///     drho_n = scale sum_{p_i - j = n} ds_ij (q_i + v),   dW += sum_n drho_n R_n^T
///
/// p_i is the position of query i among the keys, as the mask says. The second product is a bias of the attention, a
/// matrix of queries x keys for each head: this is for segments, not for long documents at once. A softcap takes the
/// first product only.
///
/// Source:  Dai et al. (2019), "Transformer-XL: attentive language models beyond a fixed-length context", section 3.3.
/// Shapes:  q [query tokens, heads * head_dim]; W [kv_heads * head_dim, features]; u, v [heads, head_dim].
/// Errors:  ValueError for sizes that do not fit; ShapeError if q or dq does not.
/// Threads: const; one layer serves any number of threads, each with a cache of its own.
template <class T>
class RelativePosition {
 public:
  struct Config {
    Index features = 0;  ///< Of the waves: even.
    Index heads = 1;
    Index kv_heads = 0;  ///< A divisor of heads; 0 is as many.
    Index head_dim = 0;
    double base = 10000;
  };

  struct Parameters {
    Matrix<T> weight;  // W: [kv_heads * head_dim, features]
    Matrix<T> u, v;    // [heads, head_dim]

    template <class Visitor, class... P>
    static void visit(Visitor&& visitor, P&... p) {
      visit_tensor("weight", visitor, p.weight...);
      visit_tensor("u", visitor, p.u...);
      visit_tensor("v", visitor, p.v...);
    }
  };

  /// The attention whose scores these are; the sequences of the keys are without keys that the layer adds.
  struct Scores {
    const Sequences& queries;
    const Sequences& keys;
    const AttentionMask<T>& mask;
    T scale;
  };

  /// What one forward leaves for its backward.
  struct Cache {
    Sequences queries, keys;
    AttentionMask<T> mask;
    T scale = 1;
    Index farthest = 0;     // the distance of row 0 of the next two; each row is one nearer
    Matrix<T> waves;        // R: [distances, features]
    Matrix<T> rho, drho;    // [distances, kv_heads * head_dim]
    Matrix<T> qv, dqv;      // q + v: [query tokens, heads * head_dim]
    Tensor<T, 4> bias;      // [sequences, heads, longest query sequence, longest key sequence]
    Tensor<T, 4> dbias;     // as bias
    Matrix<T> by_distance;  // scratch: [threads, queries * distances]
  };

  RelativePosition(const Config& config, const Random& random) : config_(config) {
    if (config.kv_heads == 0) config_.kv_heads = config.heads;
    check_value(config.features >= 2 && config.features % 2 == 0, "RelativePosition: features", config.features,
                "even and at least 2");
    check_value(config.heads >= 1, "RelativePosition: heads", config.heads, "at least 1");
    check_value(config_.kv_heads >= 1 && config.heads % config_.kv_heads == 0, "RelativePosition: kv_heads",
                config.kv_heads, "a divisor of heads, ", config.heads);
    check_value(config.head_dim >= 1, "RelativePosition: head_dim", config.head_dim, "at least 1");
    check_value(config.base > 0, "RelativePosition: base", config.base, "above 0");
    parameters_.weight.resize({config_.kv_heads * config.head_dim, config.features});
    initialize_xavier_uniform<T>(parameters_.weight, random.split(0));
    parameters_.u = parameters_.v = Matrix<T>({config.heads, config.head_dim});
  }

  [[nodiscard]] const Config& config() const { return config_; }
  [[nodiscard]] const Parameters& parameters() const { return parameters_; }
  [[nodiscard]] Parameters& parameters() { return parameters_; }

  /// q becomes q + u; returns the bias of the scores, living in the cache.
  TensorView<const T, 4> forward(MatrixView<T> q, const Scores& scores, Cache& cache) const {
    check_shape("RelativePosition::forward: q", q, {kAny, config_.heads * config_.head_dim});
    check_sequences("RelativePosition::forward: q", q.rows(), scores.queries);
    check_value(scores.keys.count() == scores.queries.count(), "RelativePosition::forward: the sequences of keys",
                scores.keys.count(), "those of the queries, ", scores.queries.count());
    cache.queries = scores.queries;
    cache.keys = scores.keys;
    cache.mask = scores.mask;
    cache.scale = scores.scale;
    set_rho(cache);
    cache.qv.resize(q.shape());
    detail::for_each_row(q.rows(), 2 * q.cols(), [&](Index t) {
      const auto sum = [](simd::Pack<T> a, simd::Pack<T> b) { return a + b; };
      simd::map(q.cols(), cache.qv.view().row(t), sum, static_cast<const T*>(q.row(t)), parameters_.v.data());
      simd::map(q.cols(), q.row(t), sum, static_cast<const T*>(q.row(t)), parameters_.u.data());
    });
    cache.bias.resize({cache.queries.count(), config_.heads, cache.queries.longest(), cache.keys.longest()});
    cache.bias.fill(T(0));
    make_room(cache);
    parallel_for(cache.queries.count() * config_.heads, work(cache), [&](Index item, Index thread) {
      const Index b = item / config_.heads, h = item % config_.heads;
      const Part part = part_of(cache, b, h);
      if (part.distances == 0) return;
      const MatrixView<T> products(cache.by_distance.view().row(thread), {part.queries, part.distances});
      matmul<T>(part.qv, transposed<T>(part.rho), products);
      for (Index i = 0; i < part.queries; ++i) {
        const Run run = run_of(part, i);
        if (run.count == 0) continue;
        const simd::Pack<T> scale = simd::broadcast(cache.scale);
        simd::map(
            run.count, &cache.bias(b, h, i, run.key), [scale](simd::Pack<T> p) { return scale * p; },
            static_cast<const T*>(products.row(i) + run.distance));
      }
    });
    return cache.bias;
  }

  /// Where the attention's backward adds the gradient of the bias: 0 before it.
  [[nodiscard]] TensorView<T, 4> bias_gradient(Cache& cache) const {
    cache.dbias.resize(cache.bias.shape());
    cache.dbias.fill(T(0));
    return cache.dbias;
  }

  /// dq, the gradient of q + u, becomes that of q; the bias's gradient is where bias_gradient said.
  void backward(MatrixView<T> dq, Cache& cache, Parameters& grads) const {
    check_shape("RelativePosition::backward: dq", dq, cache.qv.shape());
    add_column_sums<T>(dq, VectorView<T>(grads.u.data(), {grads.u.size()}));
    cache.dqv.resize(dq.shape());
    cache.dqv.fill(T(0));
    cache.drho.resize(cache.rho.shape());
    cache.drho.fill(T(0));
    make_room(cache);
    // What heads and sequences share is summed in their order: one work item for each key/value head.
    parallel_for(config_.kv_heads, 2 * work(cache), [&](Index kv_head, Index thread) {
      const Index group = config_.heads / config_.kv_heads;
      for (Index b = 0; b < cache.queries.count(); ++b) {
        for (Index h = kv_head * group; h < (kv_head + 1) * group; ++h) part_backward(cache, b, h, thread);
      }
    });
    add_column_sums<T>(cache.dqv, VectorView<T>(grads.v.data(), {grads.v.size()}));
    detail::for_each_row(dq.rows(), dq.cols(), [&](Index t) {
      simd::add_scaled(dq.cols(), dq.row(t), T(1), static_cast<const T*>(cache.dqv.view().row(t)));
    });
    matmul_add<T>(transposed<T>(cache.drho), ConstMatrixView<T>(cache.waves), grads.weight);
  }

 private:
  /// One head of one sequence, and the distances between its queries and keys.
  struct Part {
    Index queries, keys;
    Index first;      // the key position of query 0
    Index farthest;   // the distance of the first row of rho
    Index distances;  // rows of rho
    ConstMatrixView<T> qv, rho;
  };
  /// Neighbouring keys of one query, the first at row `distance` of the part's rho.
  struct Run {
    Index key, distance, count;
  };
  struct Range {
    Index farthest, nearest;
  };

  /// The distances that sequence b needs: none if farthest < nearest.
  [[nodiscard]] static Range range_of(const Cache& cache, Index b) {
    const Index queries = cache.queries.length(b), keys = cache.keys.length(b);
    if (queries == 0 || keys == 0) return {-1, 0};
    const Index first = cache.mask.offset(queries, keys);
    Range range{first + queries - 1, first - (keys - 1)};
    if (cache.mask.left() >= 0) range.farthest = std::min(range.farthest, cache.mask.left());
    if (cache.mask.right() >= 0) range.nearest = std::max(range.nearest, -cache.mask.right());
    return range;
  }

  void set_rho(Cache& cache) const {
    Range all{-1, 0};
    for (Index b = 0; b < cache.queries.count(); ++b) {
      const Range range = range_of(cache, b);
      if (range.farthest < range.nearest) continue;
      const bool first = all.farthest < all.nearest;
      all.farthest = first ? range.farthest : std::max(all.farthest, range.farthest);
      all.nearest = first ? range.nearest : std::min(all.nearest, range.nearest);
    }
    const Index distances = all.farthest - all.nearest + 1, half = config_.features / 2;
    const bool known = cache.farthest == all.farthest && cache.waves.shape() == Shape<2>{distances, config_.features};
    cache.farthest = all.farthest;
    if (!known) {
      cache.waves.resize({distances, config_.features});
      for (Index m = 0; m < half; ++m) {
        const double frequency =
            std::pow(config_.base, -2.0 * static_cast<double>(m) / static_cast<double>(config_.features));
        for (Index r = 0; r < distances; ++r) {
          const double angle = static_cast<double>(all.farthest - r) * frequency;
          cache.waves(r, m) = static_cast<T>(std::sin(angle));
          cache.waves(r, half + m) = static_cast<T>(std::cos(angle));
        }
      }
    }
    cache.rho.resize({distances, config_.kv_heads * config_.head_dim});
    matmul<T>(cache.waves, transposed<T>(parameters_.weight), cache.rho);
  }

  [[nodiscard]] Part part_of(const Cache& cache, Index b, Index h) const {
    const Range range = range_of(cache, b);
    Part part{cache.queries.length(b), cache.keys.length(b), 0, range.farthest, 0, {}, {}};
    if (range.farthest < range.nearest) return part;
    const Index d = config_.head_dim, kv_head = h / (config_.heads / config_.kv_heads);
    part.first = cache.mask.offset(part.queries, part.keys);
    part.distances = range.farthest - range.nearest + 1;
    part.qv = cache.qv.view().middle_rows(cache.queries.begin(b), part.queries).middle_cols(h * d, d);
    part.rho =
        cache.rho.view().middle_rows(cache.farthest - range.farthest, part.distances).middle_cols(kv_head * d, d);
    return part;
  }

  /// Key j lies at the distance first + i - j, in row farthest - (first + i - j).
  [[nodiscard]] static Run run_of(const Part& part, Index i) {
    const Index shift = part.farthest - part.first - i;
    const Index begin = std::max<Index>(0, -shift), end = std::min(part.keys, part.distances - shift);
    return {begin, begin + shift, std::max<Index>(0, end - begin)};
  }

  void part_backward(Cache& cache, Index b, Index h, Index thread) const {
    const Part part = part_of(cache, b, h);
    if (part.distances == 0) return;
    const MatrixView<T> dproducts(cache.by_distance.view().row(thread), {part.queries, part.distances});
    const simd::Pack<T> scale = simd::broadcast(cache.scale);
    for (Index i = 0; i < part.queries; ++i) {
      const Run run = run_of(part, i);
      std::fill_n(dproducts.row(i), part.distances, T(0));
      if (run.count == 0) continue;
      simd::map(
          run.count, dproducts.row(i) + run.distance, [scale](simd::Pack<T> p) { return scale * p; },
          static_cast<const T*>(&cache.dbias(b, h, i, run.key)));
    }
    const Index d = config_.head_dim, kv_head = h / (config_.heads / config_.kv_heads);
    matmul<T>(dproducts, part.rho,
              cache.dqv.view().middle_rows(cache.queries.begin(b), part.queries).middle_cols(h * d, d));
    matmul_add<T>(
        transposed<T>(dproducts), part.qv,
        cache.drho.view().middle_rows(cache.farthest - part.farthest, part.distances).middle_cols(kv_head * d, d));
  }

  void make_room(Cache& cache) const {
    cache.by_distance.resize({max_threads(), cache.queries.longest() * cache.rho.rows()});
  }
  [[nodiscard]] Index work(const Cache& cache) const {
    return cache.qv.rows() * cache.rho.rows() * config_.heads * config_.head_dim;
  }

  Config config_;
  Parameters parameters_;
};

}  // namespace MAT_ABI
}  // namespace mat
