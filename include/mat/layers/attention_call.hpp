#pragma once

#include <mat/ops/attention_mask.hpp>
#include <mat/ops/dropout.hpp>

namespace mat {
inline namespace MAT_ABI {

/// What differs from call to call of a layer with attention: the mask, and training's dropout.
template <class T>
struct AttentionCall {
  AttentionMask<T> mask;
  Dropout dropout;
};

}  // namespace MAT_ABI
}  // namespace mat
