// Gradient through a layer of experts. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <vector>

#include "model/torch/experts.hpp"
#include "model/torch/weight_gradients.hpp"

namespace llmq::torch_pass {

/// d_x [rows, hidden] += what d_out [rows, hidden] says of the input x of add_experts. The choice of experts
/// counts as given. Gradients of the experts' matrices go by; the router's own does not.
void experts_backward(const LayerShape& shape, const Layer& layer, const float* x, std::size_t rows,
                      const float* d_out, WeightGradients& gradients, float* d_x, ExpertScratch& scratch,
                      ExpertBackwardScratch& back);

/// d_x [rows, hidden] += what d_out [rows, hidden] says of x through the number that gate_shared_expert
/// multiplies the `product` by. What it says of the product is d_out times that number.
void shared_gate_backward(const Layer& layer, const float* x, std::size_t rows, const float* product,
                          const float* d_out, float* d_x);

/// Values an ExpertBackwardScratch comes to hold for so many rows.
std::uint64_t backward_scratch_values(const LayerShape& shape, std::size_t rows) noexcept;

}  // namespace llmq::torch_pass
