// Ranges of the channels of all mappings: of inputs from an importance matrix, of weights by a pass over
// them. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "llmq/formats/imatrix.hpp"
#include "llmq/model/source.hpp"
#include "llmq/pipeline/stage_context.hpp"
#include "llmq/smoothquant/mapping.hpp"
#include "llmq/smoothquant/scales.hpp"

namespace llmq {

/// True if the matrix has the largest inputs of all balance weights: llama.cpp's forms have not.
bool has_input_ranges(const Imatrix& imatrix, const std::vector<SmoothMapping>& mappings);

/// Collective: by mapping, the same on every rank; weights are shared out over ranks and threads.
/// @throws Error(smoothquant) that names weight and column for NaN or Inf.
std::vector<ChannelRanges> measure_ranges(const StageContext& context, const ModelSource& source,
                                          const Imatrix& imatrix, const std::vector<SmoothMapping>& mappings);

}  // namespace llmq
