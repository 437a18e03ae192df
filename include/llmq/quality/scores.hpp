// Comparison of two models' predictions, position by position, and the figures made of it.
// Protocol and formulas: docs/formats/evaluation.md (that of llama-perplexity: second half of each chunk).
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace llmq {

/// One scored position. Plain data: gathered between ranks as bytes.
struct PositionScore {
  double nll_original = 0;  ///< -ln p(next token), original model
  double nll_quantized = 0;
  double kld = 0;              ///< sum_k p_k (ln p_k - ln q_k), p original, q quantized
  double delta_p = 0;          ///< q(next) - p(next)
  std::uint64_t same_top = 0;  ///< 1 if both models have the same most likely token (first maximum on ties)
};

/// First and one past the last scored position of a chunk of `ctx` tokens: position j predicts token j + 1.
/// Example: ctx 512 -> [256, 511), 255 scores.
struct ScoredRange {
  std::size_t begin = 0;
  std::size_t end = 0;
};
ScoredRange scored_range(std::size_t ctx) noexcept;

/// Scores one position.  @param original, quantized  logits [vocab].  Local.
PositionScore score_position(std::span<const float> original, std::span<const float> quantized,
                             std::int32_t next_token);

/// A mean with its standard error sqrt((mean(x^2) - mean^2) / (n - 1)).
struct MeanError {
  double mean = 0;
  double error = 0;
};

struct QualityMetrics {
  double perplexity_original = 0;
  double perplexity_original_error = 0;
  double perplexity_quantized = 0;
  double perplexity_quantized_error = 0;
  double perplexity_delta_pct = 0;
  double ln_ratio = 0;        ///< mean ln(PPL quantized / PPL original)
  double ln_ratio_error = 0;  ///< paired: covariance taken into account
  MeanError kld;
  double kld_median = 0;
  double kld_p99 = 0;
  double kld_p999 = 0;
  double kld_max = 0;
  double same_top_pct = 0;
  double same_top_error_pct = 0;
  double delta_p_rms_pct = 0;
  std::uint64_t scores = 0;
};

/// Figures over all scores, summed in the order given. @throws InternalError when empty.
QualityMetrics summarize_scores(std::span<const PositionScore> scores);

}  // namespace llmq
