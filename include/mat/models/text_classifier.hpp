#pragma once

#include <mat/core/simd.hpp>
#include <mat/layers/max_convolution.hpp>
#include <mat/models/classifier_head.hpp>
#include <mat/models/classifier_input.hpp>
#include <mat/models/mat.hpp>

#include <optional>
#include <string_view>

namespace mat {
inline namespace MAT_ABI {

/// What stands between the embedded tokens and the linear classifier.
enum class ClassifierKind {
  mat,      ///< The article's model: encoder, memory layer, attention over the tokens; the sum of the weighted memory.
  vanilla,  ///< The same encoder; the mean over the tokens.
};

/// The name under which files and command lines know a kind: "mat" or "vanilla".
[[nodiscard]] inline std::string_view name_of(ClassifierKind kind) {
  return kind == ClassifierKind::mat ? "mat" : "vanilla";
}

/// The kind of this name. Errors: ValueError for any other name.
[[nodiscard]] inline ClassifierKind classifier_kind_from_name(std::string_view name) {
  for (const ClassifierKind kind : {ClassifierKind::mat, ClassifierKind::vanilla}) {
    if (name == name_of(kind)) return kind;
  }
  detail::throw_value_error("classifier_kind_from_name: name", "\"" + std::string(name) + "\"", "mat or vanilla");
}

/// Tells the class of a text: embedded tokens, an encoder, one vector for each text, a linear map. Beside the encoder a
/// convolution looks for short runs of tokens, which tell more of a class than a mean keeps of them.
///
///     e = embedding(tokens) + positions
///     p = pooled(MAT(e))            kind mat: sum over tokens of softmax(score(H)) M, H = transformer_encoder(e)
///     p = mean over tokens of H     kind vanilla
///     q = convolution(embedding(tokens))        largest answers of `filters` filters over three tokens
///     logits = classifier([p q]) = [p q] W^T + b
///
/// A text without tokens has p = 0 and q = 0.
///
/// Source:  the article's MAT as a classifier; `vanilla` is what it is compared with. The convolution is Kim's, see
///          MaxConvolution.
/// Shapes:  logits [texts, classes].
/// Errors:  ValueError for sizes, ids or rates that do not fit; ShapeError if dlogits does not.
/// Threads: const; one model serves any number of threads, each with a cache of its own.
template <class T>
class TextClassifier {
 public:
  using Scalar = T;

  struct Config {
    ClassifierKind kind = ClassifierKind::mat;
    Index vocabulary = 0;
    Index buckets = 0;  ///< Of hashed features; 0: none.
    Index classes = 0;
    Index dim = 64;
    Index hidden = 128;  ///< Of the encoder's feed-forward, and of the memory layer and the attention of `mat`.
    Index heads = 4;
    Index layers = 1;
    Index filters = 128;      ///< Of the convolution beside the encoder; 0: there is none.
    bool norm_first = false;  ///< With another norm at the end of the encoder.
    Activation activation = Activation::relu;
    ClassifierPositions positions = ClassifierPositions::sinusoidal;

    [[nodiscard]] typename ClassifierInput<T>::Config input_config() const {
      typename ClassifierInput<T>::Config input;
      input.embedding = {vocabulary, buckets, dim};
      input.positions = positions;
      input.words = filters > 0;
      return input;
    }
    [[nodiscard]] typename MAT<T>::Config mat_config() const {
      typename MAT<T>::Config mat;
      mat.input_dim = dim;
      mat.hidden_dim = hidden;
      mat.nhead = heads;
      mat.num_layers = layers;
      mat.activation = activation;
      mat.norm_first = mat.final_norm = norm_first;
      return mat;
    }
    [[nodiscard]] typename MaxConvolution<T>::Config convolution_config() const {
      typename MaxConvolution<T>::Config convolution;
      convolution.features = dim;
      convolution.filters = filters;
      return convolution;
    }
  };

  struct Parameters {
    ClassifierInput<T> embedding;
    std::optional<MAT<T>> mat;                                 // kind mat
    std::optional<TransformerEncoder<T>> transformer_encoder;  // kind vanilla
    std::optional<MaxConvolution<T>> convolution;              // with filters
    ClassifierHead<T> classifier;

    template <class Visitor, class... P>
    static void visit(Visitor&& visitor, P&... p) {
      visit_layer("embedding", visitor, p.embedding...);
      visit_optional_layer("mat", visitor, p.mat...);
      visit_optional_layer("transformer_encoder", visitor, p.transformer_encoder...);
      visit_optional_layer("convolution", visitor, p.convolution...);
      visit_layer("classifier", visitor, p.classifier...);
    }
  };

  /// What one forward leaves for its backward.
  struct Cache {
    Sequences sequences;  // the texts of the batch
    typename ClassifierInput<T>::Cache embedding;
    typename MAT<T>::Cache mat;
    typename TransformerEncoder<T>::Cache transformer_encoder;
    typename MaxConvolution<T>::Cache convolution;
    Matrix<T> mean;      // kind vanilla: [texts, dim]
    Matrix<T> dencoded;  // kind vanilla: [tokens, dim]
    typename ClassifierHead<T>::Cache classifier;
  };

  TextClassifier(const Config& config, const Random& random)
      : config_(checked(config)),
        parameters_{ClassifierInput<T>(config.input_config(), random.split(0)), std::nullopt, std::nullopt,
                    std::nullopt, ClassifierHead<T>({config.dim, config.filters, config.classes}, random.split(2))} {
    if (config.filters > 0) parameters_.convolution.emplace(config.convolution_config(), random.split(3));
    MAT<T> mat(config.mat_config(), random.split(1));  // both kinds start from the same encoder
    if (config.kind == ClassifierKind::mat) {
      parameters_.mat.emplace(std::move(mat));
    } else {
      parameters_.transformer_encoder.emplace(std::move(mat.parameters().transformer_encoder));
    }
  }

  [[nodiscard]] const Config& config() const { return config_; }
  [[nodiscard]] const Parameters& parameters() const { return parameters_; }
  [[nodiscard]] Parameters& parameters() { return parameters_; }
  [[nodiscard]] Index classes() const { return config_.classes; }

  ConstMatrixView<T> forward(const TokenBatch& batch, const ClassifierDropout& dropout, Cache& cache) const {
    cache.sequences.assign(batch.lengths);
    const auto input = parameters_.embedding.forward(batch, cache.sequences, dropout, cache.embedding);
    const auto pooled = encode(input.x, dropout, cache);
    ConstMatrixView<T> found;
    if (parameters_.convolution) {
      found = parameters_.convolution->forward(input.words, cache.sequences, cache.convolution);
    }
    return parameters_.classifier.forward(pooled, found, dropout, cache.classifier);
  }
  /// Without dropout.
  ConstMatrixView<T> forward(const TokenBatch& batch, Cache& cache) const { return forward(batch, {}, cache); }

  /// Texts have no gradient: nothing is returned.
  void backward(ConstMatrixView<T> dlogits, Cache& cache, Parameters& grads) const {
    const Parameters& p = parameters_;
    const auto d = p.classifier.backward(dlogits, cache.classifier, grads.classifier.parameters());
    ConstMatrixView<T> dx, dwords;
    if (p.mat) {
      dx = p.mat->pooled_backward(d.dpooled, cache.mat, grads.mat->parameters());
    } else {
      mean_backward(d.dpooled, cache);
      dx = p.transformer_encoder->backward(cache.dencoded, cache.transformer_encoder,
                                           grads.transformer_encoder->parameters());
    }
    if (p.convolution) {
      dwords = p.convolution->backward(d.dfound, cache.convolution, grads.convolution->parameters());
    }
    p.embedding.backward(dx, dwords, cache.embedding, grads.embedding.parameters());
  }

 private:
  [[nodiscard]] static const Config& checked(const Config& config) {
    check_value(config.classes >= 1, "TextClassifier: classes", config.classes, "at least 1");
    check_value(config.filters >= 0, "TextClassifier: filters", config.filters, "at least 0");
    return config;
  }
  [[nodiscard]] ConstMatrixView<T> encode(ConstMatrixView<T> x, const ClassifierDropout& dropout, Cache& cache) const {
    const AttentionCall<T> call{{}, {dropout.encoder, dropout.random.split(3)}};
    if (parameters_.mat) {
      parameters_.mat->forward(x, cache.sequences, call, cache.mat);
      return parameters_.mat->pooled(cache.mat);
    }
    const auto h = parameters_.transformer_encoder->forward(x, cache.sequences, call, cache.transformer_encoder);
    cache.mean.resize({cache.sequences.count(), config_.dim});
    cache.mean.fill(T(0));
    for (Index b = 0; b < cache.sequences.count(); ++b) {
      for (Index t = cache.sequences.begin(b); t < cache.sequences.end(b); ++t) {
        simd::add_scaled(config_.dim, cache.mean.view().row(b), mean_factor(cache, b), h.row(t));
      }
    }
    return cache.mean;
  }
  void mean_backward(ConstMatrixView<T> dpooled, Cache& cache) const {
    cache.dencoded.resize({cache.sequences.rows(), config_.dim});
    cache.dencoded.fill(T(0));
    for (Index b = 0; b < cache.sequences.count(); ++b) {
      for (Index t = cache.sequences.begin(b); t < cache.sequences.end(b); ++t) {
        simd::add_scaled(config_.dim, cache.dencoded.view().row(t), mean_factor(cache, b), dpooled.row(b));
      }
    }
  }
  [[nodiscard]] static T mean_factor(const Cache& cache, Index b) {
    return T(1) / static_cast<T>(cache.sequences.length(b));
  }

  Config config_;
  Parameters parameters_;
};

}  // namespace MAT_ABI
}  // namespace mat
