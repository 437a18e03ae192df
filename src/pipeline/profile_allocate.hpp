// Layer assignments of a model that is there: what the bit allocation would give each layer.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "llmq/allocate/profile.hpp"
#include "llmq/pipeline/profile.hpp"
#include "llmq/pipeline/stage_context.hpp"

namespace llmq {

/// Collective; the same on every rank. Makes the error table beside the imatrix unless it is there. One
/// assignment for each layer and for what stands outside: its bits in the best choice within the target,
/// rounded up to ten-thousandths, protected where the imatrix names super weights.
/// @throws what level dynamic throws.
std::vector<LayerAssignment> assign_by_allocation(const StageContext& context,
                                                  const ProfileCreateOptions& options);

}  // namespace llmq
