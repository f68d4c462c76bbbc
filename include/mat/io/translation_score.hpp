#pragma once

#include <mat/io/chrf.hpp>
#include <mat/io/tokenize_13a.hpp>
#include <mat/training/bleu.hpp>

namespace mat {
inline namespace MAT_ABI {

/// Two scores of translations, in percent: figures that are compared with published ones.
struct TranslationScore {
  BleuScore bleu;     ///< Of 13a tokens, capitals counting, smoothing exp.
  double chrf = 0.0;  ///< chrF2.
};

/// What exactly the scores are, as sacrebleu says it beside the same numbers.
inline constexpr const char* kBleuSignature = "nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:2.6.0";
inline constexpr const char* kChrfSignature = "nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no|version:2.6.0";

/// Scores translations, each beside its reference.
///
/// Source: Post (2018), "A call for clarity in reporting BLEU scores"; sacrebleu 2.6.0, to which the scores are equal.
/// Errors: ValueError unless there is one reference for each translation.
[[nodiscard]] inline TranslationScore score_translations(const std::vector<std::string>& translations,
                                                         const std::vector<std::string>& references) {
  check_value(translations.size() == references.size(), "score_translations: the number of translations",
              static_cast<Index>(translations.size()), std::to_string(references.size()) + ", one for each reference");
  Bleu bleu;
  Chrf chrf;
  for (std::size_t i = 0; i < references.size(); ++i) {
    bleu.add(tokenize_13a(translations[i]), tokenize_13a(references[i]));
    chrf.add(translations[i], references[i]);
  }
  return {bleu.score(), chrf.score()};
}

}  // namespace MAT_ABI
}  // namespace mat
