// Names that profiles use for tensors: GGUF's, Hugging Face's, and patterns of both.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace llmq {

/// True if `text` is `pattern`, in which `*` stands for any run of characters.
bool matches_pattern(std::string_view pattern, std::string_view text) noexcept;
/// "blk.0.attn_v.weight" -> "attn_v", "output.weight" -> "output".
std::string_view tensor_role(std::string_view gguf_name) noexcept;
/// Hugging Face name without ".weight": "model.layers.0.self_attn.q_proj", "lm_head".
std::string module_name(std::string_view gguf_name);
/// Every name that an assignment may use for a tensor: its GGUF and its Hugging Face name, and what stands
/// before each of their dots. blk.0.attn_q.weight -> "blk", "blk.0", "blk.0.attn_q", "blk.0.attn_q.weight",
/// "model", "model.layers", "model.layers.0", "model.layers.0.self_attn", "model.layers.0.self_attn.q_proj".
std::vector<std::string> tensor_names(std::string_view gguf_name);

}  // namespace llmq
