// W8A8 checkpoints in the compressed-tensors "int-quantized" layout: what config.json says of them, and
// whether a directory is one an INT8 engine can load. Layout: docs/formats/w8a8.md. SPDX-License-Identifier:
// Apache-2.0
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

namespace llmq {

enum class ActivationScales {
  dynamic,
  fixed
};  ///< per token as they come, or one per tensor stored beside the weight

/// The value of "quantization_config". @param ignore  modules that keep their weights, e.g. "lm_head"
nlohmann::ordered_json w8a8_config(ActivationScales activations, const std::vector<std::string>& ignore);

/// True if config.json's text has a quantization_config of the compressed-tensors method.
bool is_compressed_tensors(std::string_view config_text);

/// What is wrong with a W8A8 directory; empty: nothing. Checks the configuration against configs/schemas/
/// w8a8-config.schema.json, and of every tensor its name, number format and shape: each module that is not
/// ignored has an I8 weight [out, in] and an F32 or BF16 weight_scale [out, 1] (with fixed activation scales
/// also an input_scale [1]), ignored ones and norms have neither; tied embeddings are stored once.
/// @throws Error for files that cannot be read.
std::vector<std::string> check_w8a8_directory(const std::filesystem::path& directory);

}  // namespace llmq
