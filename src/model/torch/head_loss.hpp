// Next-token loss and its gradient, one part of the vocabulary at a time: neither the logits nor the output
// matrix are ever whole in memory. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "llmq/model/forward.hpp"

#include "model/torch/weights.hpp"

namespace llmq::torch_pass {

/// Rows [first_token, first_token + out_features) of the output matrix.
struct HeadPart {
  const Linear& output;
  std::size_t first_token;
  float softcap;  ///< of logits; 0: none
};

/// Takes a part's logits into the running tops, sums and true logits.
/// @param normed  [tokens, hidden]   @param logits  scratch, grown to [tokens - 1, part]
void take_logits(const HeadPart& part, std::span<const std::int32_t> ids, const float* normed,
                 HeadProgress& progress, std::vector<float>& logits);

/// Adds a part's share to progress.d_normed [tokens, hidden]; the last position's stays 0.
void add_gradient(const HeadPart& part, std::span<const std::int32_t> ids, const float* normed,
                  HeadProgress& progress, std::vector<float>& logits);

/// Mean of -ln p(next token), in nats.
double mean_loss(const HeadProgress& progress);

}  // namespace llmq::torch_pass
