// Rotary positions as the keys of a GGUF file say them. SPDX-License-Identifier: Apache-2.0
#pragma once

#include "llmq/formats/gguf.hpp"
#include "llmq/model/spec.hpp"

namespace llmq {

/// rope.freq_base and rope.scaling of `spec.architecture`; the context length must be known.
/// @throws Error(unsupported_conversion) for scalings that are not supported, Error(validation) for numbers
/// out of range.
void read_rope(const GgufMetadata& metadata, ModelSpec& spec);

/// Dimensions of a head that are rotated, by rope.dimension_count; 0: all.
std::uint32_t read_rotated_dims(const GgufMetadata& metadata, const ModelSpec& spec);

/// The keys of read_rope.
void write_rope(const ModelSpec& spec, GgufMetadata& metadata);

/// For architectures that runtimes do not scale so.
/// @throws Error(unsupported_conversion)
void refuse_yarn(const ModelSpec& spec);

}  // namespace llmq
