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
  float scale = 0;         ///< of scores; 0: 1 / sqrt(head_dim)
  float softcap = 0;       ///< 0: none
  std::size_t window = 0;  ///< tokens that one sees, its own included; 0: all before it

  std::size_t group() const noexcept { return heads / kv_heads; }
  /// Values of one row [q | k | v].
  std::size_t qkv_width() const noexcept { return (heads + 2 * kv_heads) * head_dim; }
  float score_scale() const noexcept;
  /// Tokens of a block: as many as make a product tall enough, as few as keep the wasted triangle small.
  std::size_t block_tokens() const noexcept;
  /// The first key that the token at `position` sees.
  std::size_t first_key(std::size_t position) const noexcept {
    return window != 0 && position + 1 > window ? position + 1 - window : 0;
  }
};

/// Buffers of one thread, grown once and kept.
struct AttentionScratch {
  std::vector<float> stacked;       // [group x block, head_dim]: queries, later results
  std::vector<float> scores;        // [group x block, tokens]
  std::vector<float> inverse_sums;  // [group x block]
};
/// Values an AttentionScratch comes to hold.
std::size_t scratch_values(const AttentionShape& shape) noexcept;

/// Rows of tokens [begin, begin + rows) against keys [first_key(begin), begin + rows): products become
/// exponentials of their shares, 0 for keys that a token does not see, with 1 / their sum.
/// @param scores  [rows, begin + rows - first_key(begin)]  @param inverse_sums  [rows]
void softmax_of_block(const AttentionShape& shape, std::size_t begin, std::size_t rows, float* scores,
                      float* inverse_sums);

/// @param qkv  [tokens, qkv_width], not yet rotated; its keys are rotated in place
/// @param out  [tokens, heads x head_dim]
void attention(const AttentionShape& shape, const Rope& rope, float* qkv, float* out,
               AttentionScratch& scratch);

}  // namespace llmq::torch_pass
