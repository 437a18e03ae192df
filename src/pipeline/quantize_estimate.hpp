// How long a quantize run will take, from a sample of each type of its plan. SPDX-License-Identifier:
// Apache-2.0
#pragma once

#include "llmq/model/source.hpp"
#include "llmq/pipeline/quantize_plan.hpp"
#include "llmq/pipeline/stage_context.hpp"

namespace llmq {

/// Seconds of reading and encoding on all ranks' threads, without what a slow disk adds. Rank 0 encodes a few
/// rows of the largest tensor of each type, some milliseconds each; 0 on the others. Collective.
double estimate_seconds(const StageContext& context, const ModelSource& source, const QuantizePlan& plan);

}  // namespace llmq
