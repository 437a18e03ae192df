// OLMo 2: norms behind attention and MLP instead of before them, queries and keys normed over all heads.
// SPDX-License-Identifier: Apache-2.0
#include <array>

#include <nlohmann/json.hpp>

#include "model/architectures/decoder_rules.hpp"
#include "model/config_reader.hpp"

namespace llmq {
namespace olmo2 {
namespace {

constexpr std::array<std::string_view, 1> kClasses = {"Olmo2ForCausalLM"};

std::vector<TensorRule> tensor_rules(const ModelSpec& spec) {
  DecoderStyle style;
  style.attention_norm = style.ffn_norm = {};
  style.attention_post_norm = "post_attention_layernorm";
  style.ffn_post_norm = "post_feedforward_layernorm";
  return decoder_rules(spec, style);
}

void set_norms(ModelSpec& spec) {
  spec.pre_norms = false;
  spec.post_norms = true;
  spec.qk_norm = QkNorm::token;
}

void read_config(const ConfigReader&, ModelSpec& spec) { set_norms(spec); }
void read_gguf(const GgufMetadata&, ModelSpec& spec) { set_norms(spec); }

void write_config(const ModelSpec& spec, nlohmann::ordered_json& config) {
  config["attention_bias"] = spec.attention_bias;
}

}  // namespace
}  // namespace olmo2

const Architecture kOlmo2Architecture = {
    "olmo2",           olmo2::kClasses,    &olmo2::tensor_rules, &olmo2::read_config,
    &olmo2::read_gguf, &write_no_metadata, &olmo2::write_config};

}  // namespace llmq
