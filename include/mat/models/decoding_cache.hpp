#pragma once

#include <mat/models/packed_translator.hpp>

namespace mat {
inline namespace MAT_ABI {

/// What a batch of translations is worked out in. Kept from batch to batch it stops allocating: the keys and values of
/// a hundred sentences in four beams are tens of megabytes, which the system hands out one page at a time.
///
/// Threads: one batch at a time.
template <class T>
struct DecodingCache {
  typename PackedTranslator<T>::Cache model;
  typename PackedTranslator<T>::Memory memory;  // of the sources
  KeyValueCache<T> earlier;                     // of the hypotheses
};

}  // namespace MAT_ABI
}  // namespace mat
