// Comparison of two models' predictions at one position.
// Protocol and formulas: docs/formats/evaluation.md (that of llama-perplexity: second half of each chunk).
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace llmq {

/// One scored position.
struct PositionScore {
  double nll_original = 0;  ///< -ln p(next token), original model
  double nll_quantized = 0;
  double kld = 0;                  ///< sum_k p_k (ln p_k - ln q_k), p original, q quantized
  double delta_p = 0;              ///< q(next) - p(next)
  std::int32_t top_original = 0;   ///< most likely token (the first one on ties)
  std::int32_t top_quantized = 0;  ///< likewise

  bool same_top() const noexcept { return top_original == top_quantized; }
};

/// First and one past the last scored position of a chunk of `ctx` tokens: position j predicts token j + 1.
/// Example: ctx 512 -> [256, 511), 255 scores.
struct ScoredRange {
  std::size_t begin = 0;
  std::size_t end = 0;

  std::size_t size() const noexcept { return end - begin; }
};
ScoredRange scored_range(std::size_t ctx) noexcept;

/// What scores take from the original's logits z at one position: made once, used for every candidate.
struct OriginalPrediction {
  double log_sum = 0;     ///< ln sum_k e^z_k
  double mass = 0;        ///< sum_k e^(z_k - max z)
  double mean_logit = 0;  ///< sum_k p_k z_k
  double nll = 0;         ///< of the next token
  std::int32_t top = 0;

  /// False when a logit was NaN or infinite; nothing else then has a meaning.
  bool finite() const noexcept;
};

/// @param logits  [vocab]; become e^(z_k - max z), as score_position takes them
/// @throws InternalError if `next_token` is none of the vocabulary.  Local. The same bits on every
/// instruction set.
OriginalPrediction take_original(std::span<float> logits, std::int32_t next_token);

/// Scores a candidate's logits at the position of `original`. `kld` is not finite when a logit is not; equal
/// logits give exactly 0.  @param masses, quantized  [vocab].  Local. The same bits on every instruction set.
PositionScore score_position(const OriginalPrediction& original, std::span<const float> masses,
                             std::span<const float> quantized, std::int32_t next_token);

}  // namespace llmq
