#pragma once

#include <mat/blocks/decoder_layer.hpp>
#include <mat/memory/memory_layer.hpp>
#include <mat/memory/self_attention.hpp>

#include <optional>

namespace mat {
inline namespace MAT_ABI {

/// What the decoder of a Translator attends to: H is the encoder's output, M the article's memory of it, alpha the
/// weights of the article's SelfAttention, which add up to 1 over the n tokens of a source.
enum class TranslatorKind {
  vanilla,      ///< H: the Transformer.
  mat_prior,    ///< Keys from H, values from M, and log(n alpha_j) added to the scores of key j.
  mat_literal,  ///< alpha_j M_j, as the article returns it.
};

/// The name under which files and command lines know a kind.
[[nodiscard]] inline std::string_view name_of(TranslatorKind kind) {
  return kind == TranslatorKind::vanilla ? "vanilla" : kind == TranslatorKind::mat_prior ? "mat_prior" : "mat_literal";
}

/// The kind of this name. Errors: ValueError for any other name.
[[nodiscard]] inline TranslatorKind translator_kind_from_name(std::string_view name) {
  for (const auto kind : {TranslatorKind::vanilla, TranslatorKind::mat_prior, TranslatorKind::mat_literal}) {
    if (name == name_of(kind)) return kind;
  }
  detail::throw_value_error("translator_kind_from_name: name", "\"" + std::string(name) + "\"",
                            "vanilla, mat_prior or mat_literal");
}

/// The article's memory between the encoder and the decoder of a Translator.
///
///     vanilla:      keys = values = H
///     mat_prior:    keys = H, values = M = H + memory_layer(H), prior = log(n alpha)
///     mat_literal:  keys = values = self_attention(H, memory_layer(H)) = alpha * M
///
/// A mat_prior begins as vanilla: the last maps of memory_layer and self_attention are 0 at first, so that M = H and
/// alpha is uniform. Without a residual M is memory_layer(H) alone, as in the article, and begins at random. The rows
/// of alpha * M are of size 1 / n, which is what the article says and what it costs.
///
/// Source:  the article's MemoryLayer and SelfAttention, with their names.
/// Shapes:  H, keys, values [source tokens, d_model]; prior [source tokens].
/// Errors:  ValueError for a size below 1; ShapeError if an input does not fit.
/// Threads: const; one value serves any number of threads, each with a cache of its own.
template <class T>
class SourceMemory {
 public:
  struct Config {
    TranslatorKind kind = TranslatorKind::vanilla;
    Index d_model = 0;
    Index hidden = 0;
    bool residual = true;  ///< Of mat_prior.
  };

  /// None for vanilla.
  struct Parameters {
    std::optional<MemoryLayer<T>> memory_layer;
    std::optional<SelfAttention<T>> self_attention;

    template <class Visitor, class... P>
    static void visit(Visitor&& visitor, P&... p) {
      visit_optional_layer("memory_layer", visitor, p.memory_layer...);
      visit_optional_layer("self_attention", visitor, p.self_attention...);
    }
  };

  /// What the decoder attends to, living in the cache or being H itself.
  struct Memory {
    ConstMatrixView<T> keys;
    std::optional<ConstMatrixView<T>> values{};  // if not the keys
    ConstVectorView<T> prior{};                  // or empty
  };

  /// What one forward leaves for its backward.
  struct Cache {
    typename MemoryLayer<T>::Cache memory_layer;
    typename SelfAttention<T>::Cache self_attention;
    Matrix<T> values;    // M, with a residual: [source tokens, d_model]
    Matrix<T> dencoded;  // the gradient of H: [source tokens, d_model]
  };

  SourceMemory(const Config& config, const Random& random) : config_(config) {
    if (config.kind == TranslatorKind::vanilla) return;
    parameters_.memory_layer.emplace(typename MemoryLayer<T>::Config{config.d_model, config.hidden}, random.split(0));
    parameters_.self_attention.emplace(typename SelfAttention<T>::Config{config.d_model, config.hidden},
                                       random.split(1));
    if (config.kind != TranslatorKind::mat_prior) return;
    set_zero(parameters_.self_attention->parameters().fc2.parameters());
    if (config.residual) set_zero(parameters_.memory_layer->parameters().fc2.parameters());
  }

  [[nodiscard]] const Config& config() const { return config_; }
  [[nodiscard]] const Parameters& parameters() const { return parameters_; }
  [[nodiscard]] Parameters& parameters() { return parameters_; }

  [[nodiscard]] Memory forward(ConstMatrixView<T> encoded, const Sequences& sequences, Cache& cache) const {
    if (config_.kind == TranslatorKind::vanilla) return {encoded};
    const auto memory = parameters_.memory_layer->forward(encoded, cache.memory_layer);
    const SelfAttention<T>& attention = *parameters_.self_attention;
    if (config_.kind == TranslatorKind::mat_literal) {
      return {attention.forward(encoded, memory, sequences, cache.self_attention)};
    }
    const auto prior = attention.log_prior_forward(encoded, sequences, cache.self_attention);
    if (!config_.residual) return {encoded, memory, prior};
    sum<T>(encoded, memory, cache.values);
    return {encoded, cache.values.view(), prior};
  }

  /// The gradient of H, from those of the decoder and, for a mat_prior, of the prior.
  ConstMatrixView<T> backward(const DecoderGradients<T>& d, ConstVectorView<T> dprior, Cache& cache,
                              Parameters& grads) const {
    if (config_.kind == TranslatorKind::vanilla) return d.dmemory;
    const Parameters& p = parameters_;
    Matrix<T>& dencoded = cache.dencoded;
    dencoded.resize(d.dmemory.shape());
    auto& dattention = grads.self_attention->parameters();
    auto& dlayer = grads.memory_layer->parameters();
    if (config_.kind == TranslatorKind::mat_literal) {
      const auto da = p.self_attention->backward(d.dmemory, cache.self_attention, dattention);
      add<T>(da.dx, p.memory_layer->backward(da.dmemory, cache.memory_layer, dlayer), dencoded);
      return dencoded;
    }
    add<T>(d.dmemory, p.self_attention->log_prior_backward(dprior, cache.self_attention, dattention), dencoded);
    add<T>(dencoded, p.memory_layer->backward(d.dmemory_values, cache.memory_layer, dlayer), dencoded);
    if (config_.residual) add<T>(dencoded, d.dmemory_values, dencoded);
    return dencoded;
  }

 private:
  Config config_;
  Parameters parameters_;
};

}  // namespace MAT_ABI
}  // namespace mat
