// Llama 1, 2, 3 and Mistral: RMSNorm, rotary positions, grouped-query attention, SwiGLU; Mistral 7B v0.1 sees
// a window of tokens, which stock llama.cpp does not know of in this architecture. GGUF keeps the rows of
// attn_q and attn_k with rotated pairs adjacent. Names: docs/formats/gguf.md. SPDX-License-Identifier:
// Apache-2.0
#include <array>

#include "model/architectures/decoder_rules.hpp"
#include "model/config_reader.hpp"

namespace llmq {
namespace {

constexpr std::array<std::string_view, 2> kClasses = {"LlamaForCausalLM", "MistralForCausalLM"};
constexpr const char* kWindow = "llama.attention.sliding_window";

std::vector<TensorRule> tensor_rules(const ModelSpec& spec) {
  DecoderStyle style;
  style.permuted = style.output_bias = true;
  return decoder_rules(spec, style);
}

void read_config(const ConfigReader& config, ModelSpec& spec) {
  if (spec.class_name == "MistralForCausalLM" && config.has("sliding_window"))
    spec.sliding_window = config.count("sliding_window");
}

void read_gguf(const GgufMetadata& metadata, ModelSpec& spec) {
  spec.sliding_window = static_cast<std::uint32_t>(metadata.integer(kWindow).value_or(0));
}

void write_metadata(const ModelSpec& spec, GgufMetadata& metadata) {
  metadata.set("llama.vocab_size", spec.vocab_size);
  metadata.set("llama.rope.dimension_count", spec.head_dim);
  if (spec.sliding_window != 0) metadata.set(kWindow, spec.sliding_window);
}

}  // namespace

const Architecture kLlamaArchitecture = {"llama",      kClasses,   &tensor_rules,
                                         &read_config, &read_gguf, &write_metadata};

}  // namespace llmq
