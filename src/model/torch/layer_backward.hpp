// Gradient through one layer. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

#include "llmq/model/forward.hpp"

#include "model/torch/layer.hpp"
#include "model/torch/layer_parts.hpp"
#include "model/torch/scratch.hpp"
#include "model/torch/stage_clock.hpp"

namespace llmq::torch_pass {

/// See ForwardPass::backward_layer.
void layer_backward(const LayerShape& shape, const Layer& layer, const Rope& rope, const float* input,
                    float* gradient, const GradientObserver& observer, Scratch& scratch, StageTotals& stages);

}  // namespace llmq::torch_pass
