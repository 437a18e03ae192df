// One architecture = one row of the table and one file in this folder.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "llmq/formats/gguf.hpp"
#include "llmq/model/spec.hpp"

namespace llmq {

/// One tensor the architecture may have.
struct TensorRule {
  std::string hf_name;
  std::string gguf_name;
  std::vector<std::uint64_t> shape;  ///< Hugging Face order, [out_features, in_features]
  std::int32_t layer = -1;
  bool required = true;
  std::uint32_t permuted_heads = 0;
  float offset = 0;  ///< the model's value is the stored one plus this: Gemma's norms
  /// Above 0: `shape` has the experts in front, and `hf_name` holds "{}" for the number of the expert.
  std::uint32_t experts = 0;
};

class ConfigReader;

struct Architecture {
  std::string_view name;                          ///< GGUF name
  std::span<const std::string_view> class_names;  ///< Hugging Face classes that map to it
  /// All tensors of a model with this spec, in output order.
  std::vector<TensorRule> (*tensor_rules)(const ModelSpec& spec);
  /// What config.json says beyond the common keys, and what it need not say.
  void (*read_config)(const ConfigReader& config, ModelSpec& spec);
  /// The same from a GGUF file.
  void (*read_gguf)(const GgufMetadata& metadata, ModelSpec& spec);
  /// Keys of a GGUF file beyond the common set.
  void (*write_metadata)(const ModelSpec& spec, GgufMetadata& metadata);
  /// Members of config.json beyond the common ones; model_type where it is not the GGUF name.
  void (*write_config)(const ModelSpec& spec, nlohmann::ordered_json& config);
};

std::span<const Architecture> architectures() noexcept;
const Architecture* find_architecture(std::string_view gguf_name) noexcept;
const Architecture* find_architecture_of_class(std::string_view class_name) noexcept;

/// Defined one per file.
extern const Architecture kLlamaArchitecture, kQwen2Architecture, kQwen3Architecture, kGemma2Architecture,
    kGemma3Architecture, kOlmo2Architecture, kQwen2MoeArchitecture, kQwen3MoeArchitecture, kPhi3Architecture,
    kStableLmArchitecture, kSmolLm3Architecture;

}  // namespace llmq
