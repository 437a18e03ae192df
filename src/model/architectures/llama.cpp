// Llama 1, 2, 3 and Mistral: RMSNorm, rotary positions, grouped-query attention, SwiGLU; Mistral 7B v0.1 sees
// a window of tokens, which stock llama.cpp does not know of in this architecture. GGUF keeps the rows of
// attn_q and attn_k with rotated pairs adjacent. Names: docs/formats/gguf.md. SPDX-License-Identifier:
// Apache-2.0
#include <array>

#include <nlohmann/json.hpp>

#include "model/architectures/decoder_rules.hpp"
#include "model/config_reader.hpp"

namespace llmq {
namespace llama {
namespace {

constexpr std::array<std::string_view, 3> kClasses = {"LlamaForCausalLM", "MistralForCausalLM",
                                                      "MixtralForCausalLM"};
constexpr const char* kWindow = "llama.attention.sliding_window";

std::vector<TensorRule> tensor_rules(const ModelSpec& spec) {
  DecoderStyle style;
  style.permuted = style.output_bias = true;
  style.router = "block_sparse_moe.gate";
  style.expert_gate = "block_sparse_moe.experts.{}.w1";
  style.expert_up = "block_sparse_moe.experts.{}.w3";
  style.expert_down = "block_sparse_moe.experts.{}.w2";
  return decoder_rules(spec, style);
}

void read_config(const ConfigReader& config, ModelSpec& spec) {
  const bool mixtral = spec.class_name == "MixtralForCausalLM";
  if ((mixtral || spec.class_name == "MistralForCausalLM") && config.has("sliding_window"))
    spec.sliding_window = config.count("sliding_window");
  if (!mixtral) return;
  spec.n_experts = config.count("num_local_experts");
  spec.n_experts_used = config.count_or("num_experts_per_tok", 2);
  spec.expert_ffn = spec.intermediate_size;
}

void read_gguf(const GgufMetadata& metadata, ModelSpec& spec) {
  spec.sliding_window = static_cast<std::uint32_t>(metadata.integer(kWindow).value_or(0));
  if (spec.n_experts == 0) return;
  spec.class_name = "MixtralForCausalLM";
  spec.expert_ffn = spec.intermediate_size;
}

void write_metadata(const ModelSpec& spec, GgufMetadata& metadata) {
  metadata.set("llama.vocab_size", spec.vocab_size);
  metadata.set("llama.rope.dimension_count", spec.head_dim);
  if (spec.sliding_window != 0) metadata.set(kWindow, spec.sliding_window);
}

void write_config(const ModelSpec& spec, nlohmann::ordered_json& config) {
  if (spec.sliding_window != 0) {  // the one thing by which a file tells Mistral from Llama
    config["architectures"] = {"MistralForCausalLM"};
    config["model_type"] = "mistral";
    config["sliding_window"] = spec.sliding_window;
  }
  if (spec.n_experts > 0) {
    config["architectures"] = {"MixtralForCausalLM"};
    config["model_type"] = "mixtral";
    config["num_local_experts"] = spec.n_experts;
    config["num_experts_per_tok"] = spec.n_experts_used;
  }
  config["attention_bias"] = spec.attention_bias;
  config["mlp_bias"] = spec.mlp_bias;
}

}  // namespace
}  // namespace llama

const Architecture kLlamaArchitecture = {
    "llama",           llama::kClasses,        &llama::tensor_rules, &llama::read_config,
    &llama::read_gguf, &llama::write_metadata, &llama::write_config};

}  // namespace llmq
