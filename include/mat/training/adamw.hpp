#pragma once

#include <mat/training/adam.hpp>

namespace mat {
inline namespace MAT_ABI {

struct AdamWConfig : AdamConfig {
  AdamWConfig() {
    weight_decay = 1e-2;
    decoupled_weight_decay = true;
  }
};

/// Adam with decoupled weight decay; see Adam for the equations.
///
/// Source: PyTorch optim.AdamW, with its defaults (weight_decay 0.01).
template <class P>
class AdamW : public Adam<P> {
 public:
  using Config = AdamWConfig;

  explicit AdamW(const P& parameters, const Config& config = {}) : Adam<P>(parameters, config) {}
  /// With a rule (name, rank) -> ParameterGroup for settings that differ from parameter to parameter.
  template <class Rule>
  AdamW(const P& parameters, const Config& config, const Rule& rule) : Adam<P>(parameters, config, rule) {}
};

}  // namespace MAT_ABI
}  // namespace mat
