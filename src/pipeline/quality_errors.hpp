// Weights of two models compared tensor by tensor, spread over ranks and threads.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <vector>

#include "llmq/model/source.hpp"
#include "llmq/pipeline/quality.hpp"
#include "llmq/pipeline/stage_context.hpp"

#include "pipeline/layer_statistics.hpp"

namespace llmq {

/// Importance of the columns of weights by GGUF name: mean a^2 of their inputs.
using ColumnImportance = std::map<std::string, std::vector<double>>;

/// Collective: what rank 0 has gathered by layer, on all ranks.
ColumnImportance share_importance(const Communicator& comm, const ModelSpec& spec,
                                  std::vector<LayerStatistics>& statistics);

/// Collective; the lists are filled on rank 0. Same figures on any number of ranks.
/// @param importance  weights without an entry get no weighted error
void compare_weights(const StageContext& context, const ModelSource& original, const ModelSource& quantized,
                     const ColumnImportance& importance, std::vector<TensorError>& tensors,
                     std::vector<LayerError>& layers);

}  // namespace llmq
