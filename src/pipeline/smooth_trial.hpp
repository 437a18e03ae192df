// Output errors of a mapping's real int8 products under some choices of scales. SPDX-License-Identifier:
// Apache-2.0
#pragma once

#include <vector>

#include "llmq/model/source.hpp"
#include "llmq/pipeline/stage_context.hpp"
#include "llmq/smoothquant/mapping.hpp"

namespace llmq {

/// Sums over tokens and outputs of all balance weights; an output's square counts divided by its row's
/// squared norm under the start scales (smooth_fit.hpp).
struct TrialErrors {
  std::vector<double> choices;  ///< squared differences to the f32 product, by choice
  double product = 0;           ///< squares of the f32 product
};

/// Collective, the same on every rank: threads and ranks change no bit.
/// @param inputs   [tokens, in_features] of each sample of this rank
/// @param start    [channels], for the measure
/// @param choices  [channels] each
TrialErrors try_scales(const StageContext& context, const ModelSource& source, const ForwardPass& pass,
                       const SmoothMapping& mapping, const std::vector<std::vector<float>>& inputs,
                       const std::vector<float>& start, const std::vector<std::vector<float>>& choices);

}  // namespace llmq
