// SmolLM3: Llama of which every fourth layer does not rotate. The configuration says which layers by a list
// or by an interval; runtimes take the interval of four for granted. GGUF keeps the rows of attn_q and attn_k
// with rotated pairs adjacent, in layers that do not rotate, too. SPDX-License-Identifier: Apache-2.0
#include <array>

#include <nlohmann/json.hpp>

#include "model/architectures/decoder_rules.hpp"
#include "model/config_reader.hpp"

namespace llmq {
namespace smollm3 {
namespace {

constexpr std::array<std::string_view, 1> kClasses = {"SmolLM3ForCausalLM"};
constexpr std::uint32_t kPattern = 4, kKvHeads = 4;
constexpr double kTheta = 2e6;

std::vector<TensorRule> tensor_rules(const ModelSpec& spec) {
  DecoderStyle style;
  style.permuted = true;
  return decoder_rules(spec, style);
}

/// 1 of no_rope_layers means, against its name, that the layer rotates.
int flag_of(std::uint32_t layer) { return layer % kPattern == kPattern - 1 ? 0 : 1; }

void require_pattern(const ConfigReader& config, const ModelSpec& spec) {
  const auto refuse = [&](const std::string& what) {
    config.refuse(what + " is not supported",
                  "Runtimes take for granted that every fourth layer does not rotate, and no other");
  };
  if (!config.has("no_rope_layers")) {
    const std::uint32_t interval = config.count_or("no_rope_layer_interval", kPattern);
    if (interval != kPattern) refuse(fmt::format("no_rope_layer_interval {}", interval));
    return;
  }
  const nlohmann::json& flags = config.at("no_rope_layers");
  if (!flags.is_array() || flags.size() < spec.n_layers)
    config.fail("\"no_rope_layers\" must have a number for every layer");
  for (std::uint32_t layer = 0; layer < spec.n_layers; ++layer) {
    if (flags[layer] != flag_of(layer))
      refuse(fmt::format("no_rope_layers with {} at layer {}", flags[layer].dump(), layer));
  }
}

void read_config(const ConfigReader& config, ModelSpec& spec) {
  require_pattern(config, spec);
  config.refuse_sliding_window();
  if (spec.attention_bias || spec.mlp_bias)
    config.refuse("attention_bias and mlp_bias are not supported for this architecture",
                  "Runtimes do not know them either");
  spec.rotation_pattern = kPattern;
  if (!config.has("tie_word_embeddings")) spec.tied_embeddings = true;
  if (!config.has("rope_theta")) spec.rope_theta = kTheta;
  if (!config.has("num_key_value_heads")) spec.n_kv_heads = kKvHeads;
}

void read_gguf(const GgufMetadata&, ModelSpec& spec) { spec.rotation_pattern = kPattern; }

void write_metadata(const ModelSpec& spec, GgufMetadata& metadata) {
  metadata.set("smollm3.vocab_size", spec.vocab_size);
  metadata.set("smollm3.rope.dimension_count", spec.head_dim);
}

void write_config(const ModelSpec& spec, nlohmann::ordered_json& config) {
  auto flags = nlohmann::ordered_json::array();
  for (std::uint32_t layer = 0; layer < spec.n_layers; ++layer) flags.push_back(flag_of(layer));
  config["no_rope_layers"] = std::move(flags);
  config["no_rope_layer_interval"] = kPattern;
  config["attention_bias"] = false;
  config["mlp_bias"] = false;
  config["use_sliding_window"] = false;
}

}  // namespace
}  // namespace smollm3

const Architecture kSmolLm3Architecture = {
    "smollm3",           smollm3::kClasses,        &smollm3::tensor_rules, &smollm3::read_config,
    &smollm3::read_gguf, &smollm3::write_metadata, &smollm3::write_config};

}  // namespace llmq
