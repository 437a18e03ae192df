#include "model/architectures/decoder_rules.hpp"

#include <string>

#include <fmt/format.h>

namespace llmq {
namespace {

class LayerRules {
 public:
  LayerRules(const ModelSpec& spec, std::int32_t layer, std::vector<TensorRule>& rules)
      : spec_(spec), layer_(layer), rules_(rules) {}

  void add(std::string_view hf, std::string_view gguf, std::vector<std::uint64_t> shape, bool required = true,
           std::uint32_t permuted_heads = 0, float offset = 0) {
    rules_.push_back({fmt::format("model.layers.{}.", layer_) + std::string(hf),
                      fmt::format("blk.{}.{}", layer_, gguf), std::move(shape), layer_, required,
                      permuted_heads, offset, 0});
  }
  void add_expert(std::string_view hf, std::string_view gguf, std::vector<std::uint64_t> shape) {
    add(std::string(hf) + ".weight", gguf, std::move(shape));
    rules_.back().experts = spec_.n_experts;
  }
  /// Nothing where the architecture has no such norm.
  void add_norm(std::string_view hf, std::string_view gguf, std::uint64_t width) {
    if (hf.empty()) return;
    add(std::string(hf) + ".weight", std::string(gguf) + ".weight", {width}, true, 0, spec_.norm_offset);
    if (spec_.norm == Norm::layer) add(std::string(hf) + ".bias", std::string(gguf) + ".bias", {width});
  }

 private:
  const ModelSpec& spec_;
  std::int32_t layer_;
  std::vector<TensorRule>& rules_;
};

void add_qkv(const ModelSpec& spec, const DecoderStyle& style, LayerRules& rules) {
  const std::uint64_t hidden = spec.hidden_size, q_rows = std::uint64_t{spec.n_heads} * spec.head_dim,
                      kv_rows = std::uint64_t{spec.n_kv_heads} * spec.head_dim;
  const std::uint32_t q_heads = style.permuted ? spec.n_heads : 0,
                      kv_heads = style.permuted ? spec.n_kv_heads : 0;
  const bool bias = style.qkv_bias || spec.attention_bias;
  rules.add("self_attn.q_proj.weight", "attn_q.weight", {q_rows, hidden}, true, q_heads);
  rules.add("self_attn.q_proj.bias", "attn_q.bias", {q_rows}, bias, q_heads);
  rules.add("self_attn.k_proj.weight", "attn_k.weight", {kv_rows, hidden}, true, kv_heads);
  rules.add("self_attn.k_proj.bias", "attn_k.bias", {kv_rows}, bias, kv_heads);
  rules.add("self_attn.v_proj.weight", "attn_v.weight", {kv_rows, hidden});
  rules.add("self_attn.v_proj.bias", "attn_v.bias", {kv_rows}, bias);
}

void add_mlp(const ModelSpec& spec, LayerRules& rules) {
  const std::uint64_t hidden = spec.hidden_size, ffn = spec.intermediate_size;
  if (spec.fused_gate_up) {
    rules.add("mlp.gate_up_proj.weight", "ffn_up.weight", {2 * ffn, hidden});
    rules.add("mlp.down_proj.weight", "ffn_down.weight", {hidden, ffn});
    return;
  }
  rules.add("mlp.gate_proj.weight", "ffn_gate.weight", {ffn, hidden});
  rules.add("mlp.gate_proj.bias", "ffn_gate.bias", {ffn}, spec.mlp_bias);
  rules.add("mlp.up_proj.weight", "ffn_up.weight", {ffn, hidden});
  rules.add("mlp.up_proj.bias", "ffn_up.bias", {ffn}, spec.mlp_bias);
  rules.add("mlp.down_proj.weight", "ffn_down.weight", {hidden, ffn});
  rules.add("mlp.down_proj.bias", "ffn_down.bias", {hidden}, spec.mlp_bias);
}

void add_experts(const ModelSpec& spec, const DecoderStyle& style, LayerRules& rules) {
  const std::uint64_t hidden = spec.hidden_size, ffn = spec.expert_ffn, experts = spec.n_experts,
                      shared = spec.shared_ffn;
  rules.add(std::string(style.router) + ".weight", "ffn_gate_inp.weight", {experts, hidden});
  rules.add_expert(style.expert_gate, "ffn_gate_exps.weight", {experts, ffn, hidden});
  rules.add_expert(style.expert_up, "ffn_up_exps.weight", {experts, ffn, hidden});
  rules.add_expert(style.expert_down, "ffn_down_exps.weight", {experts, hidden, ffn});
  if (shared == 0) return;
  rules.add("mlp.shared_expert_gate.weight", "ffn_gate_inp_shexp.weight", {1, hidden});
  rules.add("mlp.shared_expert.gate_proj.weight", "ffn_gate_shexp.weight", {shared, hidden});
  rules.add("mlp.shared_expert.up_proj.weight", "ffn_up_shexp.weight", {shared, hidden});
  rules.add("mlp.shared_expert.down_proj.weight", "ffn_down_shexp.weight", {hidden, shared});
}

void add_layer(const ModelSpec& spec, const DecoderStyle& style, LayerRules rules) {
  const std::uint64_t hidden = spec.hidden_size, dim = spec.head_dim;
  const std::uint64_t q_rows = std::uint64_t{spec.n_heads} * dim,
                      kv_rows = std::uint64_t{spec.n_kv_heads} * dim;
  rules.add_norm(style.attention_norm, "attn_norm", hidden);
  if (spec.fused_qkv)
    rules.add("self_attn.qkv_proj.weight", "attn_qkv.weight", {q_rows + 2 * kv_rows, hidden});
  else
    add_qkv(spec, style, rules);
  if (spec.qk_norm != QkNorm::none) {
    const bool by_head = spec.qk_norm == QkNorm::head;
    rules.add_norm("self_attn.q_norm", "attn_q_norm", by_head ? dim : q_rows);
    rules.add_norm("self_attn.k_norm", "attn_k_norm", by_head ? dim : kv_rows);
  }
  rules.add("self_attn.o_proj.weight", "attn_output.weight", {hidden, q_rows});
  rules.add("self_attn.o_proj.bias", "attn_output.bias", {hidden}, style.output_bias && spec.attention_bias);
  rules.add_norm(style.attention_post_norm, "post_attention_norm", hidden);
  rules.add_norm(style.ffn_norm, "ffn_norm", hidden);
  if (spec.n_experts == 0)
    add_mlp(spec, rules);
  else
    add_experts(spec, style, rules);
  rules.add_norm(style.ffn_post_norm, "post_ffw_norm", hidden);
}

}  // namespace

std::vector<TensorRule> decoder_rules(const ModelSpec& spec, const DecoderStyle& style) {
  std::vector<TensorRule> rules;
  const std::uint64_t hidden = spec.hidden_size;
  rules.push_back(
      {"model.embed_tokens.weight", "token_embd.weight", {spec.vocab_size, hidden}, -1, true, 0, 0, 0});
  rules.push_back({"model.norm.weight", "output_norm.weight", {hidden}, -1, true, 0, spec.norm_offset, 0});
  if (spec.norm == Norm::layer)
    rules.push_back({"model.norm.bias", "output_norm.bias", {hidden}, -1, true, 0, 0, 0});
  rules.push_back(
      {"lm_head.weight", "output.weight", {spec.vocab_size, hidden}, -1, !spec.tied_embeddings, 0, 0, 0});
  for (std::uint32_t layer = 0; layer < spec.n_layers; ++layer)
    add_layer(spec, style, LayerRules(spec, static_cast<std::int32_t>(layer), rules));
  return rules;
}

}  // namespace llmq
