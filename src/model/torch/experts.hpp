// A layer of experts: a router gives every token to a few of many MLPs and adds up what they make of it by
// shares. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "llmq/model/forward.hpp"

#include "model/torch/layer.hpp"
#include "model/torch/layer_parts.hpp"
#include "model/torch/matmul.hpp"

namespace llmq::torch_pass {

/// Buffers of one thread, grown once and kept.
struct ExpertScratch {
  std::vector<float> logits;                    // [rows, experts]
  std::vector<float> shares;                    // [rows, experts], 0: not used
  std::vector<std::uint32_t> order;             // experts of a token, largest logit first
  std::vector<std::uint32_t> tokens;            // rows of one expert
  std::vector<float> x, gate_up, activated, y;  // of one expert
};

/// A product y = x w^T, such that a row's bits depend on the row alone or on how many there are.
using Multiply = void (*)(MatrixView<const float>, MatrixView<const float>, MatrixView<float>, Product);

/// out [rows, hidden] += what the experts make of x [rows, hidden], expert by expert.
/// @param observer  may be empty
void add_experts(const LayerShape& shape, const Layer& layer, const float* x, std::size_t rows, float* out,
                 Multiply multiply, const MatmulObserver& observer, ExpertScratch& scratch);

/// product [rows, hidden] of the expert that sees all tokens, times the number that gates it.
void gate_shared_expert(const Layer& layer, const float* x, std::size_t rows, float* product);

/// Values an ExpertScratch comes to hold for so many rows.
std::uint64_t scratch_values(const LayerShape& shape, std::size_t rows) noexcept;

}  // namespace llmq::torch_pass
