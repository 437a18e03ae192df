// Qwen 1.5, 2 and 2.5, dense: Llama with biases on queries, keys and values. SPDX-License-Identifier:
// Apache-2.0
#include <array>

#include <nlohmann/json.hpp>

#include "model/architectures/decoder_rules.hpp"
#include "model/config_reader.hpp"

namespace llmq {
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

const Architecture kQwen2Architecture = {"qwen2",       kClasses,           &tensor_rules, &read_config,
                                         &read_no_gguf, &write_no_metadata, &write_config};

}  // namespace llmq
