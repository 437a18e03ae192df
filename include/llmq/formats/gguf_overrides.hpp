// --override-kv: values of GGUF metadata that the user sets.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <variant>

#include "llmq/formats/gguf.hpp"

namespace llmq {

struct MetadataOverride {
  std::string key;
  std::variant<std::int64_t, double, bool, std::string> value;

  /// As on the command line: "general.name=str:Pebble".
  std::string description() const;
};

/// "KEY=TYPE:VALUE" with TYPE int, float, bool or str. @throws Error(invalid_arguments).
MetadataOverride parse_metadata_override(std::string_view text);

/// Sets the values, in order. A key that is there keeps its number format; a new one becomes u32 (i64 where
/// it does not fit), f32, bool or string.
/// @throws Error(invalid_arguments) for a value of another kind than the key has, and for keys that say how
/// the file is laid out, what shapes its tensors have or where it comes from.
void apply_metadata_overrides(std::span<const MetadataOverride> overrides, GgufMetadata& metadata);

}  // namespace llmq
