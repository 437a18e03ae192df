// The figures of many scores, gathered chunk by chunk: nothing is kept of single positions. Formulas:
// docs/formats/evaluation.md. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "llmq/core/int128.hpp"
#include "llmq/quality/quantile_sketch.hpp"
#include "llmq/quality/scores.hpp"

namespace llmq {

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
  double ln_ratio = 0;         ///< mean ln(PPL quantized / PPL original)
  double ln_ratio_error = 0;   ///< paired: covariance taken into account
  double correlation_pct = 0;  ///< of ln PPL of both models
  MeanError kld;
  double kld_median = 0;  ///< percentiles within 0.025 %, the largest is exact
  double kld_p99 = 0;
  double kld_p999 = 0;
  double kld_max = 0;
  double same_top_pct = 0;
  double same_top_error_pct = 0;
  MeanError delta_p_pct;  ///< q(next) - p(next)
  double delta_p_rms_pct = 0;
  double delta_p_rms_error_pct = 0;
  double delta_p_p1_pct = 0;  ///< one position in a hundred loses at least that much
  std::uint64_t scores = 0;
};

/// KL divergence at one part of the scored half of the chunks.
struct PositionDivergence {
  double begin = 0, end = 0;  ///< positions of a chunk
  MeanError kld;
};

/// Parts of the scored half that are told apart.
inline constexpr std::size_t kPositionBins = 16;

/// A chunk's sums are made in f64 in the order of its positions and then added as whole numbers, percentiles
/// come from counts: chunks may be added in any order and grouping, the figures stay the same to the last
/// bit.
class ScoreSummary {
 public:
  /// Scores of one whole chunk, in order. @throws Error(importance) if one is not finite.
  void add_chunk(std::span<const PositionScore> scores);
  void merge(const ScoreSummary& other);

  /// @throws InternalError when empty.
  QualityMetrics metrics() const;
  std::uint64_t scores() const noexcept { return n_; }
  /// Along the positions of chunks of `ctx` tokens; parts without scores are left out.
  std::vector<PositionDivergence> along_positions(std::size_t ctx) const;

  /// For the way between ranks.
  std::vector<std::uint64_t> words() const;
  static ScoreSummary from_words(std::span<const std::uint64_t> words);

  friend bool operator==(const ScoreSummary&, const ScoreSummary&) = default;

 private:
  /// q and o: -ln p of the next token, quantized and original.
  enum Sum { q, qq, o, oo, qo, kld, kld_sq, dp, dp_sq, dp_quad, kSums };
  struct Bin {
    std::uint64_t n = 0;
    Int128 kld = 0, kld_sq = 0;
    friend bool operator==(const Bin&, const Bin&) = default;
  };

  double sum(Sum which) const;
  MeanError mean(Sum of, Sum of_squares) const;

  std::uint64_t n_ = 0, same_top_ = 0;
  std::array<Int128, kSums> sums_ = {};
  std::array<Bin, kPositionBins> bins_ = {};
  QuantileSketch kld_sketch_, dp_sketch_;
};

}  // namespace llmq
