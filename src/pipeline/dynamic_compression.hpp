// The profile compression-max: the smallest file whose predictions stay coherent, by measurement.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "llmq/allocate/allocation.hpp"
#include "llmq/pipeline/samples.hpp"
#include "llmq/pipeline/stage_context.hpp"

#include "pipeline/atlas_errors.hpp"
#include "pipeline/dynamic_problem.hpp"

namespace llmq {

struct CompressionChoice {
  Choices choices;
  std::vector<std::string> decision;  ///< a line a size that was tried
};

/// Collective; the same on every rank. Sizes between the smallest and the largest that the limits allow are
/// tried, a few at once and then a few between two of them: the smallest whose perplexity on `samples` is at
/// most `threshold_pct` above the original's, the largest tried where none is.
/// @param tasks  of the tensors, in the same order
/// @param allocate_within  on rank 0: the best choices of at most so many bytes
CompressionChoice compress_most(const StageContext& context, const ModelSource& source,
                                const std::vector<DynamicTensor>& tensors, std::span<const AtlasTask> tasks,
                                const SampleSet& samples, double threshold_pct, std::uint64_t least_bytes,
                                std::uint64_t most_bytes,
                                const std::function<Choices(std::uint64_t)>& allocate_within);

}  // namespace llmq
