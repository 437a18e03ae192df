// Scales of a mapping, from the ranges of its input and its weights. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <vector>

#include "llmq/core/dtype.hpp"

namespace llmq {

/// Largest absolute values by channel. Shapes: [channels].
struct ChannelRanges {
  std::vector<float> input;   ///< over the tokens that were seen
  std::vector<float> weight;  ///< over the rows of all balance weights
};

/// s_j = input_j^alpha / weight_j^(1 - alpha), at least 1e-5. 1 where one of the two is 0: nothing flows
/// there, or nothing is known of it.  @param alpha  in [0, 1]  @throws InternalError when sizes differ,
/// Error(smoothquant) for ranges that are not finite.
std::vector<float> smooth_scales(const ChannelRanges& ranges, double alpha);

/// What the scales become when the norm that is divided by them is stored in `type`: norm / stored value, so
/// that stored norm and multiplied weights together are the original's to the last f32 digit. A norm of 0
/// keeps its scale. Where the divided norm is 0 or Inf in `type`, the norm is stored undivided and the scale
/// is 1, to the rounding of `type`.
/// @param norm    [channels]; becomes what the stored values mean
/// @param offset  of the norm above what is stored of it: Gemma's 1
std::vector<float> scales_of_stored_norm(std::span<float> norm, std::span<const float> scales, DType type,
                                         float offset = 0);

}  // namespace llmq
