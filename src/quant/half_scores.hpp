// What codewords of IQ2_S and IQ3_* are worth, in 16 bits: twice as many as floats fit a vector, and sums of
// them are exact. docs/formats/blocks.md, "How numbers are chosen". SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

namespace llmq {

/// Places of SharedMaxima that the codebooks need at most.
inline constexpr std::size_t kMaxPlaces = 160;

/// The scores of a cell at a step are whole multiples of its grain. Where no grain fits, all scores are 0.
struct ScoreGrain {
  float grain = 0, inverse = 0;
};
inline constexpr float kScoreTop = 32000;  ///< that and the rounding of eight terms stay below 2^15
inline constexpr float kLeastScore = 1e-30F, kLargestScore = 1e37F;

/// @param bound  no sum of the terms of a score is larger
inline ScoreGrain score_grain(float bound) noexcept {
  if (!(bound >= kLeastScore && bound <= kLargestScore)) return {};
  return {bound / kScoreTop, kScoreTop / bound};
}

}  // namespace llmq
