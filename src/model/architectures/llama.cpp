// Llama 1, 2, 3: RMSNorm, rotary positions, grouped-query attention, SwiGLU. GGUF keeps the rows of attn_q
// and attn_k with rotated pairs adjacent. Names: docs/formats/gguf.md. SPDX-License-Identifier: Apache-2.0
#include <array>

#include <fmt/format.h>

#include "model/architectures/architecture.hpp"

namespace llmq {
namespace {

constexpr std::array<std::string_view, 1> kClasses = {"LlamaForCausalLM"};

void add_layer(const ModelSpec& spec, std::int32_t layer, std::vector<TensorRule>& rules) {
  const std::uint64_t hidden = spec.hidden_size;
  const std::uint64_t ffn = spec.intermediate_size;
  const std::uint64_t q_rows = std::uint64_t{spec.n_heads} * spec.head_dim;
  const std::uint64_t kv_rows = std::uint64_t{spec.n_kv_heads} * spec.head_dim;
  const auto add = [&](std::string_view hf, std::string_view gguf, std::vector<std::uint64_t> shape,
                       bool required = true, std::uint32_t heads = 0) {
    rules.push_back({fmt::format("model.layers.{}.{}", layer, hf), fmt::format("blk.{}.{}", layer, gguf),
                     std::move(shape), layer, required, heads});
  };
  add("input_layernorm.weight", "attn_norm.weight", {hidden});
  add("self_attn.q_proj.weight", "attn_q.weight", {q_rows, hidden}, true, spec.n_heads);
  add("self_attn.q_proj.bias", "attn_q.bias", {q_rows}, spec.attention_bias, spec.n_heads);
  add("self_attn.k_proj.weight", "attn_k.weight", {kv_rows, hidden}, true, spec.n_kv_heads);
  add("self_attn.k_proj.bias", "attn_k.bias", {kv_rows}, spec.attention_bias, spec.n_kv_heads);
  add("self_attn.v_proj.weight", "attn_v.weight", {kv_rows, hidden});
  add("self_attn.v_proj.bias", "attn_v.bias", {kv_rows}, spec.attention_bias);
  add("self_attn.o_proj.weight", "attn_output.weight", {hidden, q_rows});
  add("self_attn.o_proj.bias", "attn_output.bias", {hidden}, spec.attention_bias);
  add("post_attention_layernorm.weight", "ffn_norm.weight", {hidden});
  add("mlp.gate_proj.weight", "ffn_gate.weight", {ffn, hidden});
  add("mlp.gate_proj.bias", "ffn_gate.bias", {ffn}, spec.mlp_bias);
  add("mlp.up_proj.weight", "ffn_up.weight", {ffn, hidden});
  add("mlp.up_proj.bias", "ffn_up.bias", {ffn}, spec.mlp_bias);
  add("mlp.down_proj.weight", "ffn_down.weight", {hidden, ffn});
  add("mlp.down_proj.bias", "ffn_down.bias", {hidden}, spec.mlp_bias);
}

std::vector<TensorRule> tensor_rules(const ModelSpec& spec) {
  std::vector<TensorRule> rules;
  const std::uint64_t hidden = spec.hidden_size;
  rules.push_back({"model.embed_tokens.weight", "token_embd.weight", {spec.vocab_size, hidden}, -1, true, 0});
  rules.push_back({"model.norm.weight", "output_norm.weight", {hidden}, -1, true, 0});
  rules.push_back(
      {"lm_head.weight", "output.weight", {spec.vocab_size, hidden}, -1, !spec.tied_embeddings, 0});
  for (std::uint32_t layer = 0; layer < spec.n_layers; ++layer) {
    add_layer(spec, static_cast<std::int32_t>(layer), rules);
  }
  return rules;
}

void write_metadata(const ModelSpec& spec, GgufMetadata& metadata) {
  metadata.set("llama.vocab_size", spec.vocab_size);
  metadata.set("llama.rope.dimension_count", spec.head_dim);
}

}  // namespace

const Architecture kLlamaArchitecture = {"llama", kClasses, &tensor_rules, &write_metadata};

}  // namespace llmq
