// Qwen 3, dense: Llama with each head of queries and keys normed. SPDX-License-Identifier: Apache-2.0
#include <array>

#include <nlohmann/json.hpp>

#include "model/architectures/decoder_rules.hpp"
#include "model/config_reader.hpp"

namespace llmq {
namespace qwen3 {
namespace {

constexpr std::array<std::string_view, 1> kClasses = {"Qwen3ForCausalLM"};

std::vector<TensorRule> tensor_rules(const ModelSpec& spec) { return decoder_rules(spec, {}); }

void read_config(const ConfigReader& config, ModelSpec& spec) {
  spec.qk_norm = QkNorm::head;
  // The reference implementation has heads of 128 where the configuration names no size.
  if (!spec.explicit_head_dim) spec.head_dim = 128, spec.explicit_head_dim = true;
  config.refuse_sliding_window();
}

void read_gguf(const GgufMetadata&, ModelSpec& spec) { spec.qk_norm = QkNorm::head; }

void write_config(const ModelSpec& spec, nlohmann::ordered_json& config) {
  config["head_dim"] = spec.head_dim;  // left out it would be 128
  config["attention_bias"] = spec.attention_bias;
  config["use_sliding_window"] = false;
}

}  // namespace
}  // namespace qwen3

const Architecture kQwen3Architecture = {
    "qwen3",           qwen3::kClasses,    &qwen3::tensor_rules, &qwen3::read_config,
    &qwen3::read_gguf, &write_no_metadata, &qwen3::write_config};

}  // namespace llmq
