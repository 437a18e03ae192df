// Qwen 1.5, 2 and 2.5, dense: Llama with biases on queries, keys and values. SPDX-License-Identifier:
// Apache-2.0
#include <array>

#include <nlohmann/json.hpp>

#include "model/architectures/decoder_rules.hpp"
#include "model/config_reader.hpp"

namespace llmq {
namespace qwen2 {
namespace {

constexpr std::array<std::string_view, 1> kClasses = {"Qwen2ForCausalLM"};

std::vector<TensorRule> tensor_rules(const ModelSpec& spec) {
  DecoderStyle style;
  style.qkv_bias = true;
  return decoder_rules(spec, style);
}

void read_config(const ConfigReader& config, ModelSpec&) { config.refuse_sliding_window(); }

void write_config(const ModelSpec&, nlohmann::ordered_json& config) { config["use_sliding_window"] = false; }

}  // namespace
}  // namespace qwen2

const Architecture kQwen2Architecture = {
    "qwen2",       qwen2::kClasses,    &qwen2::tensor_rules, &qwen2::read_config,
    &read_no_gguf, &write_no_metadata, &qwen2::write_config};

}  // namespace llmq
