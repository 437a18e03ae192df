// Gemma 2 and 3: norms on both sides of attention and MLP, stored less one; gelu; embeddings times the root
// of their size; layers that see a window among layers that see all. Gemma 2 caps scores and logits softly,
// Gemma 3 norms heads and rotates windowed layers by a base of their own. SPDX-License-Identifier: Apache-2.0
#include <array>
#include <cmath>
#include <string>

#include <nlohmann/json.hpp>

#include "model/architectures/config_numbers.hpp"
#include "model/architectures/decoder_rules.hpp"
#include "model/config_reader.hpp"
#include "model/rope_gguf.hpp"

namespace llmq {
namespace gemma {
namespace {

constexpr std::array<std::string_view, 1> kGemma2 = {"Gemma2ForCausalLM"};
constexpr std::array<std::string_view, 1> kGemma3 = {"Gemma3ForCausalLM"};

// What runtimes take for granted, because files do not say it.
constexpr std::uint32_t kGemma2Pattern = 2, kGemma3Pattern = 6;
constexpr double kLocalTheta = 10000, kGlobalTheta = 1e6;
constexpr std::uint32_t kLayersOf27B2 = 46, kLayersOf27B3 = 62;  ///< score by hidden size, not head size

std::vector<TensorRule> tensor_rules(const ModelSpec& spec) {
  DecoderStyle style;
  style.attention_post_norm = "post_attention_layernorm";
  style.ffn_norm = "pre_feedforward_layernorm";
  style.ffn_post_norm = "post_feedforward_layernorm";
  return decoder_rules(spec, style);
}

void set_common(ModelSpec& spec) {
  refuse_yarn(spec);
  spec.activation = Activation::gelu_tanh;
  spec.post_norms = true;
  spec.embedding_scale = std::sqrt(static_cast<float>(spec.hidden_size));
}

void read_common(const ConfigReader& config, ModelSpec& spec) {
  set_common(spec);
  spec.norm_offset = 1;
  if (!config.has("tie_word_embeddings")) spec.tied_embeddings = true;
  if (config.has("final_logit_softcapping"))
    spec.logit_softcap = static_cast<float>(config.real_or("final_logit_softcapping", 1));
  const double scalar = config.real_or("query_pre_attn_scalar", 256);
  spec.attention_scale = static_cast<float>(1 / std::sqrt(scalar));
}

/// @param layers_of_27b  of the one size whose scores are scaled by its hidden size
void read_common(const GgufMetadata& metadata, std::uint32_t layers_of_27b, ModelSpec& spec) {
  set_common(spec);
  const std::string prefix = spec.architecture + ".";
  if (spec.n_layers == layers_of_27b)
    spec.attention_scale = 1 / std::sqrt(static_cast<float>(spec.hidden_size / spec.n_heads));
  spec.logit_softcap = static_cast<float>(metadata.real(prefix + "final_logit_softcapping").value_or(0));
  spec.sliding_window =
      static_cast<std::uint32_t>(metadata.integer(prefix + "attention.sliding_window").value_or(0));
}

/// One layer in `pattern` sees all; older configurations say it by a number, newer ones by a list of layers.
void require_pattern(const ConfigReader& config, std::uint32_t pattern) {
  const auto refuse = [&](const std::string& what) {
    config.refuse(what + " is not supported",
                  fmt::format("Runtimes take one full layer in {} for granted", pattern));
  };
  const std::uint32_t given = config.count_or("sliding_window_pattern", pattern);
  if (given != pattern) refuse(fmt::format("sliding_window_pattern {}", given));
  if (!config.has("layer_types")) return;
  const nlohmann::json& types = config.at("layer_types");
  if (!types.is_array()) config.fail("\"layer_types\" must be an array");
  for (std::size_t layer = 0; layer < types.size(); ++layer) {
    const bool full = layer % pattern == pattern - 1;
    if (types[layer] != (full ? "full_attention" : "sliding_attention"))
      refuse(fmt::format("layer_types with {} at layer {}", types[layer].dump(), layer));
  }
}

void read_gemma2(const ConfigReader& config, ModelSpec& spec) {
  read_common(config, spec);
  if (!config.has("final_logit_softcapping")) spec.logit_softcap = 30;
  spec.attention_softcap = static_cast<float>(config.real_or("attn_logit_softcapping", 50));
  spec.sliding_window = config.count_or("sliding_window", 4096);
  require_pattern(config, kGemma2Pattern);
  spec.window_pattern = kGemma2Pattern;
}

void read_gemma2_gguf(const GgufMetadata& metadata, ModelSpec& spec) {
  read_common(metadata, kLayersOf27B2, spec);
  spec.attention_softcap = static_cast<float>(metadata.real("gemma2.attn_logit_softcapping").value_or(50));
  if (!metadata.contains("gemma2.final_logit_softcapping")) spec.logit_softcap = 30;
  if (spec.sliding_window == 0) spec.sliding_window = 4096;
  spec.window_pattern = kGemma2Pattern;
}

void read_gemma3(const ConfigReader& config, ModelSpec& spec) {
  read_common(config, spec);
  require_pattern(config, kGemma3Pattern);
  spec.qk_norm = QkNorm::head;
  if (!config.has("rope_theta")) spec.rope_theta = kGlobalTheta;
  spec.rope_theta_local = config.real_or("rope_local_base_freq", kLocalTheta);
  if (!spec.explicit_head_dim) spec.head_dim = 256, spec.explicit_head_dim = true;
  spec.sliding_window = config.count_or("sliding_window", 4096);
  spec.window_pattern = kGemma3Pattern;
}

void read_gemma3_gguf(const GgufMetadata& metadata, ModelSpec& spec) {
  read_common(metadata, kLayersOf27B3, spec);
  spec.qk_norm = QkNorm::head;
  if (!metadata.contains("gemma3.rope.freq_base")) spec.rope_theta = kGlobalTheta;
  spec.rope_theta_local = metadata.real("gemma3.rope.freq_base_swa").value_or(kLocalTheta);
  spec.window_pattern = kGemma3Pattern;
}

void write_gemma2(const ModelSpec& spec, GgufMetadata& metadata) {
  metadata.set("gemma2.attn_logit_softcapping", spec.attention_softcap);
  metadata.set("gemma2.final_logit_softcapping", spec.logit_softcap);
  metadata.set("gemma2.attention.sliding_window", spec.sliding_window);
}

void write_gemma3(const ModelSpec& spec, GgufMetadata& metadata) {
  if (spec.logit_softcap > 0) metadata.set("gemma3.final_logit_softcapping", spec.logit_softcap);
  metadata.set("gemma3.attention.sliding_window", spec.sliding_window);
  metadata.set("gemma3.rope.freq_base_swa", static_cast<float>(spec.rope_theta_local));
}

void write_common(const ModelSpec& spec, nlohmann::ordered_json& config) {
  const float scale =
      spec.attention_scale == 0 ? 1 / std::sqrt(static_cast<float>(spec.head_dim)) : spec.attention_scale;
  config["query_pre_attn_scalar"] = static_cast<std::uint32_t>(std::lround(1 / (scale * scale)));
  config["attention_bias"] = spec.attention_bias;
  config["head_dim"] = spec.head_dim;
  // None is the same as one that no context exceeds; left out it would be the reference's.
  config["sliding_window"] = spec.sliding_window != 0 ? spec.sliding_window : spec.context_length;
  if (spec.logit_softcap > 0) config["final_logit_softcapping"] = shortest(spec.logit_softcap);
}

void write_gemma2_config(const ModelSpec& spec, nlohmann::ordered_json& config) {
  write_common(spec, config);
  config["attn_logit_softcapping"] = shortest(spec.attention_softcap);
}

void write_gemma3_config(const ModelSpec& spec, nlohmann::ordered_json& config) {
  config["model_type"] = "gemma3_text";
  write_common(spec, config);
  config["sliding_window_pattern"] = spec.window_pattern;
  config["rope_local_base_freq"] = shortest(static_cast<float>(spec.rope_theta_local));
}

}  // namespace
}  // namespace gemma

const Architecture kGemma2Architecture = {"gemma2",
                                          gemma::kGemma2,
                                          &gemma::tensor_rules,
                                          &gemma::read_gemma2,
                                          &gemma::read_gemma2_gguf,
                                          &gemma::write_gemma2,
                                          &gemma::write_gemma2_config};
const Architecture kGemma3Architecture = {"gemma3",
                                          gemma::kGemma3,
                                          &gemma::tensor_rules,
                                          &gemma::read_gemma3,
                                          &gemma::read_gemma3_gguf,
                                          &gemma::write_gemma3,
                                          &gemma::write_gemma3_config};

}  // namespace llmq
