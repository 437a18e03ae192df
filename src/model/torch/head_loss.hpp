// Next-token loss of one sample and its gradient, the vocabulary a chunk at a time: logits of all tokens and
// the whole vocabulary never exist together. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "model/torch/weights.hpp"

namespace llmq::torch_pass {

inline constexpr std::size_t kVocabularyChunk = 2048;

/// Buffers of one thread, grown once and kept.
struct HeadScratch {
  std::vector<float> logits;       // [tokens - 1, chunk]
  std::vector<float> tops;         // [tokens - 1], largest logit
  std::vector<double> sums;        // [tokens - 1], of e^(logit - top)
  std::vector<float> next_logits;  // [tokens - 1], of the true next token
};

/// Mean over positions 0..tokens-2 of -ln p(ids[t + 1]), in nats. logits = normed output^T + bias.
/// @param normed    [tokens, hidden]   @param d_normed  out: gradient of the loss, the last position's is 0
/// @param ids       at least two
double next_token_loss(const Linear& output, std::span<const std::int32_t> ids, const float* normed,
                       float* d_normed, HeadScratch& scratch);

}  // namespace llmq::torch_pass
