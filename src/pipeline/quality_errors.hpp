// Weights of two models compared tensor by tensor, spread over ranks and threads.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "llmq/model/source.hpp"
#include "llmq/pipeline/quality.hpp"
#include "llmq/pipeline/stage_context.hpp"

namespace llmq {

/// Collective; the lists are filled on rank 0. Same figures on any number of ranks.
void compare_weights(const StageContext& context, const ModelSource& original, const ModelSource& quantized,
                     std::vector<TensorError>& tensors, std::vector<LayerError>& layers);

}  // namespace llmq
