#pragma once

#include <mat/core/simd.hpp>
#include <mat/layers/embedding.hpp>
#include <mat/layers/sinusoidal_position.hpp>
#include <mat/ops/dropout.hpp>

namespace mat {
inline namespace MAT_ABI {

/// Token ids as a Transformer reads them: their embeddings, scaled, with waves for their positions.
///
///     x_t = dropout(sqrt(d) weight_{ids_t} + pe_p),   dweight_{ids_t} += sqrt(d) dropout(dx_t)
///
/// The embedding is an argument, because several inputs and the output of a model may share one.
///
/// Source:  Vaswani et al. (2017), "Attention is all you need", sections 3.4, 3.5 and 5.4.
/// Shapes:  ids [tokens]; x [tokens, d]; first [sequences] or empty (see ops/positions.hpp).
/// Errors:  ValueError for an id outside of the embedding; ShapeError if ids, sequences or dx do not fit.
/// Threads: const; one value serves any number of threads, each with a cache of its own.
template <class T>
class TokenInput {
 public:
  /// What one forward leaves for its backward; the ids stay with the caller and must live until then.
  struct Cache {
    Dropout dropout;
    typename Embedding<T>::Cache embedding;
    typename SinusoidalPosition<T>::Cache positions;
    Matrix<T> dx;  // by the embedding: [tokens, d]
  };

  explicit TokenInput(Index d) : positions_({d}) {}

  ConstMatrixView<T> forward(const Embedding<T>& embedding, ConstVectorView<Index> ids, const Sequences& sequences,
                             const Dropout& dropout, Cache& cache) const {
    (void)forward(embedding, ids, sequences, ConstVectorView<Index>(), cache);
    cache.dropout = dropout;
    if (dropout.rate > 0) dropout_forward<T>(dropout, cache.positions.y, cache.positions.y);
    return cache.positions.y;
  }
  /// Without dropout, and the first token of sequence b at position first_b.
  ConstMatrixView<T> forward(const Embedding<T>& embedding, ConstVectorView<Index> ids, const Sequences& sequences,
                             ConstVectorView<Index> first, Cache& cache) const {
    check_sequences("TokenInput::forward: ids", ids.size(), sequences);
    cache.dropout = {};
    (void)embedding.forward(ids, cache.embedding);
    scale(cache.embedding.y, cache.embedding.y);
    return positions_.forward(cache.embedding.y, sequences, first, cache.positions);
  }

  /// Ids have no gradient: nothing is returned.
  void backward(const Embedding<T>& embedding, ConstMatrixView<T> dx, Cache& cache,
                typename Embedding<T>::Parameters& grads) const {
    check_shape("TokenInput::backward: dx", dx, cache.positions.y.shape());
    cache.dx.resize(dx.shape());
    dropout_backward<T>(cache.dropout, dx, cache.dx);
    scale(cache.dx, cache.dx);
    embedding.backward(cache.dx, cache.embedding, grads);
  }

 private:
  void scale(ConstMatrixView<T> x, MatrixView<T> y) const {
    const T factor = static_cast<T>(std::sqrt(static_cast<double>(x.cols())));
    detail::for_each_row(x.rows(), x.cols(), [&](Index t) { simd::set_scaled(x.cols(), y.row(t), factor, x.row(t)); });
  }

  SinusoidalPosition<T> positions_;
};

}  // namespace MAT_ABI
}  // namespace mat
