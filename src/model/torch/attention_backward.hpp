// Gradient through causal grouped-query attention of one sample, in the same blocks as the forward pass.
// Shares are computed again from the rotated queries and keys: nothing of size tokens x tokens is kept.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "model/torch/attention.hpp"

namespace llmq::torch_pass {

/// Buffers of one thread, grown once and kept.
struct AttentionBackwardScratch {
  std::vector<float> queries;       // [group x block, head_dim], rotated; later their gradient
  std::vector<float> d_attended;    // [group x block, head_dim]
  std::vector<float> shares;        // [group x block, tokens]
  std::vector<float> d_shares;      // [group x block, tokens]
  std::vector<float> slopes;        // [group x block, tokens], of the soft cap
  std::vector<float> inverse_sums;  // [group x block]
  std::vector<float> dots;          // [group x block]
};
/// Values an AttentionBackwardScratch comes to hold.
std::size_t backward_scratch_values(const AttentionShape& shape) noexcept;

/// @param qkv         [tokens, qkv_width] as attention() left it: keys rotated, queries not
/// @param attended    [tokens, heads x head_dim], what attention() gave
/// @param d_attended  its gradient
/// @param d_qkv       out: gradient of qkv before any rotation
void attention_backward(const AttentionShape& shape, const Rope& rope, const float* qkv,
                        const float* attended, const float* d_attended, float* d_qkv,
                        AttentionBackwardScratch& scratch);

}  // namespace llmq::torch_pass
