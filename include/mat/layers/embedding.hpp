#pragma once

#include <mat/layers/initialize.hpp>
#include <mat/layers/parameters.hpp>
#include <mat/ops/gather.hpp>

#include <optional>
#include <vector>

namespace mat {
inline namespace MAT_ABI {

/// A vector for each token id.
///
///     y_t = weight_{ids_t},   dweight_{ids_t} += dy_t
///
/// Source:  PyTorch nn.Embedding, with its names and its initialisation (standard normal, the padding row zero).
/// Shapes:  ids [tokens]; y [tokens, embedding_dim]; weight [num_embeddings, embedding_dim].
/// Errors:  ValueError for a size below 1, a padding_idx beyond the table or an id outside of [0, num_embeddings);
///          ShapeError if dy has another shape than y.
/// Threads: const; one layer serves any number of threads, each with a cache of its own.
template <class T>
class Embedding {
 public:
  struct Config {
    Index num_embeddings = 0;
    Index embedding_dim = 0;
    std::optional<Index> padding_idx;  ///< This row learns nothing; a negative one counts from the end.
    bool scale_grad_by_freq = false;   ///< Divides the gradient of a row by how often its id occurs in the batch.
  };

  struct Parameters {
    Matrix<T> weight;  // [num_embeddings, embedding_dim]

    template <class Visitor, class... P>
    static void visit(Visitor&& visitor, P&... p) {
      visit_tensor("weight", visitor, p.weight...);
    }
  };

  /// What one forward leaves for its backward; the ids themselves stay with the caller and must live until then.
  struct Cache {
    ConstVectorView<Index> ids;  // [tokens]
    Matrix<T> y;                 // [tokens, embedding_dim]
    Vector<Index> counts;        // [num_embeddings], with scale_grad_by_freq
  };

  Embedding(const Config& config, const Random& random) : config_(config) {
    const Index n = config.num_embeddings;
    check_value(n >= 1, "Embedding: num_embeddings", n, "at least 1");
    check_value(config.embedding_dim >= 1, "Embedding: embedding_dim", config.embedding_dim, "at least 1");
    if (config.padding_idx) {
      check_value(*config.padding_idx >= -n && *config.padding_idx < n, "Embedding: padding_idx", *config.padding_idx,
                  "in [-" + std::to_string(n) + ", " + std::to_string(n) + ")");
      if (*config_.padding_idx < 0) *config_.padding_idx += n;
    }
    parameters_.weight.resize({n, config.embedding_dim});
    initialize_normal<T>(parameters_.weight, 1.0, random);
    if (config_.padding_idx) {
      std::fill_n(parameters_.weight.view().row(*config_.padding_idx), config.embedding_dim, T(0));
    }
  }

  [[nodiscard]] const Config& config() const { return config_; }
  [[nodiscard]] const Parameters& parameters() const { return parameters_; }
  [[nodiscard]] Parameters& parameters() { return parameters_; }

  ConstMatrixView<T> forward(ConstVectorView<Index> ids, Cache& cache) const {
    detail::check_ids("Embedding::forward: ids", ids, config_.num_embeddings);
    cache.ids = ids;
    cache.y.resize({ids.size(), config_.embedding_dim});
    gather_rows<T>(parameters_.weight, ids, cache.y);
    return cache.y;
  }
  ConstMatrixView<T> forward(const std::vector<Index>& ids, Cache& cache) const {
    return forward(ConstVectorView<Index>(ids, {static_cast<Index>(ids.size())}), cache);
  }
  ConstMatrixView<T> forward(const std::vector<Index>&& temporary, Cache& cache) const = delete;

  /// Ids have no gradient: nothing is returned.
  void backward(ConstMatrixView<T> dy, Cache& cache, Parameters& grads) const {
    check_shape("Embedding::backward: dy", dy, {cache.ids.size(), config_.embedding_dim});
    ScatterOptions options;
    options.padding_id = config_.padding_idx;
    if (config_.scale_grad_by_freq) {
      cache.counts.resize({config_.num_embeddings});
      count_ids(cache.ids, cache.counts);
      options.counts = cache.counts;
    }
    scatter_add_rows<T>(cache.ids, dy, grads.weight, options);
  }

 private:
  Config config_;
  Parameters parameters_;
};

}  // namespace MAT_ABI
}  // namespace mat
