#pragma once

#include <mat/mat.hpp>

// The class templates that many tests use, compiled once for all of them: a test that includes this
// header, and by the precompiled header all do, compiles its own calls and checks but not the layers below them. The
// other half are the sources of mat_test_instantiations in tests/CMakeLists.txt. A class that is missing here costs
// time and nothing else.

#define MAT_TEST_INSTANTIATE_LAYERS(kind, T)             \
  kind template class mat::detail::AttentionForward<T>;  \
  kind template class mat::detail::AttentionBackward<T>; \
  kind template struct mat::detail::AttentionProblem<T>; \
  kind template class mat::AttentionMask<T>;             \
  kind template class mat::PackedKeys<T>;                \
  kind template class mat::Embedding<T>;                 \
  kind template class mat::FeedForward<T>;               \
  kind template class mat::LayerNorm<T>;                 \
  kind template class mat::LearnedPosition<T>;           \
  kind template class mat::Linear<T>;                    \
  kind template class mat::MultiHeadAttention<T>;        \
  kind template class mat::RelativePosition<T>;          \
  kind template class mat::RMSNorm<T>;                   \
  kind template class mat::RotaryPosition<T>;            \
  kind template class mat::CrossEntropy<T>

#define MAT_TEST_INSTANTIATE_BLOCKS(kind, T)      \
  kind template class mat::EncoderLayer<T>;       \
  kind template class mat::TransformerEncoder<T>; \
  kind template class mat::DecoderLayer<T>;       \
  kind template class mat::TransformerDecoder<T>; \
  kind template class mat::KeyValueCache<T>;      \
  kind template class mat::PackedEncoder<T>;      \
  kind template class mat::PackedDecoder<T>

#define MAT_TEST_INSTANTIATE_MEMORIES(kind, T)                        \
  kind template class mat::detail::DeltaRule<T>;                      \
  kind template class mat::DeltaCache<T>;                             \
  kind template class mat::DeltaMemory<T>;                            \
  kind template class mat::KnnMemory<T>;                              \
  kind template class mat::MemoryTokens<T>;                           \
  kind template class mat::NeuralMemory<T>;                           \
  kind template class mat::SegmentCache<T>;                           \
  kind template class mat::AnyMemory<T>;                              \
  kind template class mat::RecurrentEncoder<T, mat::NoMemory<T>>;     \
  kind template class mat::RecurrentEncoder<T, mat::DeltaMemory<T>>;  \
  kind template class mat::RecurrentEncoder<T, mat::KnnMemory<T>>;    \
  kind template class mat::RecurrentEncoder<T, mat::MemoryTokens<T>>; \
  kind template class mat::RecurrentEncoder<T, mat::NeuralMemory<T>>; \
  kind template class mat::RecurrentEncoder<T, mat::SegmentCache<T>>; \
  kind template class mat::RecurrentEncoder<T, mat::AnyMemory<T>>

#define MAT_TEST_INSTANTIATE_MODELS(kind, T)                              \
  kind template class mat::MAT<T>;                                        \
  kind template class mat::TokenEmbedding<T>;                             \
  kind template class mat::TokenInput<T>;                                 \
  kind template class mat::ClassifierInput<T>;                            \
  kind template class mat::ClassifierHead<T>;                             \
  kind template class mat::TextClassifier<T>;                             \
  kind template class mat::SegmentClassifier<T, mat::AnyMemory<T>>;       \
  kind template class mat::LanguageModel<T, mat::AnyMemory<T>>;           \
  kind template class mat::SourceMemory<T>;                               \
  kind template class mat::Transformer<T>;                                \
  kind template class mat::Translator<T>;                                 \
  kind template class mat::PackedTranslator<T>;                           \
  kind template class mat::detail::BeamSearch<T>;                         \
  kind template class mat::AdamW<mat::TextClassifier<T>::Parameters>;     \
  kind template class mat::AdamW<mat::DocumentClassifier<T>::Parameters>; \
  kind template class mat::AdamW<mat::Translator<T>::Parameters>;         \
  kind template class mat::Trainer<mat::TextClassifier<T>>;               \
  kind template class mat::Trainer<mat::DocumentClassifier<T>>;           \
  kind template class mat::TranslatorTrainer<T>

#define MAT_TEST_INSTANTIATE_ALL(kind, T) \
  MAT_TEST_INSTANTIATE_LAYERS(kind, T);   \
  MAT_TEST_INSTANTIATE_BLOCKS(kind, T);   \
  MAT_TEST_INSTANTIATE_MEMORIES(kind, T); \
  MAT_TEST_INSTANTIATE_MODELS(kind, T)

MAT_TEST_INSTANTIATE_ALL(extern, float);
MAT_TEST_INSTANTIATE_ALL(extern, double);
