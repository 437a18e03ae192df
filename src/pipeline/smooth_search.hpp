// The scales of each mapping without an exponent of the user's: fitted to the inputs of some samples, and
// chosen by the output errors of the int8 products on others. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "llmq/model/source.hpp"
#include "llmq/pipeline/samples.hpp"
#include "llmq/pipeline/stage_context.hpp"
#include "llmq/smoothquant/mapping.hpp"
#include "llmq/smoothquant/scales.hpp"

namespace llmq {

/// Exponents that the fit may start from; the first of equal ones wins.
inline constexpr double kTriedAlphas[] = {0.5, 0.0, 0.1, 0.2, 0.3, 0.4, 0.6, 0.7, 0.8, 0.9, 1.0};

/// Tokens, of all samples together, that scales are fitted to, and that choose among them.
inline constexpr std::size_t kFitTokens = 8192, kHeldOutTokens = 4096;

/// What becomes of a mapping. Errors are those of the int8 product on held-out samples: root of sum of
/// squares over that of the f32 product, an output's squares divided by its row's (smooth_trial.hpp).
struct SmoothChoice {
  bool folded = true;         ///< false: the scales are all 1
  double alpha = 0.5;         ///< the exponent with the least error in the noise model
  bool refined = false;       ///< the scales are the fit's, which started from that exponent's
  std::vector<float> scales;  ///< [channels]
  bool measured = false;      ///< false: an exponent was given, and nothing below is known
  double error = 0;           ///< never above that at 0.5, nor is the noise model's
  double error_at_half = 0, error_unfolded = 0, error_at_alpha = 0;
};

/// Collective: by mapping, the same on every rank. Samples are shared out over ranks and threads, which
/// change no bit. Holds, beside a layer's weights, its inputs and one mapping's balance weights in f32.
/// @param ranges     of `mappings`, in their order
/// @param fitting    samples for the fit
/// @param held_out   samples that choose; none of them in `fitting`, and best of none that made the ranges
/// @throws Error(importance) for NaN or Inf in the pass.
std::vector<SmoothChoice> choose_scales(const StageContext& context, const ModelSource& source,
                                        const std::vector<SmoothMapping>& mappings,
                                        const std::vector<ChannelRanges>& ranges, const SampleSet& fitting,
                                        const SampleSet& held_out);

}  // namespace llmq
