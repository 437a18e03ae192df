// One layer of the Llama family, the embedding and the head as they stand in memory.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "llmq/model/forward.hpp"

#include "model/torch/weights.hpp"

namespace llmq::torch_pass {

/// Weights of all experts of a layer, one after the other.
struct Experts {
  std::vector<float> router;       ///< [experts, hidden]
  Values gate, up, down;           ///< [experts, ffn, hidden] twice, [experts, hidden, ffn]
  std::vector<float> shared_gate;  ///< [hidden], of the expert that sees all tokens; empty: there is none
  std::uint64_t bytes() const noexcept {
    return 4 * (router.size() + gate.size() + up.size() + down.size() + shared_gate.size());
  }
};

/// q, k, v and gate, up are stacked into one matrix each. Norms that the architecture has not are empty;
/// those with a bias have it behind the weight.
struct Layer final : LayerWeights {
  std::uint32_t index = 0;
  std::vector<float> attention_norm, ffn_norm;            ///< before their products
  std::vector<float> q_norm, k_norm;                      ///< [head_dim], or [heads x head_dim]
  std::vector<float> attention_post_norm, ffn_post_norm;  ///< behind their products
  Linear qkv, attention_output;
  Linear gate_up, down;            ///< of all tokens: the MLP, or the shared expert; empty without one
  std::optional<Experts> experts;  ///< none: one MLP for all tokens
  std::uint64_t bytes() const noexcept override {
    return 4 * (attention_norm.size() + ffn_norm.size() + q_norm.size() + k_norm.size() +
                attention_post_norm.size() + ffn_post_norm.size()) +
           qkv.bytes() + attention_output.bytes() + gate_up.bytes() + down.bytes() +
           (experts ? experts->bytes() : 0);
  }
};

struct Embedding final : LayerWeights {
  Values table;
  std::uint64_t bytes() const noexcept override { return 4 * table.size(); }
};

struct Head final : LayerWeights {
  std::vector<float> norm;
  Linear output;
  std::size_t first_token = 0;  ///< of a part of the vocabulary
  std::uint64_t bytes() const noexcept override { return 4 * norm.size() + output.bytes(); }
};

}  // namespace llmq::torch_pass
