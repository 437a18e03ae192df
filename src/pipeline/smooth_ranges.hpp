// Ranges of the channels of all mappings: of inputs from an importance matrix, of weights by a pass over
// them. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "llmq/formats/imatrix.hpp"
#include "llmq/model/source.hpp"
#include "llmq/pipeline/stage_context.hpp"
#include "llmq/smoothquant/column_ranges.hpp"
#include "llmq/smoothquant/mapping.hpp"
#include "llmq/smoothquant/scales.hpp"

namespace llmq {

using ColumnMap = std::map<std::string, WeightColumns>;  ///< by GGUF name

/// Linear weights whose largest inputs the matrix does not tell: llama.cpp's forms tell none. Empty: it has
/// all.
/// @param kept  weights that do not matter
/// @throws Error(imatrix) when no entry is of this model or one has another size.
std::vector<std::string> without_input_ranges(const Imatrix& imatrix, const ModelSource& source,
                                              const std::set<std::string>& kept = {});

/// Collective: all balance weights, the same on every rank; they are shared out over ranks and threads.
/// @throws Error(smoothquant) that names weight and column for NaN or Inf.
ColumnMap measure_columns(const StageContext& context, const ModelSource& source,
                          const std::vector<SmoothMapping>& mappings);

/// By mapping. The matrix must have the ranges of all balance weights.
std::vector<ChannelRanges> channel_ranges(const ModelSpec& spec, const Imatrix& imatrix,
                                          const ColumnMap& columns,
                                          const std::vector<SmoothMapping>& mappings);

}  // namespace llmq
