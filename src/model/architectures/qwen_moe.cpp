// Qwen 1.5 and 2 with experts, whose shares are of all experts, beside a shared expert that a number gates;
// Qwen 3 with experts, whose shares add up to 1, and heads normed. SPDX-License-Identifier: Apache-2.0
#include <array>

#include <nlohmann/json.hpp>

#include "model/architectures/decoder_rules.hpp"
#include "model/config_reader.hpp"

namespace llmq {
namespace qwen_moe {
namespace {

constexpr std::array<std::string_view, 1> kQwen2 = {"Qwen2MoeForCausalLM"};
constexpr std::array<std::string_view, 1> kQwen3 = {"Qwen3MoeForCausalLM"};

std::vector<TensorRule> tensor_rules(const ModelSpec& spec) {
  DecoderStyle style;
  style.qkv_bias = spec.architecture == "qwen2moe";
  return decoder_rules(spec, style);
}

void refuse(const ConfigReader& config, const std::string& what) {
  config.refuse(what + " is not supported for this architecture", "Runtimes do not know it either");
}

void read_experts(const ConfigReader& config, bool normed_shares, ModelSpec& spec) {
  spec.n_experts = config.count("num_experts");
  spec.n_experts_used = config.count("num_experts_per_tok");
  spec.expert_ffn = config.count("moe_intermediate_size");
  spec.normed_shares = normed_shares;
  if (config.flag_or("norm_topk_prob", normed_shares) != normed_shares) refuse(config, "this norm_topk_prob");
  if (config.count_or("decoder_sparse_step", 1) != 1) refuse(config, "decoder_sparse_step above 1");
  if (config.has("mlp_only_layers") && !config.at("mlp_only_layers").empty())
    refuse(config, "mlp_only_layers");
  config.refuse_sliding_window();
}

void read_qwen2(const ConfigReader& config, ModelSpec& spec) {
  read_experts(config, false, spec);
  spec.shared_ffn = config.count("shared_expert_intermediate_size");
}

void read_qwen3(const ConfigReader& config, ModelSpec& spec) {
  read_experts(config, true, spec);
  spec.qk_norm = QkNorm::head;
  if (!spec.explicit_head_dim) spec.head_dim = 128, spec.explicit_head_dim = true;
}

std::uint32_t length(const GgufMetadata& metadata, const std::string& key) {
  return static_cast<std::uint32_t>(metadata.integer(key).value_or(0));
}

void read_qwen2_gguf(const GgufMetadata& metadata, ModelSpec& spec) {
  spec.normed_shares = false;
  spec.expert_ffn = length(metadata, "qwen2moe.expert_feed_forward_length");
  spec.shared_ffn = length(metadata, "qwen2moe.expert_shared_feed_forward_length");
}

void read_qwen3_gguf(const GgufMetadata& metadata, ModelSpec& spec) {
  spec.qk_norm = QkNorm::head;
  spec.expert_ffn = length(metadata, "qwen3moe.expert_feed_forward_length");
}

void write_qwen2(const ModelSpec& spec, GgufMetadata& metadata) {
  metadata.set("qwen2moe.expert_feed_forward_length", spec.expert_ffn);
  metadata.set("qwen2moe.expert_shared_feed_forward_length", spec.shared_ffn);
}

void write_qwen3(const ModelSpec& spec, GgufMetadata& metadata) {
  metadata.set("qwen3moe.expert_feed_forward_length", spec.expert_ffn);
}

/// What else config.json says of experts.
void write_config(const ModelSpec& spec, nlohmann::ordered_json& config) {
  config["num_experts"] = spec.n_experts;
  config["num_experts_per_tok"] = spec.n_experts_used;
  config["moe_intermediate_size"] = spec.expert_ffn;
  config["norm_topk_prob"] = spec.normed_shares;
  config["decoder_sparse_step"] = 1;
  config["model_type"] = spec.shared_ffn > 0 ? "qwen2_moe" : "qwen3_moe";
  if (spec.shared_ffn > 0) config["shared_expert_intermediate_size"] = spec.shared_ffn;
}

}  // namespace
}  // namespace qwen_moe

const Architecture kQwen2MoeArchitecture = {"qwen2moe",
                                            qwen_moe::kQwen2,
                                            &qwen_moe::tensor_rules,
                                            &qwen_moe::read_qwen2,
                                            &qwen_moe::read_qwen2_gguf,
                                            &qwen_moe::write_qwen2,
                                            &qwen_moe::write_config};
const Architecture kQwen3MoeArchitecture = {"qwen3moe",
                                            qwen_moe::kQwen3,
                                            &qwen_moe::tensor_rules,
                                            &qwen_moe::read_qwen3,
                                            &qwen_moe::read_qwen3_gguf,
                                            &qwen_moe::write_qwen3,
                                            &qwen_moe::write_config};

}  // namespace llmq
