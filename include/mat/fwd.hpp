#pragma once

#include <mat/version.hpp>

#include <cstddef>

namespace mat {
inline namespace MAT_ABI {

// The names of the main classes, for headers that only mention them.

// core
template <class T, std::size_t Rank>
class Tensor;
template <class T, std::size_t Rank>
class TensorView;
class Sequences;
class Random;

// ops
template <class T>
class AttentionMask;

// layers
template <class T>
class Linear;
template <class T>
class LayerNorm;
template <class T>
class RMSNorm;
template <class T>
class Embedding;
template <class T>
class SinusoidalPosition;
template <class T>
class LearnedPosition;
template <class T>
class RotaryPosition;
template <class T>
class RelativePosition;
template <class T>
class FeedForward;
template <class T>
class MultiHeadAttention;

// blocks
template <class T>
class EncoderLayer;
template <class T>
class TransformerEncoder;
template <class T>
class DecoderLayer;
template <class T>
class TransformerDecoder;

// memory
template <class T>
class AnyMemory;
template <class T>
class DeltaCache;
template <class T>
class DeltaMemory;
template <class T>
class InfiniAttention;
template <class T>
class MemoryLayer;
template <class T>
class SelfAttention;
template <class T>
class StreamPool;
template <class T>
class NeuralMemory;
template <class T>
class SegmentCache;
template <class T>
class KnnMemory;

// models
template <class T>
class MAT;
template <class T>
class NeuralMAT;
template <class T>
class TextClassifier;
template <class T, class Memory>
class SegmentClassifier;
template <class T>
class Transformer;
template <class T>
class SourceMemory;
template <class T>
class Translator;

// training
template <class T>
class CrossEntropy;
template <class P>
class Sgd;
template <class P>
class Adam;
template <class P>
class AdamW;
class Bleu;
template <class T>
class TranslatorTrainer;

// io
class Safetensors;
class SafetensorsWriter;
class Json;
class Vocabulary;
class Chrf;
class SentencePieceTokenizer;
template <class T, class Tokenizer>
class TextTranslator;

}  // namespace MAT_ABI
}  // namespace mat
