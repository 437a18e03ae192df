// StableLM 3B and 2 1.6B: Llama with norms that subtract the mean and have a bias, biases on queries, keys
// and values where the configuration says so, and rotations of the first quarter of each head. The 12B, whose
// attention and MLP stand side by side and whose heads are normed, is refused. SPDX-License-Identifier:
// Apache-2.0
#include <array>

#include <nlohmann/json.hpp>

#include "model/architectures/decoder_rules.hpp"
#include "model/config_reader.hpp"
#include "model/rope_config.hpp"
#include "model/rope_gguf.hpp"

namespace llmq {
namespace stablelm {
namespace {

constexpr std::array<std::string_view, 1> kClasses = {"StableLmForCausalLM"};
constexpr const char* kEps = "stablelm.attention.layer_norm_epsilon";

std::vector<TensorRule> tensor_rules(const ModelSpec& spec) { return decoder_rules(spec, {}); }

/// What the reference may be told and this file, or runtimes, do not know of.
void refuse_variants(const ConfigReader& config, const ModelSpec& spec) {
  const auto refuse = [&](const char* what) {
    config.refuse(
        fmt::format("{} is not supported for this architecture", what),
        "Supported: StableLM with sequential residuals, plain heads and an output matrix of its own");
  };
  if (config.flag_or("use_parallel_residual", false)) refuse("use_parallel_residual");
  if (config.flag_or("qk_layernorm", false)) refuse("qk_layernorm");
  if (spec.activation != Activation::silu) refuse("an activation other than silu");
  if (spec.tied_embeddings) refuse("tie_word_embeddings");
  if (std::uint64_t{spec.head_dim} * spec.n_heads != spec.hidden_size) refuse("this head_dim");
}

void read_config(const ConfigReader& config, ModelSpec& spec) {
  refuse_variants(config, spec);
  spec.norm = Norm::layer;
  spec.rms_norm_eps = static_cast<float>(config.real_or("layer_norm_eps", 1e-5));
  spec.rope_dims = read_rotated_dims(config, spec.head_dim, 0.25);
  spec.attention_bias = config.flag_or("use_qkv_bias", false);
  spec.mlp_bias = false;
}

void read_gguf(const GgufMetadata& metadata, ModelSpec& spec) {
  spec.norm = Norm::layer;
  spec.rms_norm_eps = static_cast<float>(metadata.real(kEps).value_or(1e-5));
  spec.rope_dims = read_rotated_dims(metadata, spec);
  // use_parallel_residual is not read: converters state it of files that have it not, and runtimes go by
  // ffn_norm.
}

void write_metadata(const ModelSpec& spec, GgufMetadata& metadata) {
  metadata.set("stablelm.rope.dimension_count", spec.rotated_dims());
  metadata.set("stablelm.use_parallel_residual", false);
}

void write_config(const ModelSpec& spec, nlohmann::ordered_json& config) {
  config["partial_rotary_factor"] = static_cast<double>(spec.rotated_dims()) / spec.head_dim;
  config["use_qkv_bias"] = spec.attention_bias;
  config["use_parallel_residual"] = false;
  config["qk_layernorm"] = false;
}

}  // namespace
}  // namespace stablelm

const Architecture kStableLmArchitecture = {
    "stablelm",           stablelm::kClasses,        &stablelm::tensor_rules, &stablelm::read_config,
    &stablelm::read_gguf, &stablelm::write_metadata, &stablelm::write_config};

}  // namespace llmq
