// What a choice of types means layer by layer, for people and for the JSON result.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "llmq/allocate/allocation.hpp"
#include "llmq/pipeline/dynamic.hpp"
#include "llmq/pipeline/quantize_plan.hpp"

#include "pipeline/dynamic_problem.hpp"

namespace llmq {

/// Layers in order, then what stands outside them.
/// @param protection  null: nothing is protected
std::vector<LayerSummary> summarize_layers(const std::vector<DynamicTensor>& tensors, const Choices& choices,
                                           const Protection* protection);

/// "  - Attention layers (16): 4.1-bit": the average bits of attention, MLP, embeddings and output.
std::vector<std::string> kind_lines(const std::vector<DynamicTensor>& tensors, const Choices& choices);

}  // namespace llmq
