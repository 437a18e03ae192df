// Causal grouped-query attention of one sample. The query heads that share a key head are stacked into one
// tall product, for blocks of tokens against the keys up to the block's end: most of the upper triangle is
// skipped and keys are packed once a group. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <vector>

#include "model/torch/rope.hpp"

namespace llmq::torch_pass {

struct AttentionShape {
  std::size_t tokens = 0;
  std::size_t heads = 0;
  std::size_t kv_heads = 0;
  std::size_t head_dim = 0;

  std::size_t group() const noexcept { return heads / kv_heads; }
  /// Values of one row [q | k | v].
  std::size_t qkv_width() const noexcept { return (heads + 2 * kv_heads) * head_dim; }
  /// Tokens of a block: as many as make a product tall enough, as few as keep the wasted triangle small.
  std::size_t block_tokens() const noexcept;
};

/// Buffers of one thread, grown once and kept.
struct AttentionScratch {
  std::vector<float> stacked;       // [group x block, head_dim]: queries, later results
  std::vector<float> scores;        // [group x block, tokens]
  std::vector<float> inverse_sums;  // [group x block]
};
/// Values an AttentionScratch comes to hold.
std::size_t scratch_values(const AttentionShape& shape) noexcept;

/// @param qkv  [tokens, qkv_width], not yet rotated; its keys are rotated in place
/// @param out  [tokens, heads x head_dim]
void attention(const AttentionShape& shape, const Rope& rope, float* qkv, float* out,
               AttentionScratch& scratch);

}  // namespace llmq::torch_pass
