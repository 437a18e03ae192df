// The file of --layer-bits: rules about the types of tensors, as JSON. docs/formats/layer-bits.md
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string_view>
#include <vector>

#include "llmq/quant/type_rules.hpp"

namespace llmq {

/// @param file  for messages
/// @throws Error(invalid_arguments) with the place in the document, Error(unsupported_conversion) for a type
/// that cannot be encoded yet.
std::vector<TypeRule> parse_layer_bits(std::string_view text, const std::filesystem::path& file);
/// The same from a file, which may be missing. Local.
std::vector<TypeRule> read_layer_bits(const std::filesystem::path& file);

}  // namespace llmq
