// Tensors of a dense decoder with gated MLP, which most architectures are: a row of `add` each, by what the
// spec says and what the architecture calls its norms. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>
#include <vector>

#include "model/architectures/architecture.hpp"

namespace llmq {

struct DecoderStyle {
  bool permuted = false;  ///< GGUF keeps rotated pairs adjacent
  /// Hugging Face names of the norms of a layer; empty: there is none.
  std::string_view attention_norm = "input_layernorm", ffn_norm = "post_attention_layernorm";
  std::string_view attention_post_norm, ffn_post_norm;
  bool qkv_bias = false;  ///< always there
  /// Of a layer of experts: its router, and an expert's gate, up and down with "{}" for its number.
  std::string_view router = "mlp.gate";
  std::string_view expert_gate = "mlp.experts.{}.gate_proj", expert_up = "mlp.experts.{}.up_proj",
                   expert_down = "mlp.experts.{}.down_proj";
  bool output_bias = false;  ///< of attention: with the others, where spec.attention_bias says so
};

std::vector<TensorRule> decoder_rules(const ModelSpec& spec, const DecoderStyle& style);

/// For architectures that add nothing.
inline void read_no_config(const ConfigReader&, ModelSpec&) {}
inline void read_no_gguf(const GgufMetadata&, ModelSpec&) {}
inline void write_no_metadata(const ModelSpec&, GgufMetadata&) {}

}  // namespace llmq
