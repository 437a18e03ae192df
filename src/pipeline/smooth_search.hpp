// The exponent of each mapping by trial: the smallest output error of its int8 products on samples that were
// not used for the ranges. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "llmq/model/source.hpp"
#include "llmq/pipeline/samples.hpp"
#include "llmq/pipeline/stage_context.hpp"
#include "llmq/smoothquant/mapping.hpp"
#include "llmq/smoothquant/scales.hpp"

namespace llmq {

/// Exponents that are tried, in this order; the first of equal ones wins.
inline constexpr double kTriedAlphas[] = {0.5, 0.0, 0.1, 0.2, 0.3, 0.4, 0.6, 0.7, 0.8, 0.9, 1.0};

/// Sums of squared differences to the f32 product, over tokens and outputs of all balance weights.
struct SmoothTrials {
  double unfolded = 0;         ///< with all scales 1
  std::vector<double> folded;  ///< by index in kTriedAlphas
  double product = 0;          ///< sum of the f32 product's squares
};

/// Collective: by mapping, the same on every rank. Samples are shared out over ranks, mappings and exponents
/// over threads; ranks and threads change no bit. @throws Error(importance) for NaN or Inf in the pass.
std::vector<SmoothTrials> try_alphas(const StageContext& context, const ModelSource& source,
                                     const std::vector<SmoothMapping>& mappings,
                                     const std::vector<ChannelRanges>& ranges, const SampleSet& samples);

}  // namespace llmq
