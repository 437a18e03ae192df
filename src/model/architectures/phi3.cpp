// Phi-3 and Phi-4 mini: queries, keys and values in one weight, gate and up in another; rotations whose
// frequencies are divided by stored factors, other ones for long contexts, of a part of each head.
// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <cmath>

#include <nlohmann/json.hpp>

#include "model/architectures/config_numbers.hpp"
#include "model/architectures/decoder_rules.hpp"
#include "model/config_reader.hpp"
#include "model/rope_config.hpp"
#include "model/rope_gguf.hpp"

namespace llmq {
namespace phi3 {
namespace {

constexpr std::array<std::string_view, 1> kClasses = {"Phi3ForCausalLM"};

std::vector<TensorRule> tensor_rules(const ModelSpec& spec) { return decoder_rules(spec, {}); }

void read_config(const ConfigReader& config, ModelSpec& spec) {
  refuse_yarn(spec);
  spec.fused_qkv = spec.fused_gate_up = true;
  spec.rope_dims = read_rotated_dims(config, spec.head_dim, 1);
  if (config.has("sliding_window")) spec.sliding_window = config.count("sliding_window");
  if (spec.rope_scaling != RopeScaling::longrope) {
    spec.rope_original_context = config.real_or("original_max_position_embeddings", spec.context_length);
    return;
  }
  const double longer = spec.context_length / spec.rope_original_context;
  if (longer > 1)
    spec.rope_attention_factor =
        static_cast<float>(std::sqrt(1 + std::log(longer) / std::log(spec.rope_original_context)));
}

void read_gguf(const GgufMetadata& metadata, ModelSpec& spec) {
  refuse_yarn(spec);
  spec.fused_qkv = spec.fused_gate_up = true;
  spec.rope_dims = read_rotated_dims(metadata, spec);
  spec.sliding_window =
      static_cast<std::uint32_t>(metadata.integer("phi3.attention.sliding_window").value_or(0));
  spec.rope_original_context = static_cast<double>(
      metadata.integer("phi3.rope.scaling.original_context_length").value_or(spec.context_length));
  spec.rope_attention_factor = static_cast<float>(metadata.real("phi3.rope.scaling.attn_factor").value_or(1));
}

void write_metadata(const ModelSpec& spec, GgufMetadata& metadata) {
  metadata.set("phi3.rope.dimension_count", spec.rotated_dims());
  metadata.set("phi3.rope.scaling.original_context_length",
               static_cast<std::uint32_t>(spec.rope_original_context));
  metadata.set("phi3.attention.sliding_window", spec.sliding_window);
  if (spec.rope_scaling == RopeScaling::longrope)
    metadata.set("phi3.rope.scaling.attn_factor", spec.rope_attention_factor);
}

nlohmann::ordered_json numbers(const std::vector<float>& factors) {
  auto list = nlohmann::ordered_json::array();
  for (const float factor : factors) list.push_back(shortest(factor));
  return list;
}

void write_config(const ModelSpec& spec, nlohmann::ordered_json& config) {
  config["partial_rotary_factor"] = static_cast<double>(spec.rotated_dims()) / spec.head_dim;
  config["original_max_position_embeddings"] = static_cast<std::uint64_t>(spec.rope_original_context);
  if (spec.sliding_window != 0) config["sliding_window"] = spec.sliding_window;
  if (spec.rope_scaling != RopeScaling::longrope) return;
  config["rope_scaling"] = {{"type", "longrope"},
                            {"short_factor", numbers(spec.rope_short_factors)},
                            {"long_factor", numbers(spec.rope_long_factors)}};
}

}  // namespace
}  // namespace phi3

const Architecture kPhi3Architecture = {
    "phi3",           phi3::kClasses,        &phi3::tensor_rules, &phi3::read_config,
    &phi3::read_gguf, &phi3::write_metadata, &phi3::write_config};

}  // namespace llmq
