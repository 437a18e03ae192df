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

/// The same for the way back.
struct ExpertBackwardScratch {
  std::vector<float> d_shares;          // [rows, experts], then of the logits
  std::vector<float> d_y, d_activated;  // of one expert
};

/// A product y = x w^T, such that a row's bits depend on the row alone or on how many there are.
using Multiply = void (*)(MatrixView<const float>, MatrixView<const float>, MatrixView<float>, Product);

/// Who looks on, and at which tokens; any of them may be empty.
struct ExpertObservers {
  const MatmulObserver& inputs;
  const ProductObserver& down_product;
  ExpertTokens watched = ExpertTokens::given;
};

/// out [rows, hidden] += what the experts make of x [rows, hidden], expert by expert.
void add_experts(const LayerShape& shape, const Layer& layer, const float* x, std::size_t rows, float* out,
                 Multiply multiply, const ExpertObservers& observers, ExpertScratch& scratch);

// Its parts, which the way back goes again.
/// The shape whose MLP is one expert's.
LayerShape shape_of_expert(const LayerShape& shape) noexcept;
/// Logits and shares of all tokens.
void route(const LayerShape& shape, const Layer& layer, const float* x, std::size_t rows, Multiply multiply,
           ExpertScratch& scratch);
/// Tokens that have a share in an expert, and their rows side by side.
void gather(const LayerShape& shape, std::size_t expert, const float* x, std::size_t rows,
            ExpertScratch& scratch);
/// gate_up, activated and y of the rows gathered.  @param of_expert  shape_of_expert
/// @param inputs  sees what goes into the products; may be empty
void run_expert(const LayerShape& of_expert, const Layer& layer, std::size_t expert, Multiply multiply,
                const MatmulObserver& inputs, ExpertScratch& scratch);

/// The number that gates the expert of all tokens, of one row [hidden].
double shared_share(const std::vector<float>& gate, const float* x);
/// product [rows, hidden] of the expert that sees all tokens, times that number.
void gate_shared_expert(const Layer& layer, const float* x, std::size_t rows, float* product);

/// Values an ExpertScratch comes to hold for so many rows.
std::uint64_t scratch_values(const LayerShape& shape, std::size_t rows) noexcept;

}  // namespace llmq::torch_pass
