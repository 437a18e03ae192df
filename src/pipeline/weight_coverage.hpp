// The top fraction of all weights by w^2 times the importance of their column. SPDX-License-Identifier:
// Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "llmq/formats/imatrix.hpp"
#include "llmq/model/source.hpp"
#include "llmq/pipeline/stage_context.hpp"

namespace llmq {

/// Collective. The imatrix need only be whole on rank 0, which gets the result: flat indices (GGUF's order of
/// rows), ascending, by tensor. Among equal scores the first in the order of tensors' names and indices
/// counts. Ranks share the rows; no rank holds more than some rows and the indices it found.
/// @param coverage  in (0, 1]; at least one weight is taken
std::map<std::string, std::vector<std::uint64_t>> find_covered(const StageContext& context,
                                                               const ModelSource& source,
                                                               const Imatrix& imatrix, double coverage);

}  // namespace llmq
