// Causal grouped-query attention of one sample. Query rows go in blocks against the keys up to the block's
// end, so that the upper triangle is mostly skipped; products are libtorch's, softmax is a plain loop.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <vector>

namespace llmq::torch_pass {

struct AttentionShape {
  std::size_t tokens = 0;
  std::size_t heads = 0;
  std::size_t kv_heads = 0;
  std::size_t head_dim = 0;
};

/// @param qkv  [tokens, (heads + 2 kv_heads) x head_dim], rotated   @param out  [tokens, heads x head_dim]
void attention(const AttentionShape& shape, float* qkv, float* out, std::vector<float>& scores);

}  // namespace llmq::torch_pass
