// Tensors and configurations of the architectures, as their reference implementations name them: small models
// are made of these, independently of what the readers expect.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <fmt/format.h>

namespace llmq::testing_support {

/// [rows, columns], or a vector of `rows` values around `mean` where there are no columns.
struct MadeTensor {
  std::string name;
  std::uint64_t rows = 0, columns = 0;
  float mean = 1;
};

struct MadeShape {
  std::uint64_t layers = 0, hidden = 0, ffn = 0, vocab = 0, heads = 4, kv_heads = 2, dim = 64;
};

/// What a class adds to a decoder of attention and gated MLP.
struct MadeClass {
  std::string name;
  std::string variant;  ///< what tests call it where a class has several; else its name
  bool fused = false, qkv_bias = false, head_norms = false, token_norms = false, pre_norms = true,
       tied = false;
  /// Norms of a layer beside input_layernorm and those of heads.
  std::vector<std::string> norms = {"post_attention_layernorm"};
  float norm_mean = 1;  ///< of stored norms
  bool norm_bias = false;
  std::uint64_t experts = 0;
  bool shared_expert = false;
  std::string router = "mlp.gate";
  std::vector<std::string> expert = {"mlp.experts.{}.gate_proj", "mlp.experts.{}.up_proj",
                                     "mlp.experts.{}.down_proj"};
  std::string more_config;  ///< members, with a comma in front
};

/// 24 numbers, for heads of 64 of which 48 values are rotated.
inline std::string made_factors(double first, double step) {
  std::string list;
  for (int i = 0; i < 24; ++i) list += fmt::format("{}{:.4f}", list.empty() ? "" : ",", first + step * i);
  return "[" + list + "]";
}

inline std::vector<MadeClass> made_classes() {
  std::vector<MadeClass> classes(11);
  classes[0].name = "LlamaForCausalLM";
  classes[0].more_config =
      ",\"rope_theta\":500000.0,\"rope_scaling\":{\"rope_type\":\"llama3\",\"factor\":8.0,\"low_freq_"
      "factor\":1.0"
      ",\"high_freq_factor\":4.0,\"original_max_position_embeddings\":128}";
  classes[1].name = "MistralForCausalLM";
  classes[1].more_config = ",\"sliding_window\":4096,\"head_dim\":64";
  classes[2].name = "Qwen2ForCausalLM";
  classes[2].qkv_bias = true;
  classes[2].more_config = ",\"use_sliding_window\":false,\"sliding_window\":64,\"rope_theta\":1000000.0";
  classes[3].name = "Qwen3ForCausalLM";
  classes[3].head_norms = true;
  classes[3].more_config = ",\"head_dim\":64,\"rope_theta\":1000000.0";
  MadeClass gemma;
  gemma.tied = true;
  gemma.norms = {"post_attention_layernorm", "pre_feedforward_layernorm", "post_feedforward_layernorm"};
  gemma.norm_mean = 0;
  gemma.more_config =
      ",\"head_dim\":64,\"hidden_activation\":\"gelu_pytorch_tanh\",\"query_pre_attn_scalar\":64";
  classes[4] = gemma;
  classes[4].name = "Gemma2ForCausalLM";
  classes[4].more_config +=
      ",\"sliding_window\":64,\"attn_logit_softcapping\":50.0,\"final_logit_softcapping\":30.0";
  classes[5] = gemma;
  classes[5].name = "Gemma3ForCausalLM";
  classes[5].head_norms = true;
  classes[5].more_config +=
      ",\"sliding_window\":64,\"sliding_window_pattern\":6,\"rope_theta\":1000000.0,\"rope_local_base_freq\":"
      "10000.0"
      ",\"rope_scaling\":{\"rope_type\":\"linear\",\"factor\":8.0}";
  classes[6].name = "Olmo2ForCausalLM";
  classes[6].token_norms = true;
  classes[6].pre_norms = false;
  classes[6].norms = {"post_attention_layernorm", "post_feedforward_layernorm"};
  classes[6].more_config = ",\"rope_theta\":500000.0";
  classes[7].name = "MixtralForCausalLM";
  classes[7].experts = 4;
  classes[7].router = "block_sparse_moe.gate";
  classes[7].expert = {"block_sparse_moe.experts.{}.w1", "block_sparse_moe.experts.{}.w3",
                       "block_sparse_moe.experts.{}.w2"};
  classes[7].more_config = ",\"num_local_experts\":4,\"num_experts_per_tok\":2";
  classes[8].name = "Qwen2MoeForCausalLM";
  classes[8].qkv_bias = classes[8].shared_expert = true;
  classes[8].experts = 6;
  classes[8].more_config =
      ",\"num_experts\":6,\"num_experts_per_tok\":3,\"norm_topk_prob\":false,\"decoder_sparse_step\":1"
      ",\"moe_intermediate_size\":256,\"shared_expert_intermediate_size\":512";
  classes[9].name = "Qwen3MoeForCausalLM";
  classes[9].head_norms = true;
  classes[9].experts = 8;
  classes[9].more_config =
      ",\"num_experts\":8,\"num_experts_per_tok\":2,\"norm_topk_prob\":true,\"decoder_sparse_step\":1"
      ",\"mlp_only_layers\":[],\"head_dim\":64,\"moe_intermediate_size\":256";
  classes[10].name = "Phi3ForCausalLM";
  classes[10].fused = true;
  classes[10].more_config =
      ",\"sliding_window\":2047,\"partial_rotary_factor\":0.75,\"original_max_position_embeddings\":1024"
      ",\"rope_scaling\":{\"type\":\"longrope\",\"short_factor\":" +
      made_factors(1.0, 0.05) + ",\"long_factor\":" + made_factors(1.5, 0.3) + "}";
  MadeClass yarn = classes[0];
  yarn.variant = "LlamaYarn";
  yarn.more_config =
      ",\"rope_scaling\":{\"rope_type\":\"yarn\",\"factor\":8.0,\"original_max_position_embeddings\":256"
      ",\"attention_factor\":1.25}";
  classes.push_back(yarn);
  yarn = classes[3];
  yarn.variant = "Qwen3Yarn";
  yarn.more_config =
      ",\"head_dim\":64,\"rope_parameters\":{\"rope_type\":\"yarn\",\"rope_theta\":1000000.0,\"factor\":4.0"
      ",\"original_max_position_embeddings\":512}";
  classes.push_back(yarn);
  MadeClass stable;
  stable.name = "StableLmForCausalLM";
  stable.qkv_bias = stable.norm_bias = true;
  stable.more_config =
      ",\"layer_norm_eps\":1e-5,\"partial_rotary_factor\":0.25,\"use_qkv_bias\":true"
      ",\"use_parallel_residual\":false,\"qk_layernorm\":false,\"hidden_act\":\"silu\"";
  classes.push_back(stable);
  MadeClass smol;
  smol.name = "SmolLM3ForCausalLM";
  smol.tied = true;
  smol.more_config = ",\"rope_theta\":5000000.0,\"no_rope_layer_interval\":4,\"use_sliding_window\":false";
  classes.push_back(smol);
  return classes;
}

inline std::vector<MadeTensor> made_layer(const MadeClass& made, const MadeShape& shape,
                                          std::uint64_t layer) {
  std::vector<MadeTensor> tensors;
  const std::uint64_t q = shape.heads * shape.dim, kv = shape.kv_heads * shape.dim;
  const auto add = [&](const std::string& name, std::uint64_t rows, std::uint64_t columns, float mean = 1) {
    tensors.push_back({fmt::format("model.layers.{}.{}", layer, name), rows, columns, mean});
  };
  const auto linear = [&](const std::string& name, std::uint64_t rows, std::uint64_t columns, bool bias) {
    add(name + ".weight", rows, columns);
    if (bias) add(name + ".bias", rows, 0, 0);
  };
  const auto norm = [&](const std::string& name) {
    add(name + ".weight", shape.hidden, 0, made.norm_mean);
    if (made.norm_bias) add(name + ".bias", shape.hidden, 0, 0);
  };
  if (made.pre_norms) norm("input_layernorm");
  if (made.fused) {
    linear("self_attn.qkv_proj", q + 2 * kv, shape.hidden, false);
  } else {
    linear("self_attn.q_proj", q, shape.hidden, made.qkv_bias);
    linear("self_attn.k_proj", kv, shape.hidden, made.qkv_bias);
    linear("self_attn.v_proj", kv, shape.hidden, made.qkv_bias);
  }
  linear("self_attn.o_proj", shape.hidden, q, false);
  if (made.head_norms || made.token_norms) {
    add("self_attn.q_norm.weight", made.head_norms ? shape.dim : q, 0, made.norm_mean);
    add("self_attn.k_norm.weight", made.head_norms ? shape.dim : kv, 0, made.norm_mean);
  }
  for (const std::string& name : made.norms) norm(name);
  const auto mlp = [&](const std::string& gate, const std::string& up, const std::string& down,
                       std::uint64_t ffn) {
    linear(gate, ffn, shape.hidden, false);
    linear(up, ffn, shape.hidden, false);
    linear(down, shape.hidden, ffn, false);
  };
  if (made.fused) {
    linear("mlp.gate_up_proj", 2 * shape.ffn, shape.hidden, false);
    linear("mlp.down_proj", shape.hidden, shape.ffn, false);
    return tensors;
  }
  if (made.experts == 0) {
    mlp("mlp.gate_proj", "mlp.up_proj", "mlp.down_proj", shape.ffn);
    return tensors;
  }
  linear(made.router, made.experts, shape.hidden, false);
  const std::uint64_t ffn = made.router == "mlp.gate" ? shape.ffn / 2 : shape.ffn;
  for (std::uint64_t e = 0; e < made.experts; ++e) {
    const auto name = [&](std::size_t part) {
      const std::string& pattern = made.expert[part];
      const auto at = pattern.find("{}");
      return pattern.substr(0, at) + std::to_string(e) + pattern.substr(at + 2);
    };
    mlp(name(0), name(1), name(2), ffn);
  }
  if (!made.shared_expert) return tensors;
  linear("mlp.shared_expert_gate", 1, shape.hidden, false);
  mlp("mlp.shared_expert.gate_proj", "mlp.shared_expert.up_proj", "mlp.shared_expert.down_proj", shape.ffn);
  return tensors;
}

inline std::vector<MadeTensor> made_tensors(const MadeClass& made, const MadeShape& shape) {
  std::vector<MadeTensor> tensors = {{"model.embed_tokens.weight", shape.vocab, shape.hidden, 1}};
  if (!made.tied) tensors.push_back({"lm_head.weight", shape.vocab, shape.hidden, 1});
  tensors.push_back({"model.norm.weight", shape.hidden, 0, made.norm_mean});
  if (made.norm_bias) tensors.push_back({"model.norm.bias", shape.hidden, 0, 0});
  for (std::uint64_t layer = 0; layer < shape.layers; ++layer) {
    for (MadeTensor& tensor : made_layer(made, shape, layer)) tensors.push_back(std::move(tensor));
  }
  return tensors;
}

inline std::string made_config(const MadeClass& made, const MadeShape& shape) {
  return fmt::format(
      "{{\"architectures\":[\"{}\"],\"hidden_size\":{},\"intermediate_size\":{},\"num_hidden_layers\":{},"
      "\"num_attention_heads\":{},\"num_key_value_heads\":{},\"vocab_size\":{},\"max_position_embeddings\":"
      "2048,"
      "\"rms_norm_eps\":1e-5,\"tie_word_embeddings\":{},\"torch_dtype\":\"bfloat16\"{}}}\n",
      made.name, shape.hidden, shape.ffn, shape.layers, shape.heads, shape.kv_heads, shape.vocab, made.tied,
      made.more_config);
}

}  // namespace llmq::testing_support
