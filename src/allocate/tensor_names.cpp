#include "llmq/allocate/tensor_names.hpp"

#include <fmt/format.h>

namespace llmq {
namespace {

struct ModuleRow {
  std::string_view role;
  std::string_view module;  ///< below the layer
};

constexpr ModuleRow kModules[] = {
    {"attn_q", "self_attn.q_proj"},
    {"attn_k", "self_attn.k_proj"},
    {"attn_v", "self_attn.v_proj"},
    {"attn_output", "self_attn.o_proj"},
    {"attn_qkv", "self_attn.qkv_proj"},
    {"attn_norm", "input_layernorm"},
    {"ffn_gate", "mlp.gate_proj"},
    {"ffn_up", "mlp.up_proj"},
    {"ffn_down", "mlp.down_proj"},
    {"ffn_norm", "post_attention_layernorm"},
    {"ffn_gate_inp", "mlp.gate"},
    {"ffn_gate_exps", "mlp.experts.gate_proj"},
    {"ffn_up_exps", "mlp.experts.up_proj"},
    {"ffn_down_exps", "mlp.experts.down_proj"},
    {"ffn_gate_shexp", "mlp.shared_expert.gate_proj"},
    {"ffn_up_shexp", "mlp.shared_expert.up_proj"},
    {"ffn_down_shexp", "mlp.shared_expert.down_proj"},
};

/// "blk.12.attn_q.weight" -> "12"; empty outside the layers.
std::string_view layer_digits(std::string_view gguf_name) noexcept {
  if (!gguf_name.starts_with("blk.")) return {};
  const std::size_t end = gguf_name.find('.', 4);
  return end == std::string_view::npos ? std::string_view() : gguf_name.substr(4, end - 4);
}

std::string module_in_layer(std::string_view role) {
  for (const ModuleRow& row : kModules) {
    if (row.role == role) return std::string(row.module);
  }
  if (role.starts_with("attn_")) return fmt::format("self_attn.{}", role.substr(5));
  if (role.starts_with("ffn_")) return fmt::format("mlp.{}", role.substr(4));
  return std::string(role);
}

void add_with_parents(std::string_view name, std::vector<std::string>& names) {
  for (std::size_t dot = name.find('.'); dot != std::string_view::npos; dot = name.find('.', dot + 1))
    names.emplace_back(name.substr(0, dot));
  names.emplace_back(name);
}

}  // namespace

bool matches_pattern(std::string_view pattern, std::string_view text) noexcept {
  constexpr std::size_t kNone = std::string_view::npos;
  std::size_t p = 0, t = 0, star = kNone, star_text = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      star_text = t;
    } else if (p < pattern.size() && pattern[p] == text[t]) {
      ++p, ++t;
    } else if (star != kNone) {  // let the last star swallow one more
      p = star + 1;
      t = ++star_text;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

std::string_view tensor_role(std::string_view gguf_name) noexcept {
  if (const std::string_view digits = layer_digits(gguf_name); !digits.empty())
    gguf_name.remove_prefix(4 + digits.size() + 1);
  for (const std::string_view ending : {".weight", ".bias"}) {
    if (gguf_name.ends_with(ending)) gguf_name.remove_suffix(ending.size());
  }
  return gguf_name;
}

std::string module_name(std::string_view gguf_name) {
  const std::string_view role = tensor_role(gguf_name);
  if (const std::string_view digits = layer_digits(gguf_name); !digits.empty())
    return fmt::format("model.layers.{}.{}", digits, module_in_layer(role));
  if (role == "output") return "lm_head";
  if (role == "token_embd") return "model.embed_tokens";
  if (role == "output_norm") return "model.norm";
  return std::string(role);
}

std::vector<std::string> tensor_names(std::string_view gguf_name) {
  std::vector<std::string> names;
  add_with_parents(gguf_name, names);
  add_with_parents(module_name(gguf_name), names);
  return names;
}

}  // namespace llmq
