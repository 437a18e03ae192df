// What a model is: shapes and constants of its architecture, read from config.json or from GGUF metadata.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

namespace llmq {

struct GgufHeader;

enum class RopeScaling { none, linear, llama3, longrope, yarn };
enum class Activation { silu, gelu_tanh };
/// Queries and keys behind their products: as they are, each head normed, or all heads of a token together.
enum class QkNorm { none, head, token };
/// Values over their root mean square; or less their mean, over their deviation, plus a bias.
enum class Norm { rms, layer };

struct ModelSpec {
  std::string architecture;  ///< GGUF name, "llama"
  std::string class_name;    ///< Hugging Face class, "LlamaForCausalLM"
  std::string name;          ///< general.name: config's, else last part of the path
  std::string torch_dtype;   ///< "bfloat16", from config or the weights
  std::uint32_t hidden_size = 0;
  std::uint32_t intermediate_size = 0;
  std::uint32_t n_layers = 0;
  std::uint32_t n_heads = 0;
  std::uint32_t n_kv_heads = 0;
  std::uint32_t head_dim = 0;
  bool explicit_head_dim = false;  ///< head_dim stands in the config
  std::uint32_t vocab_size = 0;
  std::uint32_t context_length = 0;
  float rms_norm_eps = 1e-5F;  ///< of norms of either kind
  double rope_theta = 10000.0;
  RopeScaling rope_scaling = RopeScaling::none;
  double rope_factor = 1.0;  ///< linear, llama3 and yarn
  double rope_low_freq_factor = 1.0;
  double rope_high_freq_factor = 4.0;
  double rope_original_context = 8192;
  std::vector<float>
      stored_rope_factors;      ///< rope_freqs.weight of a GGUF file; wins over the constants above
  std::uint32_t rope_dims = 0;  ///< of a head that are rotated, the first; 0: all
  /// longrope: divisors of frequencies up to and beyond rope_original_context.
  std::vector<float> rope_short_factors, rope_long_factors;
  /// longrope: what rotated values are multiplied by; yarn: the same over yarn_attention(), as GGUF has it.
  float rope_attention_factor = 1;
  bool tied_embeddings = false;
  bool attention_bias = false;
  bool mlp_bias = false;

  // What architectures differ in beside names and shapes. The defaults are Llama's.
  Activation activation = Activation::silu;
  Norm norm = Norm::rms;
  QkNorm qk_norm = QkNorm::none;
  bool pre_norms = true;               ///< of the inputs of attention and MLP
  bool post_norms = false;             ///< of their outputs, before they are added
  float norm_offset = 0;               ///< stored norms are weights less this: Gemma's 1
  float embedding_scale = 1;           ///< of a token's embedding
  float attention_scale = 0;           ///< of scores; 0: 1 / sqrt(head_dim)
  float attention_softcap = 0;         ///< scores become cap tanh(score / cap); 0: they do not
  float logit_softcap = 0;             ///< likewise
  std::uint32_t sliding_window = 0;    ///< tokens that a windowed layer sees, the own one included; 0: all do
  std::uint32_t window_pattern = 0;    ///< one in so many layers, the last of them, sees all; 0: none
  std::uint32_t rotation_pattern = 0;  ///< of so many layers the last does not rotate; 0: all do
  double rope_theta_local = 0;         ///< of windowed layers, which then have no scaling; 0: that of all

  bool fused_qkv = false;      ///< queries, keys and values are one weight, attn_qkv
  bool fused_gate_up = false;  ///< gate and up are one weight, ffn_up, gate first

  // Experts; 0: there are none, and the MLP is the same for all tokens.
  std::uint32_t n_experts = 0;
  std::uint32_t n_experts_used = 0;  ///< by a token
  std::uint32_t expert_ffn = 0;      ///< intermediate size of an expert
  std::uint32_t shared_ffn = 0;      ///< of the expert that sees all tokens, gated by a number; 0: none
  bool normed_shares = true;  ///< shares of a token's experts add up to 1; false: to what they are of all

  /// Intermediate size of the MLP that sees all tokens; 0: there is none.
  std::uint32_t common_ffn() const noexcept { return n_experts == 0 ? intermediate_size : shared_ffn; }
  std::uint32_t rotated_dims() const noexcept { return rope_dims == 0 ? head_dim : rope_dims; }
  /// Tokens that a layer sees; 0: all.
  std::uint32_t window_of(std::uint32_t layer) const noexcept {
    const bool global = window_pattern != 0 && layer % window_pattern == window_pattern - 1;
    return global ? 0 : sliding_window;
  }
  bool rotates(std::uint32_t layer) const noexcept {
    return rotation_pattern == 0 || layer % rotation_pattern != rotation_pattern - 1;
  }

  /// llama3 divisors of the rotation frequencies, head_dim/2 values; empty for other scalings.
  std::vector<float> rope_freq_factors() const;
  /// What YaRN leaves of the c-th rotation frequency: 1 of those that turn more than 32 times over the
  /// original context, 1 / factor of those that turn less than once, between them a ramp over c. Formulas 17
  /// to 23 of https://arxiv.org/abs/2309.00071, with the ends of the ramp rounded to whole c.
  double yarn_share(std::size_t c) const;
  /// What YaRN multiplies rotated values by unless a model says otherwise:   0.1 ln(factor) + 1
  double yarn_attention() const;
  /// What rotated values are multiplied by.
  float rotated_scale() const;
};

/// @throws Error(model_not_found) without config.json, FormatError(validation) when malformed,
/// Error(unsupported_conversion) for an unknown architecture (lists the known ones).
ModelSpec read_model_spec(const std::filesystem::path& model_directory);
/// The same for the content of a config.json. @param path  for messages  @param name  where it has none
ModelSpec model_spec_from_config(const nlohmann::json& document, const std::string& path,
                                 const std::string& name);
ModelSpec model_spec_from_gguf(const GgufHeader& header);

}  // namespace llmq
