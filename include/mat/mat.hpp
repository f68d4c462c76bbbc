#pragma once

/// Memory-Augmented Transformers on the CPU: every layer with its forward and its hand-written backward pass.
///
///     text -> tokens + Sequences -> Embedding -> TransformerEncoder -> MemoryLayer -> SelfAttention -> head -> loss
///                                      ^             |    ^                                             |
///                                      |             v    | read                                        v
///                                  gradients      write -> Memory state -> next segment              backward
///
/// Activations are row-major [tokens, features]; `Sequences` says which rows belong to which sequence of a batch, so
/// there is no padding. A model is a plain value of tensors, and its gradient has the same type. Layers are const: what
/// a forward leaves for its backward lies in a cache that the caller owns.
///
/// The folders, each of which includes only those before it: core, ops, layers, blocks, memory, models, training, io.
/// This header includes all but io, which not every program needs: <mat/io/checkpoint.hpp> and the others are extra.
namespace mat {}

#include <mat/blocks/decoder_layer.hpp>
#include <mat/blocks/encoder_layer.hpp>
#include <mat/blocks/key_value_cache.hpp>
#include <mat/blocks/packed_cross_attention.hpp>
#include <mat/blocks/packed_decoder.hpp>
#include <mat/blocks/packed_decoder_layer.hpp>
#include <mat/blocks/packed_encoder.hpp>
#include <mat/blocks/packed_encoder_layer.hpp>
#include <mat/blocks/packed_self_attention.hpp>
#include <mat/blocks/packed_stack.hpp>
#include <mat/blocks/transformer_decoder.hpp>
#include <mat/blocks/transformer_encoder.hpp>
#include <mat/blocks/transformer_layer_config.hpp>
#include <mat/core/error.hpp>
#include <mat/core/half.hpp>
#include <mat/core/parallel.hpp>
#include <mat/core/random.hpp>
#include <mat/core/sequences.hpp>
#include <mat/core/simd.hpp>
#include <mat/core/tensor.hpp>
#include <mat/core/tensor_view.hpp>
#include <mat/core/threefry.hpp>
#include <mat/core/types.hpp>
#include <mat/layers/added_keys.hpp>
#include <mat/layers/alibi.hpp>
#include <mat/layers/attention_call.hpp>
#include <mat/layers/attention_projections.hpp>
#include <mat/layers/embedding.hpp>
#include <mat/layers/feed_forward.hpp>
#include <mat/layers/initialize.hpp>
#include <mat/layers/layer_norm.hpp>
#include <mat/layers/learned_position.hpp>
#include <mat/layers/linear.hpp>
#include <mat/layers/max_convolution.hpp>
#include <mat/layers/multi_head_attention.hpp>
#include <mat/layers/packed_feed_forward.hpp>
#include <mat/layers/packed_linear.hpp>
#include <mat/layers/parameters.hpp>
#include <mat/layers/relative_position.hpp>
#include <mat/layers/rms_norm.hpp>
#include <mat/layers/rotary_position.hpp>
#include <mat/layers/sinusoidal_position.hpp>
#include <mat/memory/any_memory.hpp>
#include <mat/memory/delta_memory.hpp>
#include <mat/memory/fast_weight_state.hpp>
#include <mat/memory/infini_attention.hpp>
#include <mat/memory/knn_memory.hpp>
#include <mat/memory/last_rows.hpp>
#include <mat/memory/memory.hpp>
#include <mat/memory/memory_kind.hpp>
#include <mat/memory/memory_layer.hpp>
#include <mat/memory/memory_tokens.hpp>
#include <mat/memory/neural_memory.hpp>
#include <mat/memory/neural_write.hpp>
#include <mat/memory/no_memory.hpp>
#include <mat/memory/recurrence.hpp>
#include <mat/memory/recurrent_encoder.hpp>
#include <mat/memory/segment_cache.hpp>
#include <mat/memory/self_attention.hpp>
#include <mat/memory/state_gradient.hpp>
#include <mat/memory/stream_pool.hpp>
#include <mat/models/any_language_model.hpp>
#include <mat/models/beam_search.hpp>
#include <mat/models/classifier_head.hpp>
#include <mat/models/classifier_input.hpp>
#include <mat/models/decoding.hpp>
#include <mat/models/decoding_batch.hpp>
#include <mat/models/decoding_cache.hpp>
#include <mat/models/decoding_config.hpp>
#include <mat/models/document_classifier.hpp>
#include <mat/models/document_decoder.hpp>
#include <mat/models/document_segments.hpp>
#include <mat/models/document_translator.hpp>
#include <mat/models/language_model.hpp>
#include <mat/models/mat.hpp>
#include <mat/models/neural_mat.hpp>
#include <mat/models/packed_translator.hpp>
#include <mat/models/sampling.hpp>
#include <mat/models/segment_classifier.hpp>
#include <mat/models/segment_reader.hpp>
#include <mat/models/source_memory.hpp>
#include <mat/models/stream.hpp>
#include <mat/models/text_classifier.hpp>
#include <mat/models/token_batch.hpp>
#include <mat/models/token_embedding.hpp>
#include <mat/models/token_input.hpp>
#include <mat/models/transformer.hpp>
#include <mat/models/translation_draws.hpp>
#include <mat/models/translator.hpp>
#include <mat/ops/activation.hpp>
#include <mat/ops/attention.hpp>
#include <mat/ops/attention_backward.hpp>
#include <mat/ops/attention_forward.hpp>
#include <mat/ops/attention_mask.hpp>
#include <mat/ops/attention_problem.hpp>
#include <mat/ops/attention_weights.hpp>
#include <mat/ops/content_memory.hpp>
#include <mat/ops/delta_rule.hpp>
#include <mat/ops/dropout.hpp>
#include <mat/ops/dropout_scales.hpp>
#include <mat/ops/earlier_tokens.hpp>
#include <mat/ops/fast_weight_step.hpp>
#include <mat/ops/fast_weights.hpp>
#include <mat/ops/gather.hpp>
#include <mat/ops/hyperbolic_tangent.hpp>
#include <mat/ops/linear_attention.hpp>
#include <mat/ops/matmul.hpp>
#include <mat/ops/matmul_kernel.hpp>
#include <mat/ops/matrix_memory.hpp>
#include <mat/ops/max_over_tokens.hpp>
#include <mat/ops/normal_distribution.hpp>
#include <mat/ops/normalize.hpp>
#include <mat/ops/normalized_memory.hpp>
#include <mat/ops/packed_keys.hpp>
#include <mat/ops/packed_matmul.hpp>
#include <mat/ops/packed_panel.hpp>
#include <mat/ops/packed_tile.hpp>
#include <mat/ops/packed_weights.hpp>
#include <mat/ops/positions.hpp>
#include <mat/ops/residual.hpp>
#include <mat/ops/rotary.hpp>
#include <mat/ops/rows.hpp>
#include <mat/ops/softmax.hpp>
#include <mat/ops/surprise.hpp>
#include <mat/ops/token_shift.hpp>
#include <mat/ops/top_k.hpp>
#include <mat/ops/unit_length.hpp>
#include <mat/ops/windows.hpp>
#include <mat/training/adam.hpp>
#include <mat/training/adamw.hpp>
#include <mat/training/batching.hpp>
#include <mat/training/bleu.hpp>
#include <mat/training/classifier_run.hpp>
#include <mat/training/classifier_trainer.hpp>
#include <mat/training/clip.hpp>
#include <mat/training/cross_entropy.hpp>
#include <mat/training/log_file.hpp>
#include <mat/training/loss_sum.hpp>
#include <mat/training/metrics.hpp>
#include <mat/training/moving_average.hpp>
#include <mat/training/parameter_groups.hpp>
#include <mat/training/progress.hpp>
#include <mat/training/schedule.hpp>
#include <mat/training/segment_classifier_run.hpp>
#include <mat/training/sgd.hpp>
#include <mat/training/stream_evaluation.hpp>
#include <mat/training/stream_trainer.hpp>
#include <mat/training/targets.hpp>
#include <mat/training/trainer.hpp>
#include <mat/training/translator_trainer.hpp>
#include <mat/training/update.hpp>
